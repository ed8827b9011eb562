"""No test finds what an earlier run has compiled; `--draws`: how often tests/parity/test_layers.py draws each layer."""

import os

os.environ["SERIATIM_CACHE"] = "0"


def pytest_addoption(parser):
    parser.addoption("--draws", type=int, default=1)
