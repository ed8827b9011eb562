"""Compile the kernels: one library for each level of the instruction set.

Needs a C++ compiler and XLA's headers, which come with jaxlib; neither JAX nor the package is imported. Runs while the
package is being installed (setup.py), and as `python -m seriatim.kernels.build`. The headers of an older jaxlib make a
library that newer ones take too; the other way round, jaxlib refuses it.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-fvisibility=hidden", "-w", "-pthread")
CLANG = ("-mllvm", "-unroll-threshold=1000")  # or the tile of a product goes through memory: a third of the speed
LEVELS = {"x86_64": ("x86-64-v4", "x86-64-v3", "x86-64-v2"), "aarch64": ("arm64",), "arm64": ("arm64",)}
REASON = "none.txt"  # beside the libraries, if there are none: why


class Impossible(Exception):
    """Nothing to compile with, or for: no mistake of the sources."""


def build(folder, levels=None, flags=(), include=None):
    """Write seriatim-LEVEL.so into `folder` for each level whose library is missing or older than the sources.

    Raises Impossible, or RuntimeError with what the compiler said.
    """
    sources = sorted((HERE / "cpp").glob("*.cc"))
    levels = [level for level in levels or levels_here() if not fresh(folder / f"seriatim-{level}.so")]
    if not levels:
        return
    began, command, include = time.time(), compiler(), include or headers()
    flags = (*FLAGS, *(CLANG if is_clang(command) else ()), *flags)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        made = {(level, s): Path(room) / f"{level}-{s.stem}.o" for level in levels for s in sources}

        def compile_one(key):
            level, source = key
            run(*command, *flags, *machine(command, level), f"-I{include}", "-c", source, "-o", made[key])

        list(pool.map(compile_one, made))
        for level in levels:
            objects = [path for (of, _), path in made.items() if of == level]
            target = folder / f"seriatim-{level}.so"
            run(*command, "-shared", *flags, *objects, "-o", f"{target}.{os.getpid()}")
            os.utime(f"{target}.{os.getpid()}", (began, began))
            os.replace(f"{target}.{os.getpid()}", target)
    (folder / REASON).unlink(missing_ok=True)


def fresh(library):
    """Whether its making began after the last change of a source; their folder changes when one goes."""
    parts = [HERE / "build.py", HERE / "cpp", *(HERE / "cpp").iterdir()]
    return library.exists() and library.stat().st_mtime > max(part.stat().st_mtime for part in parts)


def attempt(folder):
    """Build into `folder`; without success it holds no library but the reason, which is also returned."""
    try:
        build(folder)
    except (Impossible, RuntimeError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / REASON).write_text(f"{error}\n")
        return str(error)
    return None


def levels_here():
    """The levels to compile for a machine like this one, the best first."""
    if os.name != "posix" or platform.machine() not in LEVELS:
        raise Impossible(f"there are none for {platform.system()} on {platform.machine()}")
    return LEVELS[platform.machine()]


def compiler():
    """The command that compiles C++: $CXX, what the path offers, or the package ziglang."""
    if os.environ.get("CXX"):
        return tuple(shlex.split(os.environ["CXX"]))
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++", "-s")
    raise Impossible("no C++ compiler was found")


def headers():
    """The folder of XLA's headers in jaxlib."""
    found = importlib.util.find_spec("jaxlib")
    if found is None:
        raise Impossible("no jaxlib was there, which has XLA's headers")
    return Path(found.submodule_search_locations[0]) / "include"


def is_clang(command):
    return "clang" in run(*command, "--version").lower()


def machine(command, level):
    """The compiler's words for a level; zig spells them with underscores."""
    if level == "arm64":
        return ()
    return (f"-march={level.replace('-', '_') if 'zig' in ' '.join(command) else level}",)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "error" in line] or lines
        raise RuntimeError("\n".join([f"{command[0]} failed:", *(line[:300] for line in errors[:20])]))
    return done.stdout


def main(arguments=None):
    """The command line: the exit status is 1 only if the sources do not compile."""
    parser = argparse.ArgumentParser(description="Compile the kernels.")
    parser.add_argument("levels", nargs="*", help="which of them; default: all of this machine")
    parser.add_argument("--into", type=Path, default=HERE / "lib", help="the folder that gets the libraries")
    parser.add_argument("--flags", default="", help="more flags for the compiler")
    asked = parser.parse_args(arguments)
    try:
        build(asked.into, asked.levels, shlex.split(asked.flags))
    except Impossible as error:
        print(f"CPU kernels: none, for {error}")
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
