"""One framework in one process: reads what to do from standard input, one JSON line each, and answers.

Started by crew.py as `python worker.py SIDE`; SIDE is the module ours, keras_side, torch_loop or jax_loop.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from dataclasses import replace

from workloads import WORKLOADS


def import_side(name):
    """The side's module and the seconds its import took (numpy and the engine with it)."""
    began = time.perf_counter()
    side = importlib.import_module(name)
    return side, time.perf_counter() - began


class Bench:
    """The models of one framework by workload."""

    def __init__(self, side):
        self.side, self.models, self.warm = side, {}, set()
        self.arrays = importlib.import_module("data").arrays  # it brings NumPy: not before the framework's import

    def open(self, workload, rows):
        """Build the model and train one epoch: the cold start. Making the data is not the framework's time."""
        found = replace(WORKLOADS[workload], rows=rows)
        began = time.perf_counter()
        x, y = self.arrays(found)
        made = time.perf_counter()
        model = self.models[workload] = self.side.open_model(found, x, y)
        loss = model.fit(1)
        if model.weights != found.weights:
            raise AssertionError(f"{model.weights} trainable weights, but the chain has {found.weights}")
        return {
            "data_s": made - began, "cold_s": time.perf_counter() - made, "loss": float(loss), "steps": model.steps,
            "weights": model.weights,
        }  # fmt: skip

    def fit(self, workload, epochs):
        """Whole epochs, results on the host at the end; seconds an epoch."""
        model, before = self.models[workload], self.models[workload].steps
        began = time.perf_counter()
        loss = model.fit(epochs)
        passed = time.perf_counter() - began
        return {"epoch_s": passed / epochs, "loss": float(loss), "steps": model.steps - before}

    def predict(self, workload, calls, limit):
        """Milliseconds of each call with one row, for each way to ask; `limit` seconds at most for each."""
        model, found = self.models[workload], {}
        row = model.row()
        for name, way in model.ways.items():
            way(row), way(row)
            times, until = [], time.perf_counter() + limit
            while len(times) < calls and (began := time.perf_counter()) < until:
                way(row)
                times.append(time.perf_counter() - began)
            found[name] = [1000 * t for t in times]
        return {"ms": found}

    def many(self, workload, size, calls, limit):
        """Rows a second of large predictions, `size` rows a batch; `limit` seconds at most (but one call)."""
        model = self.models[workload]
        rows = model.workload.many
        if workload not in self.warm:
            model.many(rows, size)
            self.warm.add(workload)
        rates, until = [], time.perf_counter() + limit
        while len(rates) < calls and ((began := time.perf_counter()) < until or not rates):
            model.many(rows, size)
            rates.append(rows / (time.perf_counter() - began))
        return {"rows_s": rates}

    def flow(self):
        """Bytes a second that the machine moves, now."""
        return self.side.flow()

    def rate(self):
        """What the machine gives in one large product, now."""
        return self.side.rate()

    def close(self, workload):
        self.models.pop(workload)
        self.warm.discard(workload)
        return {"peak_mb": peak()}


def peak():
    """The most memory this process ever had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a framework prints belongs to the log
    try:
        side, seconds = import_side(sys.argv[1])
        hello = {"import_s": seconds, "versions": side.versions(), "device": side.device()}
        bench = Bench(side)
    except Exception as error:
        traceback.print_exc()
        answers.write(json.dumps({"error": one_line(error)}) + "\n")
        return
    answers.write(json.dumps(hello) + "\n")
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(bench, order.pop("do"))(**order)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": one_line(error)}
        answers.write(json.dumps(answer) + "\n")


def one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


if __name__ == "__main__":
    main()
