"""The processes: one a framework, side by side, asked in turn, so that drift of the machine hits all alike.

Standard library only. `race` measures one workload; the rest starts workers and talks to them.
"""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent

FRAMEWORKS = {  # name -> (module of the side, Keras's backend)
    "ours": ("ours", None),
    "keras-tensorflow": ("keras_side", "tensorflow"),
    "keras-jax": ("keras_side", "jax"),
    "keras-torch": ("keras_side", "torch"),
    "torch": ("torch_loop", None),
    "jax": ("jax_loop", None),
}


class Lost(Exception):
    """A worker did not answer, or answered that it failed."""


@dataclass
class Plan:
    """How much to measure."""

    rounds: int = 3
    epochs: int = 2  # of one round
    calls: int = 200  # of one row, in all rounds together
    call_limit: float = 1.0  # seconds a round for them
    many_batch: int = 256  # rows a batch in large predictions
    many_calls: int = 3  # of these in a round
    many_limit: float = 0.5  # seconds a round for them
    timeout: float = 600.0

    def epochs_of(self, workload):
        """Epochs of one round: those of the plan, but fewer where the workload has long ones."""
        return min(self.epochs, workload.epochs or self.epochs)


class Worker:
    """One framework in its own process."""

    def __init__(self, framework, python, out, environment=(), timeout=600.0):
        side, backend = FRAMEWORKS[framework]
        self.framework, self.timeout, self.fresh = framework, timeout, True
        unlike_users = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")  # pip compiles what it installs
        env = {name: value for name, value in os.environ.items() if name not in unlike_users}
        env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": str(out / "keras")}
        env |= {"BENCH_DATA": str(out / "data")}
        env |= {"SERIATIM_CACHE": str(out / "programs"), **dict(environment)}  # empty at the start of a run
        if backend:
            env["KERAS_BACKEND"] = backend
        self.log = open(out / f"{framework}.log", "a")  # noqa: SIM115  (closed with the process)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [python, HERE / "worker.py", side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env=env, text=True,
        )  # fmt: skip
        self.hello = self.answer()

    def ask(self, do, **order):
        """Send an order and wait for its answer."""
        self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        alarm = threading.Timer(self.timeout, self.process.kill)
        alarm.start()
        line = self.process.stdout.readline()
        in_time = alarm.is_alive()
        alarm.cancel()
        if not line:
            self.stop()
            raise Lost(f"the process ended ({self.process.returncode})" if in_time else "no answer in time")
        found = json.loads(line)
        if "error" in found:
            raise Lost(found["error"])
        return found

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def race(workload, starters, plan, say):
    """Measure `workload` with every framework: {name: record}. A record with "error" is one that failed.

    starters: {name: function without arguments that returns its Worker}. Each starts and trains its first
    epoch alone; then all take turns, in another order each round.
    """
    workers, records = {}, {}
    for name, start in starters.items():
        records[name] = record = {"workload": workload.name, "framework": name, "epoch_s": [], "ms": {}, "rates": []}
        try:
            workers[name] = worker = start()
            open_one(worker, workload, record)
            say(f"{workload.name}: {name} has its first epoch after {record['first_epoch_s']:.1f} s")
        except (Lost, OSError) as problem:
            fail(record, workers, name, problem, say)
    for turn in range(plan.rounds):
        for name in turned(list(workers), turn):
            try:
                one_round(workers[name], workload, plan, records[name])
            except (Lost, OSError) as problem:
                fail(records[name], workers, name, problem, say)
        seconds = ", ".join(f"{name} {records[name]['epoch_s'][-1]:.2f}" for name in workers)
        say(f"{workload.name}: round {turn + 1} of {plan.rounds}, seconds an epoch: {seconds}")
    for name, worker in workers.items():
        try:
            records[name] |= worker.ask("close", workload=workload.name)
            if name == "ours":  # its arrays are large: after the peak of the memory has been read
                records[name] |= worker.ask("flow")
        except (Lost, OSError) as problem:
            records[name]["error"] = str(problem)
        summarize(records[name], workload, plan)
    check_equal_work(records, say)
    return records


def turned(names, by):
    """The same names, another one first: nobody always runs behind the same neighbour."""
    by %= max(len(names), 1)
    return names[by:] + names[:by]


def open_one(worker, workload, record):
    found = worker.ask("open", workload=workload.name, rows=workload.rows)
    since = time.perf_counter() - worker.started - found["data_s"]
    record |= worker.hello | found | {"first_epoch_s": since if worker.fresh else found["cold_s"]}
    worker.fresh = False


def one_round(worker, workload, plan, record):
    if worker.framework == "ours":
        record["gflops"] = max(record.get("gflops", 0), worker.ask("rate")["gflops"])
    found = worker.ask("fit", workload=workload.name, epochs=plan.epochs_of(workload))
    record["epoch_s"].append(found["epoch_s"])
    record["steps"] += found["steps"]
    record["last_loss"] = found["loss"]
    limit = {"calls": -(-plan.calls // plan.rounds), "limit": plan.call_limit}
    for way, times in worker.ask("predict", workload=workload.name, **limit)["ms"].items():
        record["ms"].setdefault(way, []).extend(times)
    limit = {"calls": plan.many_calls, "limit": plan.many_limit}
    found = worker.ask("many", workload=workload.name, size=plan.many_batch, **limit)
    record["rates"].extend(found["rows_s"])


def fail(record, workers, name, problem, say):
    record["error"] = str(problem)
    workers.pop(name, None)
    say(f"{name} failed: {problem}")


def summarize(record, workload, plan):
    """Medians, and the work that was done."""
    if not record["epoch_s"]:
        return
    steps = workload.steps
    record["epoch"] = median(record["epoch_s"])
    record["ms_step"] = 1000 * record["epoch"] / steps
    for way, times in record.pop("ms").items():
        record[f"{way}_ms"], record[f"{way}_calls"] = median(times), len(times)
    record["rows_s"] = median(record.pop("rates"))
    due = steps * (1 + plan.rounds * plan.epochs_of(workload))
    if record["steps"] != due and "error" not in record:
        record["error"] = f"took {record['steps']} steps, not {due}"


def check_equal_work(records, say):
    """All must have the same number of weights and a finite loss: else they did not do the same."""
    counts = {name: r["weights"] for name, r in records.items() if "weights" in r}
    if len(set(counts.values())) > 1:
        say(f"the numbers of trainable weights differ: {counts}")
        for name in counts:
            records[name].setdefault("error", "not the same number of weights in all frameworks")
    for name, record in records.items():
        if not abs(record.get("last_loss", 0.0)) < float("inf"):
            say(f"{name}: the loss is not finite")
            record.setdefault("error", "the loss is not finite")
