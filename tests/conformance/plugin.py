"""pytest plugin of `run.py`: installs the import hook, limits each test's time, writes one JSON line a test."""

import json
import os
import random
import signal
import sys
from pathlib import Path

os.environ.setdefault("SERIATIM_CACHE", "0")
sys.path.insert(0, str(Path(__file__).parent))

import hook

LIMIT = 90  # seconds of computing, each test


def pytest_configure(config):
    for word in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", word)
    hook.install()


def pytest_runtest_setup(item):
    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)


def pytest_runtest_teardown(item):
    signal.setitimer(signal.ITIMER_PROF, 0)
    reset_settings()


def too_long(*_):
    raise TimeoutError(f"longer than {LIMIT} s")


def reset_settings():
    """No test finds the settings of an earlier one."""
    from seriatim import backend, config

    config.set_dtype_policy("float32")
    backend.set_floatx("float32")
    backend.set_image_data_format("channels_last")


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        write(report.nodeid, report.outcome, report)


def pytest_collectreport(report):
    sys.modules["random"] = random  # not the folder of that name, which has just been imported
    if report.outcome != "passed" and report.nodeid.endswith(".py"):
        write(report.nodeid, "skipped" if report.skipped else "error", report)


def write(test, outcome, report):
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    lines = [line[1:].strip() for line in reason.splitlines() if line.startswith("E ")] or reason.splitlines()[-1:]
    with open(os.environ["CONFORMANCE_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps([test, outcome, " | ".join(lines)[:600]]) + "\n")
