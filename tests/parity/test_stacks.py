"""A few of the random chains of `make stacks`: as Keras's in all numbers, or refused by both."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MENDED = ["85", "96", "480"]  # axes that do not exist; a penalty inside SpectralNormalization; classes on an open axis


def test_random_chains_are_keras_s():
    """In a process of its own, where compiling is made quick for programs that run a few times only."""
    command = [sys.executable, "-m", "tests.parity.stacks", "--count", "8", "--also", *MENDED]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and " 0 other" in run.stdout, run.stdout + run.stderr[-2000:]
