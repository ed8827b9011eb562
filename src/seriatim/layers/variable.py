"""What `layer.kernel` and `model.weights` hand out: a view of one array in a layer's box.

Floor 2. Keras's habit of reading and assigning weights, without a second home for the array.
"""

import operator

import jax
import jax.numpy as jnp
import numpy as np

from ..base import names, registry, settings
from ..base.report import UsageError
from .contract import Weight


class Alone:
    """The home of a Variable that belongs to no layer."""

    name, trainable = "", True

    def __init__(self, key, array):
        self.box = {key: array}

    def redeclare(self, weight):
        """Nobody else reads the declaration."""


class Variable:
    """A named view of one array: `.value`, `.numpy()`, `.assign(x)`, `.shape`, `.dtype`, `.path`.

    Made from an array, or from an initializer (its name, or any function of a shape) and a shape. Not meant to be
    kept by a layer: `add_weight` makes those.

    >>> Variable([1.0, 2.0]).assign_add([1.0, 1.0]).numpy()
    array([2., 3.], dtype=float32)
    """

    def __init__(
        self, initializer, shape=None, dtype=None, trainable=True, autocast=True, aggregation="none",
        synchronization="auto", name=None, **options,
    ):  # fmt: skip
        name = names.fresh("variable") if name is None else name
        if not isinstance(name, str) or "/" in name:
            raise UsageError("the name of a variable is a string without /", saw=f"name={name!r}")
        if isinstance(initializer, str):
            initializer = registry.find("initializer", initializer)()
        if callable(initializer):
            if shape is None:
                raise UsageError("an initializer needs a shape", saw=f"Variable({initializer!r})", fix="shape=(…)")
            dtype = str(jnp.dtype(dtype or settings.floatx()))
            array = initializer(tuple(shape), dtype=dtype)
        else:
            array = initializer.value if isinstance(initializer, Variable) else initializer
            if dtype is None and not hasattr(array, "dtype") and np.asarray(array).dtype.kind == "f":
                dtype = settings.floatx()
            if shape is not None and tuple(shape) != tuple(np.shape(array)):
                raise UsageError("the array has another shape", saw=str(np.shape(array)), want=str(tuple(shape)))
        weight = Weight(name, tuple(np.shape(array)), initializer, trainable=bool(trainable))
        self.layer, self.key, self.weight = Alone(name, jnp.asarray(array, dtype)), name, weight

    @classmethod
    def of(cls, layer, name, weight=None):
        """The view of the array called `name` in the box of `layer`."""
        view = cls.__new__(cls)
        view.layer, view.key, view.weight = layer, name, weight
        return view

    @property
    def name(self):
        return self.key.rpartition("/")[2]

    @property
    def path(self):
        return f"{self.layer.name}/{self.key}" if self.layer.name else self.key

    @property
    def value(self):
        return jnp.asarray(self.layer.box[self.key])

    @property
    def shape(self):
        return tuple(self.layer.box[self.key].shape)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return int(np.prod(self.shape))

    @property
    def dtype(self):
        return str(self.layer.box[self.key].dtype)

    @property
    def trainable(self):
        return bool(self.layer.trainable and (self.weight is None or self.weight.trainable))

    @trainable.setter
    def trainable(self, value):
        self.say(trainable=bool(value))

    @property
    def regularizer(self):
        return self.weight.regularizer if self.weight else None

    @regularizer.setter
    def regularizer(self, value):
        self.say(regularizer=value)

    @property
    def constraint(self):
        return self.weight.constraint if self.weight else None

    @constraint.setter
    def constraint(self, value):
        self.say(constraint=value)

    def say(self, **words):
        """Change what is declared of the array."""
        if self.weight is not None:
            self.weight = self.weight._replace(**words)
            self.layer.redeclare(self.weight)

    def numpy(self):
        return np.asarray(self.layer.box[self.key])

    def assign(self, value):
        """Put `value` (the same shape) in the place of the array."""
        old = self.layer.box[self.key]
        value = value.value if isinstance(value, Variable) else value
        if tuple(np.shape(value)) != tuple(old.shape):
            raise UsageError(
                f"{self.path} keeps its shape", saw=f"a value of shape {np.shape(value)}", want=f"shape {self.shape}"
            )
        self.layer.box[self.key] = jnp.asarray(value, old.dtype)
        return self

    def assign_add(self, value):
        return self.assign(self.value + value)

    def assign_sub(self, value):
        return self.assign(self.value - value)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.layer.box[self.key], dtype)

    def __jax_array__(self):
        return self.value

    def __getitem__(self, index):
        return self.value[index]

    def __len__(self):
        return self.shape[0]

    def __float__(self):
        return float(self.value)

    def __bool__(self):
        return bool(self.value)

    def __repr__(self):
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _forward(name):
    function = getattr(operator, f"__{name[3:]}" if name in _REFLECTED else name)

    def method(self, *others):
        values = [other.value if isinstance(other, Variable) else other for other in others]
        return function(*values, self.value) if name in _REFLECTED else function(self.value, *values)

    method.__name__ = name
    return method


_REFLECTED = {"__radd__", "__rsub__", "__rmul__", "__rtruediv__", "__rpow__", "__rmatmul__", "__rfloordiv__"}
for _name in (
    "__add__", "__sub__", "__mul__", "__truediv__", "__pow__", "__matmul__", "__floordiv__", "__mod__",
    "__neg__", "__abs__", "__lt__", "__le__", "__gt__", "__ge__", *_REFLECTED,
):  # fmt: skip
    setattr(Variable, _name, _forward(_name))


# A view goes into functions of jax.numpy as the array it shows.
jax.tree_util.register_pytree_node(Variable, lambda view: ((view.value,), None), lambda _, leaves: leaves[0])


def is_traced(x):
    return isinstance(x, jax.core.Tracer)
