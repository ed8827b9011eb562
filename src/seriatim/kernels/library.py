"""The compiled kernels: which library suits this machine, whether this jaxlib takes it, and its registration.

Floor 1. Nothing here may stop a program: without a library that fits, plain XLA does the work, and `status()` says
why. `SERIATIM_KERNELS` is 1 (the default), 0 (none) or a level; `SERIATIM_KERNELS_FOLDER` has other libraries.
"""

import ctypes
import functools
import os
import platform
import re
from pathlib import Path

import jax

PREFIX = "seriatim_"
FOLDER = Path(os.environ.get("SERIATIM_KERNELS_FOLDER") or Path(__file__).parent / "lib")
V2 = ("cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3")
V3 = (*V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
V4 = (*V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
LEVELS = {"x86-64-v4": V4, "x86-64-v3": V3, "x86-64-v2": V2, "arm64": ()}  # the best first, and what each must have
MACHINES = {"amd64": "x86-64", "x86_64": "x86-64", "aarch64": "arm64", "arm64": "arm64"}
KERNELS = (
    "dense_forward", "dense_input_gradient", "dense_weight_gradient",
    "conv_forward", "conv_forward_pooled", "conv_input_gradient", "conv_weight_gradient",
    "conv_weight_gradient_pooled", "conv_largest_input_gradient", "conv_largest_weight_gradient",
    "max_pool", "max_pool_places", "max_pool_gradient", "average_pool", "average_pool_gradient",
    "rows_take", "rows_fetch", "rows_add",
    "noise_drop",
    "norm_moments", "norm_forward", "norm_backward",
    "lstm_forward", "lstm_backward", "gru_forward", "gru_backward", "simple_forward", "simple_backward",
    "update_adam", "update_sgd", "update_rmsprop", "update_all_finite",
)  # fmt: skip


def ready():
    """Whether the kernels are loaded and registered; tried once."""
    return _load()[0] is not None


def status():
    """One line for people: which kernels serve, or why none do."""
    level, reason = _load()
    return f"CPU kernels: {level}" if level else f"CPU kernels: none, plain XLA serves ({reason})"


@functools.cache
def _load():
    """(level, reason): the level of the instruction set that serves, or None and why."""
    asked = os.environ.get("SERIATIM_KERNELS", "1")
    if asked == "0":
        return None, "SERIATIM_KERNELS=0"
    if asked not in ("1", *LEVELS):
        return None, f"SERIATIM_KERNELS={asked} is none of 0, 1, {', '.join(LEVELS)}"
    fitting = [level for level in LEVELS if fits(level) and asked in ("1", level)]
    if not fitting:
        return None, f"this processor ({platform.machine()}) runs {'none of them' if asked == '1' else f'no {asked}'}"
    found = [level for level in fitting if path(level).exists()]
    if not found:
        return None, _why_missing(fitting)
    try:
        _register(path(found[0]))
    except Exception as error:  # of any kind: XLA's are its own, and none is worth a program
        return None, f"{path(found[0]).name}: {error}"
    return found[0], None


def _register(file):
    """All the kernels of a library, or an error before the first."""
    library = ctypes.CDLL(str(file))
    targets = {PREFIX + name: jax.ffi.pycapsule(getattr(library, name)) for name in KERNELS}
    jax.devices("cpu")  # once it has started, it refuses a library too new for it; before, it would not start at all
    for name, target in targets.items():
        jax.ffi.register_ffi_target(name, target, platform="cpu")


@functools.cache
def function(name):
    """A plain C function of the library that serves, or None. A call of it does not hold Python's lock."""
    return getattr(ctypes.CDLL(str(path(_load()[0]))), PREFIX + name, None) if ready() else None


def _why_missing(levels):
    """What the build left as its reason, or that nothing was built."""
    note = FOLDER / "none.txt"
    said = " ".join(note.read_text().split()) if note.exists() else f"none was compiled for {' or '.join(levels)}"
    return f"{said}; with a C++ compiler, `python -m seriatim.kernels.build` makes them"


def path(level):
    return FOLDER / f"seriatim-{level}.so"


def fits(level):
    """Whether this processor runs the level."""
    return level.startswith(MACHINES.get(platform.machine().lower(), "?")) and set(LEVELS[level]) <= flags()


@functools.cache
def flags():
    """What the processor says it can do, in Linux's words; elsewhere nothing (no jaxlib serves Macs with x86-64)."""
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return frozenset()
    return frozenset(found.group(1).split()) if found else frozenset()
