"""The same inputs give the same bits: over a thousand calls, and however many threads there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import repeated
from .both import needs_kernels

pytestmark = needs_kernels
CALLS = int(os.environ.get("SERIATIM_CALLS", "1000"))


@pytest.fixture(scope="module")
def found():
    return repeated.run(CALLS)


def test_every_call_gives_the_bits_of_the_first(found):
    assert {name: alike for name, (alike, _) in found.items() if alike != CALLS} == {}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to processors")
def test_one_thread_gives_the_bits_of_several(found):
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, str(Path(repeated.__file__)), "2", str(cpu)],
        env={**os.environ, "SERIATIM_CACHE": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    alone = dict(line.split("\t")[::2] for line in done.stdout.strip().splitlines())
    assert [name for name, (_, digest) in found.items() if alone[name] != digest] == []
