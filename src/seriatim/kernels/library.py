"""The compiled kernels: which file suits this machine, whether this jaxlib takes it, and its registration.

Floor 1. Nothing here may stop a program: without a library that fits, plain XLA does the work, and
`status()` says why.
"""

import ctypes
import functools
import os
import platform
import re
from pathlib import Path

import jax

PREFIX = "seriatim_"
FOLDER = Path(__file__).parent / "lib"
LEVELS = {  # the best first: a library, and what the processor must have for it
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v3": ("avx2", "fma", "bmi2", "f16c"),
    "x86-64-v2": ("sse4_2", "ssse3", "popcnt"),
    "arm64": (),
}
KERNELS = (
    "dense_forward", "dense_input_gradient", "dense_weight_gradient",
    "conv_forward", "conv_input_gradient", "conv_weight_gradient",
    "rows_take", "rows_add",
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
    if os.environ.get("SERIATIM_KERNELS", "1") == "0":
        return None, "SERIATIM_KERNELS=0"
    asked = os.environ.get("SERIATIM_KERNELS", "1")
    fitting = [level for level in LEVELS if fits(level) and asked in ("1", level)]
    found = [level for level in fitting if path(level).exists()]
    if not found:
        return None, f"no library for {' or '.join(fitting) or platform.machine()} in {FOLDER}"
    try:
        library = ctypes.CDLL(str(path(found[0])))
        built = (library.seriatim_api_major(), library.seriatim_api_minor())
        if built[0] != runtime_api()[0] or built[1] > runtime_api()[1]:
            return None, f"built for version {built} of the interface, jaxlib offers {runtime_api()}"
        for name in KERNELS:
            jax.ffi.register_ffi_target(PREFIX + name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (OSError, AttributeError) as error:
        return None, str(error)
    return found[0], None


def path(level):
    return FOLDER / f"seriatim-{level}.so"


def fits(level):
    """Whether this processor runs the level."""
    machine = {"amd64": "x86-64", "x86_64": "x86-64", "aarch64": "arm64"}.get(platform.machine().lower(), "")
    machine = machine or platform.machine().lower()
    return level.startswith(machine) and set(LEVELS[level]) <= flags()


@functools.cache
def flags():
    """What the processor says it can do, in Linux's words."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    return frozenset(re.search(r"^flags\s*:(.*)$", text, re.M).group(1).split()) if "flags" in text else frozenset()


@functools.cache
def runtime_api():
    """(major, minor) of the interface that this jaxlib offers, as its own header says."""
    text = (Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h").read_text()
    return tuple(int(re.search(rf"#define XLA_FFI_API_{part} (\d+)", text).group(1)) for part in ("MAJOR", "MINOR"))
