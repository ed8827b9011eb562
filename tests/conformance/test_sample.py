"""A few of Keras's own test files, in `make test`: what is expected to pass does. All of them: `make conformance`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SAMPLE = (
    "activations/activations", "layers/activations/relu", "layers/core/masking", "losses/loss",
    "metrics/hinge_metrics", "optimizers/sgd",
)  # fmt: skip


def test_a_sample_of_the_expected_tests_passes():
    command = [sys.executable, str(HERE / "run.py"), "--exactly", *SAMPLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(done.stdout.split("passed ")[1].split()[0]) > 90
