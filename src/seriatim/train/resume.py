"""Where a run of training stands, as one record; and a run put back to where another one stood.

Floor 4. Weights, optimizer, counts of the metrics, random key, place in the data, and what the callbacks remember:
all that the next step depends on, so a run that goes on from here is the run that was never interrupted, bit for bit.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import FileError
from ..engine.plan import merge
from ..files.record import Record

SCALARS = (bool, int, float, str, type(None))


def snapshot(run, epoch, done):
    """The Record of a run that has done `done` batches of `epoch` (0: the epoch has not begun)."""
    ts, model = run.session.ts, run.model
    arrays = {f"weights/{name}": array for name, array in named(merge(ts.params, ts.state))}
    for group in ("opt_state", "tally"):
        arrays |= {f"{group}/{i}": array for i, array in enumerate(jax.tree.leaves(getattr(ts, group)))}
    arrays["key"] = jax.random.key_data(ts.key)
    callbacks = []
    for i, callback in enumerate(run.watchers.callbacks):
        kept, lists = remembered(callback)
        callbacks.append(
            {"class": type(callback).__name__, "kept": kept, "lists": {n: len(v) for n, v in lists.items()}}
        )
        arrays |= {f"callbacks/{i}/{n}/{j}": a for n, part in lists.items() for j, a in enumerate(part)}
    config = {
        "epoch": int(epoch), "batch": int(done), "cursor": int(run.cursor), "passed": int(run.passed),
        "step": int(ts.step), "data_seed": int(model.data_seed), "stop_training": bool(model.stop_training),
        "callbacks": callbacks,
    }  # fmt: skip
    return Record(config, {name: np.asarray(array) for name, array in arrays.items()}, {})


def restore(run, record, where):
    """Put a run that has not begun to where the record says; a FileError, and nothing moved, if it does not fit."""
    ts, model, config, arrays = run.session.ts, run.model, record.config, record.arrays
    places = [dict(layer) for layer in merge(ts.params, ts.state)]
    wanted = {f"weights/{name}": array for name, array in named(places)}
    for group in ("opt_state", "tally"):
        wanted |= {f"{group}/{i}": leaf for i, leaf in enumerate(jax.tree.leaves(getattr(ts, group)))}
    for name, old in wanted.items():
        new = arrays.get(name)
        if new is None or (new.shape, new.dtype) != (old.shape, old.dtype):
            raise FileError(
                f"the run in {where} is another one", saw=f"{name}: {told(new)}", want=told(old),
                fix="the same model, compile and callbacks as before; or delete the folder to begin anew",
                code="mismatch",
            )  # fmt: skip
    for name, _ in named(places):
        layer, _, word = name.partition("/")
        places[int(layer)][word] = jnp.asarray(arrays[f"weights/{name}"])
    opt_state, tally = (
        jax.tree.unflatten(tree, [jnp.asarray(arrays[f"{group}/{i}"]) for i in range(tree.num_leaves)])
        for group, tree in ((group, jax.tree.structure(getattr(ts, group))) for group in ("opt_state", "tally"))
    )
    model.receive(tuple(places), opt_state, config["step"])
    model.key, model.data_seed = jax.random.wrap_key_data(jnp.asarray(arrays["key"])), config["data_seed"]
    model.stop_training = config["stop_training"]
    run.session.ts = ts._replace(tally=tally)
    run.session.take()
    run.first, run.done = config["epoch"], config["batch"]
    run.cursor, run.passed = config["cursor"], config["passed"]
    for i, (callback, told_then) in enumerate(zip(run.watchers.callbacks, config["callbacks"], strict=False)):
        if type(callback).__name__ == told_then["class"]:
            lists = {n: [arrays[f"callbacks/{i}/{n}/{j}"] for j in range(m)] for n, m in told_then["lists"].items()}
            vars(callback).update(told_then["kept"], **lists)


def named(layers):
    """("0/kernel", array), … of the arrays of each layer."""
    return [(f"{i}/{name}", array) for i, layer in enumerate(layers) for name, array in layer.items()]


def remembered(callback):
    """What a callback asks to be kept: ({name: plain value}, {name: list of arrays})."""
    found = {name: getattr(callback, name, None) for name in getattr(callback, "remembered", ())}
    lists = {n: value for n, value in found.items() if isinstance(value, list)}
    kept = {n: plain(value) for n, value in found.items() if n not in lists}
    return kept, lists


def plain(value):
    return value if isinstance(value, SCALARS) else np.asarray(value).item()


def told(array):
    return "nothing" if array is None else f"{array.dtype} {tuple(array.shape)}"


__all__ = ["restore", "snapshot"]
