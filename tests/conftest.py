"""No test finds what an earlier run has compiled."""

import os

os.environ["SERIATIM_CACHE"] = "0"
