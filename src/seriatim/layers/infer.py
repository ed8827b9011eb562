"""Shapes are derived by running a layer abstractly, never written a second time.

Floor 2.
"""

import jax

from ..base.report import SeriatimErrors, UsageError
from ..base.signature import check_rank
from .contract import Call


class KerasTensor:
    """A shape (batch axis first, None: any size) and a dtype, without data.

    A layer called on one is built and answers with another; there is no graph behind it, so nothing is made of
    several of them.

    >>> from seriatim.layers import Dense
    >>> Dense(3)(KerasTensor((None, 8)))
    <KerasTensor shape=(None, 3), dtype=float32>
    """

    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, **options):
        if sparse or ragged:
            raise UsageError("sparse and ragged tensors are not offered", saw=f"sparse={sparse}, ragged={ragged}")
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype = dtype if dtype == "string" else str(jax.numpy.dtype(dtype))
        self.name = name or "keras_tensor"
        self.sparse = self.ragged = False

    @property
    def ndim(self):
        return len(self.shape)

    def __repr__(self):
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}>"


def output_spec(layer, shape, dtype=None):
    """The KerasTensor behind `layer` for an input of `shape`; None marks what the input leaves open.

    Derived by running the layer abstractly, twice if an axis is open: an axis of the output that follows the open
    ones is open too.
    """
    check_rank(layer, layer.signature, shape)
    if layer.host:  # strings have no abstract form: a host layer says its shape itself
        return KerasTensor(layer.compute_output_shape(shape))
    if layer.keras_style and type(layer).compute_output_shape is not layer.layer_class.compute_output_shape:
        return KerasTensor(layer.compute_output_shape(shape), layer.compute_dtype)  # the author's own word
    dtype = dtype or layer.compute_dtype
    first = _probe(layer, shape, dtype, (2, 5040))
    if None not in shape[1:]:
        return jax.tree.map(lambda y: KerasTensor((shape[0], *y.shape[1:]), y.dtype), first)
    second = _probe(layer, shape, dtype, (3, 7560))

    def merge(a, b):
        return KerasTensor((m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)), a.dtype)

    return jax.tree.map(merge, first, second)


def output_shape(layer, shape, dtype=None):
    """The shape behind `layer` for an input of `shape`."""
    return jax.tree.map(lambda spec: spec.shape, output_spec(layer, shape, dtype))


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

    def once(w, x, key):
        return layer.apply(*layer.meet(w, x), Call(training=False, root=key, sketch=None in shape[1:]))[0]

    try:
        return jax.eval_shape(once, w, jax.ShapeDtypeStruct(tuple(concrete), dtype), jax.eval_shape(jax.random.key, 0))
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
