"""`make bench`: ours against Keras on TensorFlow, JAX and torch, a torch loop and a JAX loop, in one run.

Standard library only. Makes its own environment (.venv-bench) if it is not there.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import table
from crew import FRAMEWORKS, Lost, Plan, Worker, open_one, race
from workloads import WORKLOADS, quick

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
PAGE = ROOT / "docs" / "performance.md"
HOME = ROOT / ".venv-bench"
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

OURS = ("-e", str(ROOT))
PEERS = (
    "tensorflow-cpu==2.21.0; platform_machine == 'x86_64' or platform_machine == 'AMD64'",
    "tensorflow==2.21.0; platform_machine != 'x86_64' and platform_machine != 'AMD64'",
    "torch==2.13.0",
    "keras==3.15.1",
)


# ---- the environment ------------------------------------------------------------------------------------


def environment(say):
    """The environment of the bench, made if it is not there; a peer that cannot be had is left out."""
    stamp, wanted = HOME / "installed", "\n".join([*OURS, *PEERS])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        say("making .venv-bench")
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
    say("installing TensorFlow, torch, Keras and ours: some minutes, once")
    pip = [PYTHON, "-m", "pip", "install", "-q"]
    if subprocess.run([*pip, *PEERS, *OURS], check=False).returncode:
        say("not all at once: one after another")
        for package in PEERS:
            if subprocess.run([*pip, package], check=False).returncode:
                say(f"{package} cannot be installed here: it is left out")
        subprocess.run([*pip, *OURS], check=True)
    stamp.write_text(wanted)


# ---- the run ---------------------------------------------------------------------------------------------


def measure(workloads, names, plan, say):
    """All records: {(workload, framework): record}."""
    records = {}
    for i, workload in enumerate(workloads, 1):
        started = []
        starters = {name: starter(name, plan, started) for name in names}
        try:
            found = race(workload, starters, plan, lambda text, i=i: say(f"[{i}/{len(workloads)}] {text}"))
            if "error" not in found.get("ours", {"error": "not asked for"}):
                again(found["ours"], workload, starters["ours"])
        finally:
            for worker in started:
                worker.stop()
        records |= {(workload.name, name): record for name, record in found.items()}
    return records


def again(record, workload, start):
    """The same script a second time: what an earlier run has compiled is on the disk."""
    second = {}
    open_one(start(), workload, second)
    record["again_s"] = second["first_epoch_s"]


def starter(name, plan, started):
    """A function that starts a fresh worker and notes it in `started`, so that it can be stopped."""

    def start():
        started.append(Worker(name, PYTHON, OUT, timeout=plan.timeout))
        return started[-1]

    return start


def warm_disk(names, say):
    """Import everything once, so that the first process is not the one that reads from the disk."""
    for name in list(names):
        try:
            Worker(name, PYTHON, OUT).stop()
        except Lost as problem:
            say(f"{name} is not here: {problem}")
            names.remove(name)


# ---- the machine -----------------------------------------------------------------------------------------


def machine():
    """What it ran on, without names."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
        fields = {name.strip(): text.strip() for name, text in lines.items()}
        model, flags = fields.get("model name", model), fields.get("flags", "")
    levels = {"avx512f": ", AVX-512", "avx2": ", AVX2"}
    level = next((text for flag, text in levels.items() if flag in flags.split()), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30) if hasattr(os, "sysconf") else 0
    return f"{model}{level}, {cores} cores, {memory:.0f} GiB of memory, {platform.system()}"


def headline(records, plan, load, seconds):
    """The lines above the tables: when, on what, with which versions."""
    versions = {}
    for record in records.values():
        versions |= record.get("versions", {})
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    today = datetime.date.today()
    return (
        f"Measured on {today.day} {today:%B %Y} on {machine()}, in one run of {seconds / 60:.0f} minutes; "
        f"load of the machine before it: {load:.1f}.\n\n"
        f"Versions: Python {platform.python_version()}, {named}.\n\n"
        f"{plan.rounds} rounds of {plan.epochs} epochs after the first one. Bold: the best of the others."
    )


def write_lines(records, head):
    """bench/out/results.jsonl: one line a workload and framework."""
    with open(OUT / "results.jsonl", "w", encoding="utf-8") as file:
        for record in ({"headline": head}, *records.values()):
            file.write(json.dumps(record) + "\n")


# ---- the command -----------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="workloads, with commas: " + ", ".join(WORKLOADS))
    parser.add_argument("--frameworks", help="with commas: " + ", ".join(FRAMEWORKS))
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="rounds after the first epoch (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps each: does everything run?")
    return parser.parse_args()


def chosen(text, known, what):
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            sys.exit(f"there is no {what} {name!r}; known: {', '.join(known)}")
    return [name for name in known if name in names]


def main():
    given = arguments()
    names = chosen(given.frameworks, FRAMEWORKS, "framework")
    workloads = [WORKLOADS[name] for name in chosen(given.only, WORKLOADS, "workload")]
    plan = Plan(rounds=max(1, given.rounds))
    if given.quick:
        workloads = [quick(workload) for workload in workloads]
        plan = Plan(rounds=1, epochs=1, calls=3)
    began = time.perf_counter()
    say = lambda text: print(f"{time.perf_counter() - began:6.0f} s  {text}", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(OUT / "programs", ignore_errors=True)
    environment(say)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        say(f"the machine is busy (load {load:.1f}): timings will not be steady")
    warm_disk(names, say)
    whole = not given.quick and len(workloads) == len(WORKLOADS) and len(names) == len(FRAMEWORKS)
    started = time.perf_counter()
    records = measure(workloads, names, plan, say)
    head = headline(records, plan, load, time.perf_counter() - started)
    write_lines(records, head)
    text = f"{head}\n\n{table.tables(records, names, skip=('cold_s',))}"
    if given.quick:
        text = f"QUICK RUN: three steps an epoch; these numbers say nothing about speed.\n\n{text}"
    print(f"\n{text}\n")
    if whole:
        table.put_in_page(PAGE, text)
    say(f"written to {PAGE.relative_to(ROOT)}" if whole else "a part of the bench: docs/performance.md stays as it is")
    sys.exit(any("error" in record for record in records.values()))


if __name__ == "__main__":
    main()
