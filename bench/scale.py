"""What a row costs `fit` as batches and data grow: a small MLP, rows in memory and in a mapped file.

Run with a Python that has seriatim: `.venv/bin/python bench/scale.py`. One process a case, so that none sees another's
memory. With --write, the tables go into docs/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np
import table
from data import FILES, mapped

import seriatim
from seriatim.layers import Dense, Input

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
COLUMNS = 20
BATCHES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
USUAL = {"rows": 1_000_000, "batch": 256, "on_disk": False}
LEAST = 500_000  # rows of a call of `fit`: few rows are passed over many times


# ---- one case, in a process of its own ---------------------------------------------------------------------


class Watch:
    """The most memory of its own that this process has held: without mapped files, which the system may drop."""

    def __init__(self, every=0.002):
        self.most, self.every, self.done = held(), every, threading.Event()
        threading.Thread(target=self.look, daemon=True).start()

    def look(self):
        while not self.done.wait(self.every):
            self.most = max(self.most, held())


def held():
    """Megabytes that belong to no file (Linux; elsewhere nothing is known)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) / 1024


def measure(rows, batch, on_disk, calls):
    """Microseconds a row in whole calls of `fit`, and the most memory beyond the data, before and in them."""
    x, y = mapped(rows, COLUMNS)
    if not on_disk:
        x, y = np.load(FILES / f"{rows}x{COLUMNS}.npy"), np.load(FILES / f"{rows}x1.npy")
    model = seriatim.Sequential([Input((COLUMNS,)), Dense(64, "relu"), Dense(64, "relu"), Dense(1)])
    model.compile("adam", loss="mse")
    epochs = max(1, LEAST // rows)
    before, watch = held(), Watch()
    model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    times, spent = [], time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
        times.append(time.perf_counter() - began)
    cpu = 1e6 * (time.process_time() - spent) / (rows * epochs * calls)
    watch.done.set()
    us = [1e6 * t / (rows * epochs) for t in times]
    return {"us_row": median(us), "best": min(us), "cpu": cpu, "beyond_mb": watch.most - before}


# ---- all cases ---------------------------------------------------------------------------------------------


def ask(case, calls):
    """The record of one case."""
    text = json.dumps(case | {"calls": calls})
    done = subprocess.run([sys.executable, __file__, "--case", text], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    record = json.loads(done.stdout.splitlines()[-1])
    print(f"{case}: {record}", flush=True)
    return record


def cells(record):
    return [
        table.shown(record["us_row"]),
        table.shown(record["best"]),
        table.shown(record["cpu"]),
        f"{record['beyond_mb']:.0f}",
    ]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], help="rows of the largest data (%(default)s)")
    parser.add_argument("--calls", type=int, default=5, help="calls of fit for each number (%(default)s)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    given = arguments()
    if given.case:
        print(json.dumps(measure(**json.loads(given.case))))
        return
    load = os.getloadavg()[0]
    sizes = [size for size in SIZES if size <= given.most]
    usual = USUAL | {"rows": min(USUAL["rows"], given.most)}
    by_batch = [[f"{batch:,}", *cells(ask(usual | {"batch": batch}, given.calls))] for batch in BATCHES]
    by_size = []
    for rows in sizes:
        found = [ask(usual | {"rows": rows, "on_disk": on_disk}, given.calls) for on_disk in (False, True)]
        by_size.append([f"{rows:,}", *(cell for record in found for cell in cells(record))])
    heads = ["µs a row", "best call", "CPU time", "MB beyond the data"]
    text = (
        f"{COLUMNS}-64-64-1, Adam; whole calls of `fit`, the median of {given.calls}, the best, and the CPU time; load "
        f"of the machine before: {load:.1f}. Memory: the most the process held of its own (no mapped "
        "files), less what it held with the data before `fit`; compiling is in it.\n\n"
        f"{table.grid(['batch', *heads], by_batch)}\n\n({usual['rows']:,} rows in memory)\n\n"
        f"{table.grid(['rows', *heads, *(f'{name}, disk' for name in heads)], by_size)}\n\n(batch {usual['batch']})"
    )
    print(f"\n{text}\n")
    if given.write:
        table.put_in_page(PAGE, text, "scale")


if __name__ == "__main__":
    main()
