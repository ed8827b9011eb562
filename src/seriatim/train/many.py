"""fit_many: a population of one architecture (seeds, rates, folds), trained in one compiled program.

Floor 4. A member is what `fit` would make of it alone with the same seed; `engine/population.py` runs them.
"""

import concurrent.futures
import copy
import inspect
import itertools
import math
import random
import time

import jax
import jax.numpy as jnp
import numpy as np

from ..base import settings
from ..base.report import DataError, UsageError
from ..data.source import Batch, Resident, open_source
from ..engine import population as engine
from ..engine import step
from ..engine.differences import numbers_of
from ..engine.plan import avals, merge, split
from ..engine.step import TrainState
from ..layers.chain import Chain
from ..optimizers.host import rate_dtype
from .callbacks.callback import CallbackList
from .callbacks.rate import LearningRateScheduler, ReduceLROnPlateau
from .callbacks.stop import EarlyStopping, TerminateOnNaN
from .display import make_display, number
from .fit import check_counts, open_validation
from .history import History
from .population import Member, Population
from .session import LONGEST, on_device, plain

WATCHERS = (EarlyStopping, ReduceLROnPlateau, LearningRateScheduler, TerminateOnNaN)


def fit_many(
    build, over, x, y=None, *, folds=None, epochs=1, batch_size=None, validation_split=0.0, validation_data=None,
    validation_batch_size=None, shuffle=True, sample_weight=None, class_weight=None, callbacks=None, verbose="auto",
):  # fmt: skip
    """Train many models of one architecture at once; returns a Population of models and histories.

    build: a function that returns a compiled Sequential; it gets the values of a point by name.
    over: how many seeds (0, 1, …), or a list of seeds; a dict of lists (every combination); or a list of dicts.
        `seed` fixes first weights, order of the data and dropout, and reaches `build` only if that names it. Points
        without one share a seed.
    folds: a number of folds, or pairs (rows to train on, rows to validate on): every point is trained on each.
    callbacks: EarlyStopping, ReduceLROnPlateau, LearningRateScheduler, TerminateOnNaN: each member gets its own.

    The rest is as in `fit`. Each member is what `set_random_seed(seed); build(**point).fit(…)` makes of it alone, but
    for the rounding of float32. Members may differ in numbers (rates of learning, of dropout, of decay, strengths of
    regularizers), not in shapes, nor in what the program is made of.

    >>> population = fit_many(build, {"rate": [0.0, 0.2, 0.5], "seed": [1, 2]}, x, y, epochs=20)  # doctest: +SKIP
    >>> population.best("val_accuracy").model.save("best.keras")  # doctest: +SKIP
    """
    check_counts(epochs=epochs, batch_size=batch_size, validation_batch_size=validation_batch_size)
    watchers = checked(callbacks)
    points = points_of(over)
    source = open_source(x, y, sample_weight, batch_size, class_weight)
    if not isinstance(source, Resident):
        raise UsageError(
            "fit_many trains on arrays", saw=type(x).__name__, fix="collect the batches, or fit one by one"
        )
    if folds is not None:
        if validation_split or validation_data is not None:
            raise UsageError("folds bring their own validation", saw="folds beside validation data")
        pairs = folds_of(folds, source.rows)
        points = [{**point, "fold": i} for point in points for i in range(len(pairs))]
        own = [pairs[point["fold"]] for point in points]
        held = source.data if class_weight is None else Batch(source.data.x, source.data.y)
        sides = [
            Side(source.data, source.batch_size, [rows for rows, _ in own]),
            Side(held, validation_batch_size or batch_size or 32, [rows for _, rows in own]),
        ]
    else:
        validation = open_validation(validation_data, validation_batch_size or batch_size)
        if validation_split and validation is None:
            source, validation = source.split(validation_split, weigh=class_weight is None)
            validation.batch_size = min(validation_batch_size or validation.batch_size, validation.rows)
        if validation is not None and not isinstance(validation, Resident):
            raise UsageError("fit_many validates on arrays", saw=type(validation_data).__name__)
        parts = [part for part in (source, validation) if part is not None]
        sides = [Side(part.data, part.batch_size, [part.rows] * len(points)) for part in parts]
    models = make(build, points, source.data)
    training = Training(models, *sides, shuffle=shuffle, watchers=watchers)
    epochs = min(epochs, settings.max_epochs() or epochs)
    return training.run(points, epochs, display=make_display(verbose) is not None)


# ---- what was asked for ------------------------------------------------------------------------------------


def points_of(over):
    """The points as dicts, each with a seed."""
    if isinstance(over, (int, np.integer)) and not isinstance(over, bool):
        points = [{"seed": seed} for seed in range(over)]
    elif isinstance(over, dict):
        axes = [values if _is_list(values) else [values] for values in over.values()]
        points = [dict(zip(over, values, strict=True)) for values in itertools.product(*axes)]
    elif _is_list(over):
        points = [dict(item) if isinstance(item, dict) else {"seed": item} for item in over]
    else:
        raise UsageError(
            "`over` says which members there are", saw=repr(over),
            want="a number of seeds, a list of seeds, a dict of lists, or a list of dicts",
        )  # fmt: skip
    if not points:
        raise UsageError("a population has members", saw=f"over={over!r}", want="at least one")
    common = settings.next_seed()
    for point in points:
        seed = point.setdefault("seed", common)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise UsageError("a seed is a whole number", saw=repr(seed))
    return points


def _is_list(value):
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict))


def folds_of(folds, rows):
    """[(rows to train on, rows to validate on)]. A number: parts of equal size (or one row less) of all rows, dealt
    out at random, but in the same way each time.
    """
    if isinstance(folds, (int, np.integer)) and not isinstance(folds, bool):
        if not 2 <= folds <= rows:
            raise UsageError("folds counts the parts", saw=f"folds={folds}", want=f"from 2 to {rows}, the rows")
        parts = np.array_split(np.random.default_rng(0).permutation(rows), folds)
        pairs = [(np.concatenate(parts[:i] + parts[i + 1 :]), part) for i, part in enumerate(parts)]
        return [tuple(np.sort(side).astype(np.int32) for side in pair) for pair in pairs]
    pairs = [tuple(_row_numbers(side, rows) for side in pair) for pair in folds]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise UsageError("folds are pairs (rows to train on, rows to validate on)", saw=f"{len(pairs)} entries")
    return pairs


def _row_numbers(side, rows):
    side = np.asarray(side)
    side = np.flatnonzero(side) if side.dtype == bool and side.shape == (rows,) else side
    if side.ndim != 1 or side.dtype.kind not in "iu" or not side.size or side.min() < -rows or side.max() >= rows:
        raise DataError(
            "a fold names rows of x", saw=f"{side.dtype} {side.shape}", want=f"whole numbers below {rows}, at least one"
        )
    return (side % rows).astype(np.int32)


def checked(callbacks):
    callbacks = [callbacks] if hasattr(callbacks, "on_epoch_end") else list(callbacks or [])
    for callback in callbacks:
        if type(callback) not in WATCHERS:
            raise UsageError(
                f"fit_many cannot give each member its own {type(callback).__name__}", saw=type(callback).__name__,
                want=", ".join(kind.__name__ for kind in WATCHERS), fix="read the histories afterwards, or use fit",
            )  # fmt: skip
    return callbacks


def make(build, points, sample):
    """A model for each point, built and ready, as after `set_random_seed(seed)`; the process keeps its own chance."""
    named = inspect.signature(build).parameters
    before, models = (random.getstate(), np.random.get_state()), []
    try:
        for point in points:
            random.seed(int(point["seed"]))
            np.random.seed(int(point["seed"]) % 2**32)
            left_out = {"fold"} if "seed" in named else {"fold", "seed"}
            model = build(**{name: value for name, value in point.items() if name not in left_out})
            if not isinstance(model, Chain) or not hasattr(model, "ready") or any(model is other for other in models):
                raise UsageError("build returns a new compiled Sequential each time", saw=repr(type(model).__name__))
            model.ready(sample, training=True)
            models.append(model)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    return models


# ---- whose rows -------------------------------------------------------------------------------------------


class Side:
    """The rows for training, or those for validation: the arrays once, and for each member which rows are its own.

    own: for each member its rows, as an array of numbers or (all of them) as a count.
    """

    def __init__(self, data, batch_size, own):
        self.data = data
        self.own = None if isinstance(own[0], int) else own
        self.sources = [Resident(range(rows) if isinstance(rows, int) else rows, batch_size=batch_size) for rows in own]

    def runs(self):
        """{(size, first row): how many batches each member has there}: whole batches, then the smaller last ones."""
        found = {}
        for i, source in enumerate(self.sources):
            size, rest = source.batch_size, source.rest
            for key, count in (((size, 0), source.steps), ((rest, source.steps * size), min(rest, 1))):
                if count:
                    found.setdefault(key, np.zeros(len(self.sources), np.int32))[i] += count
        return found

    def order(self, seeds=None, epoch=0, shuffle=False):
        """The rows in the order of each member: int32 (members, longest), or None for as they are."""
        known, orders = {}, []
        for i, source in enumerate(self.sources):
            key = (seeds[i] if shuffle else 0, id(self.own[i]) if self.own else 0)
            if key not in known:
                order = source.order(key[0], epoch, shuffle)
                own = self.own[i] if self.own else None
                known[key] = own if order is None else order if own is None else own[order]
            orders.append(known[key])
        if orders[0] is None:
            return None
        longest = max(map(len, orders))
        return np.stack([np.pad(order, (0, longest - len(order))) for order in orders])


# ---- the loop ---------------------------------------------------------------------------------------------


class Training:
    """The stacked states of all members, and the epochs over them."""

    def __init__(self, models, train, validation=None, shuffle=True, watchers=()):
        if models[0].host:
            raise UsageError(
                "fit_many trains on numbers", saw=f"{models[0].chain[0].name}, a layer that runs on the host",
                fix="let the host layers read the rows first: x = layer.feed(x), and build the models without them",
            )  # fmt: skip
        self.models, self.train, self.validation, self.shuffle = models, train, validation, shuffle
        self.plan = check(models)
        places, numbers = numbers_of([model.programs.plan for model in models])
        states = [self.first(model) for model in models]
        check_shapes(models, states)
        together = engine.is_together(self.plan, models[0].shapes, states[0].params, train.sources[0].batch_size)
        self.programs = engine.programs_for(self.plan, places, together)
        self.shares = engine.shares(len(models), together)
        self.numbers = [engine.stacked([tuple(numbers[i]) for i in share]) for share in self.shares]
        self.states = [engine.stacked([states[i] for i in share]) for share in self.shares]
        self.threads = concurrent.futures.ThreadPoolExecutor(len(self.shares), thread_name_prefix="seriatim-share")
        self.seconds = None
        for side in (train, validation):
            if side is not None:
                side.data = on_device(models[0].conform(side.data))
        self.histories = [History() for _ in models]
        self.watchers = [
            CallbackList([copy.deepcopy(w) for w in watchers], add_history=True, history=history)
            for history in self.histories
        ]
        self.looked_at = any(getattr(watcher, "restore_best_weights", False) for watcher in watchers)

    def first(self, model):
        """The state that a model begins with."""
        params, state = split(self.plan, tuple(layer.arrays for layer in model.chain))
        opt_state = model.optimizer_state(params)
        return TrainState(params, state, opt_state, self.zero(), model.key, np.int32(model.steps_done))

    def zero(self):
        return jax.tree.map(np.asarray, step.zero_tally(self.plan, *self.models[0].target_avals))

    def zeros(self):
        """A tally for each member of each share, nothing counted."""
        zero = self.zero()
        return [jax.tree.map(lambda a: jnp.asarray(np.stack([a] * len(s))), zero) for s in self.shares]  # noqa: B023

    def run(self, points, epochs, display):
        """All epochs, and the models with what they have learned."""
        for model, watcher, history in zip(self.models, self.watchers, self.histories, strict=True):
            model.history, model.stop_training = history, False
            watcher.set_model(model)
            watcher.set_params({"verbose": 0, "epochs": epochs, "steps": self.train.sources[0].total_steps})
            watcher.on_train_begin()
        logs, done = [{} for _ in self.models], False
        self.prepare()
        try:
            for epoch in range(epochs):
                active = [i for i, model in enumerate(self.models) if not model.stop_training]
                if not active:
                    break
                began = time.perf_counter()
                self.epoch(epoch, active, logs)
                if display:
                    print(line(epoch, epochs, [logs[i] for i in active], time.perf_counter() - began), flush=True)
            done = True
        finally:
            self.give(range(len(self.models)), last=done)
            self.threads.shutdown()
        for watcher, log in zip(self.watchers, logs, strict=True):
            watcher.on_train_end(log)
        kept = [kept_epoch(w, history) for w, history in zip(self.watchers, self.histories, strict=True)]
        return Population(map(Member, points, self.models, self.histories, kept), self.programs)

    def prepare(self):
        """Ask for all programs: compiled on threads, beside each other."""
        tallies, zero = self.zeros(), np.int32(0)
        for side, kind in ((self.train, "train_members"), (self.validation, "test_members")):
            if side is None:
                continue
            shuffle = self.shuffle if side is self.train else False
            order = self.parts(side.order([0] * len(self.models), 0, shuffle))
            stop = self.parts(np.zeros(len(self.models), np.int32))
            for size, _ in side.runs():
                for k, ts in enumerate(self.states):
                    head = (
                        (ts, self.numbers[k])
                        if kind == "train_members"
                        else (merge_stack(ts), self.numbers[k], tallies[k])
                    )
                    self.programs.ask(kind, *head, side.data, order[k], zero, stop[k], size=size)
        for tally in tallies:
            self.programs.ask("read_members", tally)

    def epoch(self, epoch, active, logs):
        """One epoch of those members that have not stopped; their logs are replaced."""
        for i in active:
            self.watchers[i].on_epoch_begin(epoch)
        self.take_rates()
        for share, zero in enumerate(self.zeros()):
            self.states[share] = self.states[share]._replace(tally=zero)
        seeds = [model.data_seed for model in self.models]
        order = self.parts(self.train.order(seeds, epoch, self.shuffle))
        for (size, base), stop in self.train.runs().items():
            self.steps(size, base, self.resting(stop, active), order)
        values = self.read([ts.tally for ts in self.states])
        if self.validation is not None:
            found = self.validate(active)
            values = [
                {**own, **{f"val_{n}": v for n, v in more.items()}} for own, more in zip(values, found, strict=True)
            ]
        if self.looked_at:
            self.give(active)
        for i in active:
            logs[i] = dict(sorted(values[i].items()))
            self.watchers[i].on_epoch_end(epoch, logs[i])

    def resting(self, stop, active):
        """The numbers of batches, 0 for the members that have stopped."""
        awake = np.zeros(len(stop), np.int32)
        awake[active] = 1
        return stop * awake

    def parts(self, rows):
        """The rows of each share, on the device."""
        if rows is None:
            return [None] * len(self.shares)
        return [jnp.asarray(rows[share.start : share.stop]) for share in self.shares]

    def steps(self, size, base, stop, order):
        """Up to `stop` batches for each member: as many in one call as fit into the time that Ctrl-C may wait."""
        done, total = 0, int(stop.max())
        while done < total:
            length = 1 if self.seconds is None else max(1, min(total - done, int(LONGEST / max(self.seconds, 1e-7))))
            now = self.parts(np.clip(stop - done, 0, length).astype(np.int32))
            args = [
                (ts, numbers, self.train.data, own, np.int32(base + done * size), until)
                for ts, numbers, own, until in zip(self.states, self.numbers, order, now, strict=True)
            ]
            programs = self.compiled("train_members", args, size)
            began = time.perf_counter()
            self.states = self.beside(programs, args)
            if length > 1 or self.seconds is None:
                passed = (time.perf_counter() - began) / length
                self.seconds = passed if self.seconds is None else min(passed, 0.5 * (self.seconds + passed))
            done += length

    def compiled(self, kind, args, size=None):
        asked = [self.programs.ask(kind, *own, size=size) for own in args]
        return [future.result() for future in asked]

    def beside(self, programs, args):
        """The results of a program for each share, run beside each other."""
        calls = [
            self.threads.submit(lambda program, own: jax.block_until_ready(program(*own)), program, own)
            for program, own in zip(programs, args, strict=True)
        ]
        return [call.result() for call in calls]

    def validate(self, active):
        """The logs of each member on its rows for validation."""
        side, tallies = self.validation, self.zeros()
        order, arrays = self.parts(side.order()), [merge_stack(ts) for ts in self.states]
        for (size, base), stop in side.runs().items():
            until = self.parts(self.resting(stop, active))
            args = [
                (own, numbers, tally, side.data, rows, np.int32(base), last)
                for own, numbers, tally, rows, last in zip(arrays, self.numbers, tallies, order, until, strict=True)
            ]
            results = self.beside(self.compiled("test_members", args, size), args)
            tallies, arrays = [tally for tally, _ in results], [moved for _, moved in results]
        return self.read(tallies)

    def read(self, tallies):
        """{name: value} of each member."""
        args = [(tally,) for tally in tallies]
        found = []
        for values in self.beside(self.compiled("read_members", args), args):
            host = {name: np.asarray(values[name]) for name in sorted(values)}
            found += [{n: plain(v[i]) for n, v in host.items()} for i in range(len(host["loss"]))]
        return found

    # ---- between the members and their models ---------------------------------------------------------------

    def take_rates(self):
        """Learning rates that a callback has set since the last epoch."""
        if not any(model.optimizer.changed for model in self.models):
            return
        for k, share in enumerate(self.shares):
            opt_state = self.states[k].opt_state
            rates = np.stack([np.float32(self.models[i].optimizer.learning_rate) for i in share])
            opt_state = self.models[share[0]].optimizer.at_rate(opt_state, jnp.asarray(rates, rate_dtype()))
            self.states[k] = self.states[k]._replace(opt_state=opt_state)
        for model in self.models:
            model.optimizer.changed = False

    def give(self, members, last=False):
        """Let the models have their arrays: for callbacks, and at the end."""
        for share, ts in zip(self.shares, self.states, strict=True):
            if any(leaf.is_deleted() for leaf in jax.tree.leaves(ts)):
                continue  # stopped within a call: the models keep what they had
            host = engine.on_host(ts._replace(key=()))
            for i in set(share) & set(members):
                own, model = engine.member_of(host, i - share.start), self.models[i]
                params = model.optimizer.finish(own.params, own.opt_state) if last else own.params
                rate = float(model.optimizer.learning_rate) if model.optimizer.changed else None
                model.receive(merge(params, own.state), own.opt_state, int(own.step))
                if rate is not None:
                    model.optimizer.learning_rate = rate


def merge_stack(ts):
    return merge(ts.params, ts.state)


def check(models):
    """The plan of the first; a UsageError if a population cannot be made of it."""
    plan = models[0].programs.plan
    if plan.eager:
        raise UsageError("fit_many compiles its step", saw="run_eagerly=True", fix="compile without it, or use fit")
    return plan


def check_shapes(models, states):
    """A UsageError that names the first weight whose shape differs between the members."""
    first = avals(states[0]._replace(key=()))
    for i, (model, ts) in enumerate(zip(models, states, strict=True)):
        other = avals(ts._replace(key=()))
        if first == other:
            continue
        for layer, mine, own in zip(model.chain, first.params, other.params, strict=False):
            if mine != own:
                name = next((n for n in {**mine, **own} if mine.get(n) != own.get(n)), "")
                raise UsageError(
                    f"the members of a population have the same shapes; member {i} differs from member 0 in "
                    f"{layer.name}/{name}", saw=f"{getattr(mine.get(name), 'shape', None)} and "
                    f"{getattr(own.get(name), 'shape', None)}", fix="train each architecture in a call of its own",
                )  # fmt: skip
        raise UsageError(
            f"the members of a population remember the same arrays; those of member {i} differ from member 0",
            want="the same optimizer, with momentum, averages and the like in all of them or in none",
        )  # fmt: skip


def kept_epoch(watchers, history):
    """The place in the history of the epoch that the weights come from."""
    last = max(len(history.epoch) - 1, 0)
    for watcher in watchers.callbacks:
        if getattr(watcher, "restore_best_weights", False) and watcher.best_weights is not None:
            return history.epoch.index(watcher.best_epoch)
    return last


def line(epoch, epochs, logs, seconds):
    """`Epoch 3/10 - 8 members - 0.2s - loss: 0.3012 (0.2931 to 0.3410)`: the median, the least and the most."""
    fields = [f"Epoch {epoch + 1}/{epochs}", f"{len(logs)} members", f"{seconds:.1f}s"]
    for name in logs[0]:
        values = [own[name] for own in logs if isinstance(own[name], float) and math.isfinite(own[name])]
        if values:
            low, middle, high = (number(float(f(values))) for f in (min, np.median, max))
            fields.append(f"{name}: {middle} ({low} to {high})")
    return " - ".join(fields)
