"""One step: the gradient of the objective, the optimizer's update, the tallies. And the loop around it.

Floor 3. Pure functions of (plan, state, data): the same for a batch, an epoch, one device or many.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..data.source import Batch
from ..kernels import serve, update
from ..kernels.rows import Rows, take
from ..layers.chain import run
from ..layers.contract import PENALTY, Call
from ..optimizers.host import rate_dtype
from ..optimizers.optimizer import keep
from .plan import merge, split


class TrainState(NamedTuple):
    """All that training depends on; with the callbacks' states, it is the checkpoint."""

    params: Any  # what the optimizer moves
    state: Any  # what the layers move
    opt_state: Any  # what the optimizer remembers, the learning rate included
    tally: Any  # what the metrics have counted in this epoch
    key: Any
    step: Any  # int32


# ---- one batch ------------------------------------------------------------------------------------


def train_step(plan, ts, batch):
    """The next state. A loss or gradient that is not finite leaves params and state as they were."""
    call = Call(training=True, root=jax.random.fold_in(ts.key, ts.step), step=ts.step)

    def objective(params):
        total, seen = evaluate(plan, merge(params, ts.state), params, batch, call)
        return plan.optimizer.scale_loss(total, ts.opt_state), (total, *seen)

    (_, (total, pred, moved, mask)), grads = jax.value_and_grad(objective, has_aux=True)(ts.params)
    finite = jnp.isfinite(total) & all_finite(grads)
    params, opt_state = plan.optimizer.advance(grads, ts.opt_state, ts.params, finite=finite)
    params = keep(finite, constrain(plan, params), params)
    state = keep(finite, merge_moved(ts.state, moved), ts.state)
    tally = count(plan, ts.tally, batch, pred, mask, total)
    return TrainState(params, state, opt_state, tally, ts.key, ts.step + 1)


def evaluate(plan, arrays, params, batch, call):
    """The objective on one batch: loss and penalties, and what was seen on the way."""
    pred, moved, mask = run(plan.layers, arrays, batch.x, call)
    total = sum((new[PENALTY] for new in moved if PENALTY in new), start=jnp.zeros((), jnp.float32))
    if plan.loss is not None:
        total = total + plan.loss_weight * plan.loss(batch.y, pred, sample_weight=batch.w, mask=mask)
    for i, name, regularizer in plan.penalties:
        total = total + regularizer(params[i][name])
    return total, (pred, moved, mask)


def all_finite(tree):
    """Whether every entry is finite: a sum carries any NaN or infinity along."""
    leaves = jax.tree.leaves(tree)
    if leaves and serve(*leaves):
        return update.all_finite(leaves)
    leaves = [jnp.sum(leaf * 0) for leaf in leaves]
    return jnp.isfinite(sum(leaves)) if leaves else jnp.bool_(True)


def merge_moved(state, moved):
    """The layers' state after a step; what moved takes the dtype it is kept in."""
    return tuple(
        {**old, **{n: jnp.asarray(a, old[n].dtype) for n, a in new.items() if n in old}}
        for old, new in zip(state, moved, strict=True)
    )


def constrain(plan, params):
    """Params with every declared constraint applied."""
    if not plan.constraints:
        return params
    params = [dict(w) for w in params]
    for i, name, constraint in plan.constraints:
        params[i][name] = constraint(params[i][name])
    return tuple(params)


def test_step(plan, arrays, tally, batch):
    """The tally after one more batch; nothing else moves but the state of stateful layers."""
    total, (pred, moved, mask) = evaluate(plan, arrays, split(plan, arrays)[0], batch, Call(training=False))
    return count(plan, tally, batch, pred, mask, total), merge_moved(arrays, moved)


def predict_step(plan, arrays, x, key=None):
    """(prediction, what stateful layers moved). `key`: for layers of a user that draw at rest too."""
    pred, moved, _ = run(plan.layers, arrays, x, Call(training=False, root=key))
    return pred, [
        {n: jnp.asarray(a, old[n].dtype) for n, a in new.items() if n in old}
        for old, new in zip(arrays, moved, strict=True)
    ]


# ---- tallies ----------------------------------------------------------------------------------------


def zero_tally(plan, y, pred):
    """Nothing counted yet: the loss, and each metric. In doubles if these are the float type of the process."""
    zero = np.zeros((), rate_dtype())
    metrics = tuple(metric.zero(y, pred) for _, metric, _ in plan.metrics)
    return {"loss": zero, "rows": zero, "metrics": metrics}


def count(plan, tally, batch, pred, mask, total):
    """The tally with one more batch: the loss weighs by rows, metrics by mask and (if asked) sample weight."""
    rows = jnp.asarray(jax.tree.leaves(batch.x)[0].shape[0], tally["rows"].dtype)
    metrics = []
    for (_, metric, weighted), before in zip(plan.metrics, tally["metrics"], strict=True):
        weight = batch.w if weighted else None
        if mask is not None and metric.masked:
            mask_weight = jnp.asarray(mask, jnp.float32)
            weight = mask_weight if weight is None else mask_weight * spread(weight, mask_weight)
        metrics.append(metric.add(before, batch.y, pred, weight))
    loss = tally["loss"] + jnp.asarray(total, rows.dtype) * rows
    return {"loss": loss, "rows": tally["rows"] + rows, "metrics": tuple(metrics)}


def spread(weight, mask):
    """A weight for each row, shaped to meet a mask (b, t)."""
    return jnp.reshape(weight, weight.shape + (1,) * (mask.ndim - weight.ndim))


def read_tally(plan, tally):
    """{name: value} of the loss and every metric."""
    values = {"loss": tally["loss"] / jnp.maximum(tally["rows"], 1)}
    for (name, metric, _), counted in zip(plan.metrics, tally["metrics"], strict=True):
        values[name] = metric.read(counted)
    return values


# ---- many batches in one call -------------------------------------------------------------------------


def rows(data, order, start, size):
    """`size` rows from `start`, in the order given: a batch out of data that lives on the device, or in place."""
    if order is None:
        return Batch(*(None if a is None else stretch(a, start, size) for a in data))
    index = jax.lax.dynamic_slice_in_dim(order, start, size)
    return Batch(*(None if a is None else pick(a, index) for a in data))


def stretch(array, start, size):
    """Rows `start` to `start + size`."""
    if isinstance(array, Rows):
        return array.take(start + jnp.arange(size, dtype=jnp.int32))
    return jax.lax.dynamic_slice_in_dim(array, start, size)


def pick(array, index):
    """The rows `index`, all in range."""
    if isinstance(array, Rows):
        return array.take(index)
    return take(array, index) if serve() else array.at[index].get(mode="promise_in_bounds")


def train_rows(plan, size, ts, data, order, start):
    """One step on `size` rows from `start`."""
    return train_step(plan, ts, rows(data, order, start, size))


def train_chunk(plan, size, ts, data, order, start, stop):
    """Steps `start` to `stop` (traced: one program for any length) on data that lives on the device."""
    return jax.lax.fori_loop(start, stop, lambda i, ts: train_rows(plan, size, ts, data, order, i * size), ts)


def test_rows(plan, size, arrays, tally, data, start):
    return test_step(plan, arrays, tally, rows(data, None, start, size))


def test_chunk(plan, size, arrays, tally, data, start, stop):
    """Batches `start` to `stop` counted into the tally."""

    def body(i, now):
        tally, arrays = now
        return test_rows(plan, size, arrays, tally, data, i * size)

    return jax.lax.fori_loop(start, stop, body, (tally, arrays))


def copy_state(tree):
    """Fresh buffers with the same values, so that the originals may be kept while these are donated."""
    return jax.tree.map(jnp.copy, tree)
