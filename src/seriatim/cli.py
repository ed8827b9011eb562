"""The command line: `seriatim demo`, `seriatim summary model.keras`, `seriatim doctor`. Floor 6."""

import argparse
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import jax

from . import __version__
from .base.report import SeriatimErrors
from .demo import demo
from .engine import cache
from .kernels import library
from .models import load_model
from .utils import plot_model


def main(argv=None):
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="seriatim", description="Sequential models, done completely.")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="train on real handwritten digits, save, reload, predict, draw")
    show.add_argument("--out", type=Path, default=Path("out"), help="where files go (default: out)")
    show.add_argument("--epochs", type=int, default=4)
    table = commands.add_parser("summary", help="print the table of a saved model")
    table.add_argument("file", type=Path)
    table.add_argument("--picture", type=Path, help="also draw the chain into this .svg")
    commands.add_parser("doctor", help="say which versions, devices and CPU kernels are in use")
    arguments = parser.parse_args(argv)
    try:
        return {"demo": run_demo, "summary": run_summary, "doctor": run_doctor}[arguments.command](arguments)
    except SeriatimErrors as error:
        print(error, file=sys.stderr)
        return 1


def run_demo(arguments):
    demo(arguments.out, arguments.epochs)
    return 0


def run_summary(arguments):
    model = load_model(arguments.file)
    model.summary()
    if arguments.picture:
        print(f"drawn into {plot_model(model, arguments.picture)}")
    return 0


def run_doctor(arguments):
    rows = [("seriatim", __version__), ("python", platform.python_version())]
    rows += [(name, metadata.version(name)) for name in ("jax", "jaxlib", "numpy", "optax", "h5py")]
    rows += [("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors")]
    rows += [("backend", jax.default_backend()), ("devices", ", ".join(str(device) for device in jax.devices()))]
    rows += [("kernels", library.status().removeprefix("CPU kernels: "))]
    folder, reason = cache.folder()
    rows += [("cache", str(folder) if folder else f"none ({reason})")]
    for name, value in rows:
        print(f"{name:<10}{value}")
    return 0
