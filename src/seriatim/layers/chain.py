"""The fold: send x down the chain. And what follows from it: shapes, first arrays, a chain as a layer.

Floor 2. `run` is the whole of a Sequential model; everything else in the library calls it or reads it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..base import settings
from ..base.report import SeriatimErrors, UsageError
from ..base.signature import check_rank
from .contract import PENALTY, Call, under, within
from .layer import Layer


def run(layers, arrays, x, call):
    """Send x down the chain: (output, what the layers moved, final mask)."""
    moved = []
    for i, (layer, w) in enumerate(zip(layers, arrays, strict=True)):
        w, x = layer.meet(w, x)
        y, new = layer.apply(w, x, call.at(i))
        if layer.activity_regularizer is not None:
            found = sum(layer.activity_regularizer(leaf) / len(leaf) for leaf in jax.tree.leaves(y))
            new = {**new, PENALTY: new.get(PENALTY, 0) + found}
        call = call._replace(mask=layer.next_mask(x, call.mask))
        moved.append(new)
        x = y
    return x, moved, call.mask


# ---- shapes ---------------------------------------------------------------------------------------


def output_shape(layer, shape, dtype=None):
    """The shape behind `layer` for an input of `shape`; None marks what the input leaves open.

    Derived by running the layer abstractly, twice if an axis other than the batch is open: an axis of
    the output that follows the open ones is open too.
    """
    check_rank(layer, layer.signature, shape)
    dtype = dtype or layer.compute_dtype
    first = _probe(layer, shape, dtype, (2, 64))
    if None not in shape[1:]:
        return jax.tree.map(lambda y: (shape[0], *y.shape[1:]), first)
    second = _probe(layer, shape, dtype, (3, 96))

    def merge(a, b):
        return tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))

    return jax.tree.map(merge, first, second)


def _probe(layer, shape, dtype, sizes):
    batch, open_axis = sizes
    concrete = [batch if size is None and i == 0 else open_axis if size is None else size for i, size in enumerate(shape)]
    declared = list(layer.declare(shape))
    w = {
        weight.name: jax.ShapeDtypeStruct(_sized(weight.shape, batch), weight.dtype or layer.variable_dtype)
        for weight in declared
    }
    call = Call(training=False, root=jax.random.key(0))

    def once(w, x):
        return layer.apply(*layer.meet(w, x), call)[0]

    try:
        return jax.eval_shape(once, w, jax.ShapeDtypeStruct(tuple(concrete), dtype))
    except SeriatimErrors:
        raise
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) cannot run on this input",
            at=layer._birthplace, saw=f"an input of shape {shape}: {str(error).splitlines()[0]}",
            want=f"axes that fit {layer.signature!r}",
        ) from error  # fmt: skip


def _sized(shape, batch):
    return tuple(batch if size is None else size for size in shape)


# ---- a chain is a layer -----------------------------------------------------------------------------


class Chain(Layer):
    """y = layers[-1](… layers[1](layers[0](x))): a chain, as a layer of another chain."""

    integers = True
    full_precision = True  # each inner layer meets its own arrays

    @property
    def children(self):
        return {str(i): layer for i, layer in enumerate(self.chain)}

    def inner_shapes(self, shape):
        found = {}
        for i, layer in enumerate(self.chain):
            found[str(i)] = shape
            if i + 1 < len(self.chain):
                shape = output_shape(layer, shape)
        return found

    def declare(self, shape):
        shapes = self.inner_shapes(shape)
        return [weight for name, layer in self.children.items() for weight in under(name, layer.declare(shapes[name]))]

    def apply(self, w, x, call):
        arrays = [within(w, str(i)) for i in range(len(self.chain))]
        y, moved, _ = run(self.chain, arrays, x, call)
        joined = {}
        for i, new in enumerate(moved):
            joined.update(under(str(i), {name: array for name, array in new.items() if name != PENALTY}))
        penalties = [new[PENALTY] for new in moved if PENALTY in new]
        return y, {**joined, PENALTY: sum(penalties)} if penalties else joined

    def next_mask(self, x, mask):
        for i, layer in enumerate(self.chain):
            mask = layer.next_mask(x if i == 0 else None, mask)
        return mask
