"""Compile the kernels: one library for each level of the instruction set.

Runs without the package: while it is being installed, and as `python src/seriatim/kernels/build.py`.
"""

import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-fvisibility=hidden", "-w", "-pthread")
LEVELS = {"x86_64": ("x86-64-v4", "x86-64-v3", "x86-64-v2"), "aarch64": ("arm64",), "arm64": ("arm64",)}


def build(folder, headers, levels=None, extra=()):
    """Write seriatim-LEVEL.so for each level into `folder`. Raises if there is no compiler or it fails."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise FileNotFoundError("no C++ compiler")
    levels = levels or LEVELS.get(platform.machine(), ())
    sources = sorted((HERE / "cpp").glob("*.cc"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        made = {(level, s): Path(room) / f"{level}-{s.stem}.o" for level in levels for s in sources}

        def compile_one(key):
            level, source = key
            machine = () if level == "arm64" else (f"-march={level}",)
            run(compiler, *FLAGS, *machine, *extra, f"-I{headers}", "-c", source, "-o", made[key])

        list(pool.map(compile_one, made))
        for level in levels:
            objects = [path for (of, _), path in made.items() if of == level]
            target = folder / f"seriatim-{level}.so"
            run(compiler, "-shared", "-pthread", *extra, *objects, "-o", f"{target}.new")
            os.replace(f"{target}.new", target)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[:4000]}")


if __name__ == "__main__":
    import jax

    build(HERE / "lib", jax.ffi.include_dir(), sys.argv[1:] or None)
