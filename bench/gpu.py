"""The same workloads on a GPU: ours, a torch loop, a JAX loop and Keras, with what is installed here.

One process a framework for all workloads, so that one call fits in nine minutes. Ours is taken from
../src. Runs on a CPU as well; try it with --quick.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

import table
from crew import FRAMEWORKS, Lost, Plan, Worker, race
from workloads import WORKLOADS, longer, quick

SOURCE = Path(__file__).resolve().parent.parent / "src"
NEEDS = {
    "ours": ("jax", "optax", "h5py", "rich", "safetensors"),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "keras-torch": ("keras", "torch"),
    "torch": ("torch",),
    "jax": ("jax", "optax"),
}
SHARE = "0.2"  # of the GPU's memory, for each of the three processes that run JAX
TIMES = 4  # as many rows as on the CPU (60000 at most): steps are short here
DEFAULT = "ours,keras-jax,keras-torch,torch,jax"


def missing(name):
    """The packages that this framework needs and that are not installed here."""
    return [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]


def present(names):
    """Those that can run here; what the others lack is said."""
    found = []
    for name in names:
        lacks = missing(name)
        if lacks:
            print(f"{name} is left out: not installed here: {', '.join(lacks)}", flush=True)
        else:
            found.append(name)
    return found


def start_all(names, out, say):
    """A worker for each framework, all workloads long."""
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": SHARE, "PYTHONPATH": path}
    workers = {}
    for name in names:
        try:
            workers[name] = Worker(name, sys.executable, out, environment, timeout=180)
            workers[name].fresh = False
            hello = workers[name].hello
            say(f"{name}: {hello['versions']} on {hello['device']}, imported in {hello['import_s']:.1f} s")
        except Lost as problem:
            say(f"{name} is left out: {problem}")
    return workers


def measure(workloads, workers, plan, until, say):
    """Records, as far as the time reaches."""
    records, longest = {}, 0.0
    for workload in workloads:
        began = time.perf_counter()
        if began + longest > until:
            say(f"no time left for {workload.name}")
            continue
        alive = {name: worker for name, worker in workers.items() if worker.process.poll() is None}
        found = race(workload, {name: (lambda worker=worker: worker) for name, worker in alive.items()}, plan, say)
        records |= {(workload.name, name): record for name, record in found.items()}
        longest = max(longest, time.perf_counter() - began)
    return records


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="workloads, with commas: " + ", ".join(WORKLOADS))
    parser.add_argument("--frameworks", default=DEFAULT, help="with commas (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.0, help="begin nothing that may end later (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps each: does everything run?")
    return parser.parse_args()


def main():
    given, began = arguments(), time.perf_counter()
    say = lambda text: print(f"{time.perf_counter() - began:6.0f} s  {text}", flush=True)
    names = present([name for name in FRAMEWORKS if name in given.frameworks.split(",")])
    workloads = [longer(w, TIMES) for w in WORKLOADS.values() if not given.only or w.name in given.only.split(",")]
    plan = Plan(rounds=max(1, given.rounds), calls=100, call_limit=0.5, timeout=180)
    if given.quick:
        workloads = [quick(workload) for workload in workloads]
        plan = Plan(rounds=1, epochs=1, calls=3, timeout=180)
    with tempfile.TemporaryDirectory() as out:
        workers = start_all(names, Path(out), say)
        try:
            records = measure(workloads, workers, plan, began + 60 * given.minutes, say)
        finally:
            for worker in workers.values():
                worker.stop()
    devices = {name: worker.hello["device"] for name, worker in workers.items()}
    versions = {k: v for worker in workers.values() for k, v in worker.hello["versions"].items()}
    print(f"\nDevices: {devices}\n\nVersions: {versions}\n")
    print(table.tables(records, list(workers), skip=("first_epoch_s", "peak_mb")))


if __name__ == "__main__":
    main()
