"""The library of kernels: each level gives the right numbers, and whatever is wrong with one, the program goes on."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seriatim.cli import main
from seriatim.kernels import build, library

from .both import needs_kernels

TRAIN = """
import numpy as np, seriatim
from seriatim.kernels import library
from seriatim.layers import LSTM, Conv2D, Dense, Flatten, MaxPooling2D, Reshape
rng = np.random.default_rng(0)
x, y = rng.normal(size=(50, 9, 9, 3)).astype("f"), rng.normal(size=(50, 1)).astype("f")
seriatim.utils.set_random_seed(1)
hidden = [Conv2D(18, 3, activation="relu"), MaxPooling2D(), Reshape((9, 18)), LSTM(7), Dense(33, activation="relu")]
model = seriatim.Sequential([seriatim.Input((9, 9, 3)), *hidden, Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=3, batch_size=16, verbose=0)
print(library.status())
print(*model.predict(x, verbose=0).ravel()[:20])
"""
GO_ON = """
import jax
from seriatim import kernels
with kernels.use() as on:
    print(kernels.library.status())
    print(int(on), jax.jit(lambda x: x.sum())(jax.numpy.ones(3)))
"""
HANDLERS = """
#include "xla/ffi/api/ffi.h"
static xla::ffi::Error nothing() { return xla::ffi::Error::Success(); }
#define KERNEL(name) XLA_FFI_DEFINE_HANDLER_SYMBOL(name, nothing, xla::ffi::Ffi::Bind());
"""


def run(script, **environment):
    """(status, numbers) that a script prints in a process of its own."""
    environment = {**os.environ, "SERIATIM_CACHE": "0", "SERIATIM_KERNELS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    status, numbers = done.stdout.strip().splitlines()[-2:]
    return status, [float(n) for n in numbers.split()]


def reason(**environment):
    """Why no kernels serve, in a process that goes on without them."""
    status, numbers = run(GO_ON, **environment)
    assert status.startswith("CPU kernels: none, plain XLA serves (") and numbers == [0, 3]
    return status.split("(", 1)[1]


@pytest.fixture(scope="module")
def plain():
    status, numbers = run(TRAIN, SERIATIM_KERNELS="0")
    assert status == "CPU kernels: none, plain XLA serves (SERIATIM_KERNELS=0)"
    return numbers


@needs_kernels
@pytest.mark.parametrize("level", [level for level in library.LEVELS if library.fits(level)])
def test_each_level_trains_to_the_same_numbers(level, plain):
    if not library.path(level).exists():
        pytest.skip(f"{level} is not compiled")
    status, numbers = run(TRAIN, SERIATIM_KERNELS=level)
    assert status == f"CPU kernels: {level}"
    assert numbers == pytest.approx(plain, abs=1e-4)


def test_a_library_that_is_there_loads():
    """A name of `KERNELS` that its build does not know would turn all of them off, and skip their tests."""
    if os.environ.get("SERIATIM_KERNELS") == "0":
        pytest.skip("SERIATIM_KERNELS=0")
    fitting = [level for level in library.LEVELS if library.fits(level) and library.path(level).exists()]
    if not fitting:
        pytest.skip("none is compiled for this machine")
    assert library.ready(), library.status()
    for level in fitting:
        built = ctypes.CDLL(str(library.path(level)))
        assert [name for name in library.KERNELS if not hasattr(built, name)] == [], f"{level}: python {build.__file__}"


@pytest.mark.parametrize("asked", ["x86-64-v9", "yes"])
def test_a_level_that_does_not_exist(asked):
    assert f"SERIATIM_KERNELS={asked} is none of" in reason(SERIATIM_KERNELS=asked)


def test_a_folder_without_libraries_says_why(tmp_path):
    (tmp_path / "none.txt").write_text("no C++ compiler was found\n")
    said = reason(SERIATIM_KERNELS_FOLDER=str(tmp_path))
    assert "no C++ compiler was found" in said and "seriatim.kernels.build" in said


def test_a_file_that_is_no_library(tmp_path):
    for level in library.LEVELS:
        (tmp_path / f"seriatim-{level}.so").write_bytes(b"not a library")
    assert ".so" in reason(SERIATIM_KERNELS_FOLDER=str(tmp_path))


def compiled(folder, text, include):
    """`text` as the library of all levels."""
    (folder / "source.cc").write_text(text)
    target = folder / "made.so"
    flags = ("-std=c++17", "-O0", "-fPIC", "-shared", "-w", f"-I{include}")
    build.run(*build.compiler(), *flags, folder / "source.cc", "-o", target)
    for level in library.LEVELS:
        shutil.copy(target, folder / f"seriatim-{level}.so")


@needs_kernels
def test_a_library_older_than_the_package(tmp_path):
    compiled(tmp_path, HANDLERS + "KERNEL(dense_forward)", build.headers())
    assert library.KERNELS[1] in reason(SERIATIM_KERNELS_FOLDER=str(tmp_path))


@needs_kernels
def test_a_library_too_new_for_this_jaxlib(tmp_path):
    include = tmp_path / "include"
    shutil.copytree(build.headers(), include)
    header = include / "xla/ffi/api/c_api.h"
    lines = header.read_text().splitlines()
    header.write_text(
        "\n".join("#define XLA_FFI_API_MINOR 99" if "define XLA_FFI_API_MINOR" in n else n for n in lines)
    )
    compiled(tmp_path, HANDLERS + "\n".join(f"KERNEL({name})" for name in library.KERNELS), include)
    assert "0.99" in reason(SERIATIM_KERNELS_FOLDER=str(tmp_path))


def test_no_compiler_leaves_the_reason(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "seriatim-x86-64-v2.so").write_text("old")
    assert build.attempt(tmp_path / "lib") == "no C++ compiler was found"
    assert [f.name for f in (tmp_path / "lib").iterdir()] == ["none.txt"]


@pytest.mark.parametrize("command", ["false", "/nowhere/c++"])
def test_a_compiler_that_fails_leaves_the_reason(tmp_path, monkeypatch, command):
    monkeypatch.setenv("CXX", command)
    assert command in build.attempt(tmp_path / "lib")
    assert command in (tmp_path / "lib" / "none.txt").read_text()
    assert build.main(["--into", str(tmp_path / "other")]) == 1


def test_a_library_is_fresh_until_a_source_changes(tmp_path, monkeypatch):
    sources = tmp_path / "cpp"
    sources.mkdir()
    (tmp_path / "build.py").touch()
    (sources / "a.cc").touch()
    made = tmp_path / "made.so"
    monkeypatch.setattr(build, "HERE", Path(tmp_path))
    assert not build.fresh(made)
    made.touch()
    os.utime(made, (sources.stat().st_mtime + 5,) * 2)
    assert build.fresh(made)
    os.utime(sources / "a.cc", (sources.stat().st_mtime + 9,) * 2)
    assert not build.fresh(made)


def test_the_doctor_says_which_kernels_serve(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 20
    assert [n.split(maxsplit=1)[1] for n in lines if n.startswith("kernels")] == [library.status().split(": ", 1)[1]]
