"""What `metric.total` and `metric.variables` hand out: a view of one array in a metric's tally.

Floor 2. Keras's habit of reading and assigning a metric's state, without a second home for the array.
"""

import operator
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import UsageError


class MetricVariable:
    """A named view of one running count: `.value`, `.numpy()`, `.assign(x)`, `.assign_add(x)`, `.shape`, `.dtype`."""

    trainable = False

    def __init__(self, metric, key):
        self.metric, self.key = metric, key

    @property
    def name(self):
        return self.key

    @property
    def path(self):
        return f"{self.metric.name}/{self.key}"

    @property
    def value(self):
        return jnp.asarray(self.metric.box[self.key])

    @property
    def shape(self):
        return tuple(self.metric.box[self.key].shape)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return int(np.prod(self.shape))

    @property
    def dtype(self):
        return str(self.metric.box[self.key].dtype)

    def numpy(self):
        return np.asarray(self.metric.box[self.key])

    def assign(self, value):
        """Put `value` (the same shape) in the place of the array; the dtype stays."""
        old = self.metric.box[self.key]
        value = plain(value)
        if tuple(np.shape(value)) != tuple(old.shape):
            raise UsageError(
                f"{self.path} keeps its shape", saw=f"a value of shape {np.shape(value)}", want=f"shape {self.shape}"
            )
        self.metric.box[self.key] = jnp.asarray(value, old.dtype)
        return self

    def assign_add(self, value):
        return self.assign(self.value + plain(value))

    def assign_sub(self, value):
        return self.assign(self.value - plain(value))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.metric.box[self.key], dtype)

    def __jax_array__(self):
        return self.value

    def __getitem__(self, index):
        return self.value[index]

    def __len__(self):
        return self.shape[0]

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __repr__(self):
        return f"<MetricVariable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def plain(value):
    """The array behind a view; a dict of results, view by view; anything else as it is."""
    if isinstance(value, MetricVariable):
        return value.value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def _operator(name):
    def method(self, *others):
        return getattr(operator, name)(self.value, *map(plain, others))

    return method


def _reflected(name):
    def method(self, other):
        return getattr(operator, name)(plain(other), self.value)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "mod", "matmul"):
    setattr(MetricVariable, f"__{_name}__", _operator(_name))
    setattr(MetricVariable, f"__r{_name}__", _reflected(_name))
for _name in ("neg", "abs", "lt", "le", "gt", "ge"):
    setattr(MetricVariable, f"__{_name}__", _operator(_name))


def _flatten(variable):
    return (variable.metric.box[variable.key],), (variable.metric.name, variable.key)


def _unflatten(where, leaves):
    name, key = where
    return MetricVariable(SimpleNamespace(name=name, box={key: leaves[0]}), key)


# so that functions of jax.numpy take a view as they take an array, inside a compiled loop and outside
jax.tree_util.register_pytree_node(MetricVariable, _flatten, _unflatten)
