"""Shapes are derived by running a layer abstractly, never written a second time.

Floor 2.
"""

import jax

from ..base.report import SeriatimErrors, UsageError
from ..base.signature import check_rank
from .contract import Call


def output_shape(layer, shape, dtype=None):
    """The shape behind `layer` for an input of `shape`; None marks what the input leaves open.

    Derived by running the layer abstractly, twice if an axis other than the batch is open: an axis of
    the output that follows the open ones is open too.
    """
    check_rank(layer, layer.signature, shape)
    dtype = dtype or layer.compute_dtype
    first = _probe(layer, shape, dtype, (2, 5040))
    if None not in shape[1:]:
        return jax.tree.map(lambda y: (shape[0], *y.shape[1:]), first)
    second = _probe(layer, shape, dtype, (3, 7560))

    def merge(a, b):
        return tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))

    return jax.tree.map(merge, first, second)


def _probe(layer, shape, dtype, sizes):
    batch, open_axis = sizes
    concrete = [
        batch if size is None and i == 0 else open_axis if size is None else size for i, size in enumerate(shape)
    ]
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
