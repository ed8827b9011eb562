"""A metric is a running count: `zero` starts it, `add` counts a batch, `read` says what was counted.

Floor 2. Three pure functions on a tally {name: array}, so that a metric counts inside a compiled loop, sums over
devices and resumes. Keras's stateful face (`update_state`, `result`, `reset_state`) keeps one tally and calls them.
"""

import inspect
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import names, registry, settings
from ..base.config import Config
from ..base.fields import Field, OptionalText
from ..base.policy import read_policy
from ..base.report import UsageError
from . import custom
from .variable import MetricVariable, plain


class ComputeType(Field):
    """The dtype a metric counts in, by name; None is the float type of the process, whatever the global policy."""

    want, bad = "the name of a dtype, such as 'float32'", "no_such_dtype"

    def __init__(self, default=None):
        self.default = default

    def read(self, value, owner):
        if value is None:
            return self.default or settings.floatx()
        value = {"int": "int32", "float": "float32"}.get(value, value) if isinstance(value, str) else value
        return read_policy(value).compute_dtype


CountType = Annotated[Any, ComputeType()]


class Metric(Config, keyword=True):
    """Write `zero`, `add` and `value`; or, as for Keras, `__init__`, `update_state` and `result`.

    A member restates all its arguments, `name` and `dtype` among them, in Keras's order.

    >>> from seriatim.metrics import Mean
    >>> mean = Mean()
    >>> float(mean.read(mean.add(mean.zero(), [1.0, 3.0, 5.0])))
    3.0
    """

    family: ClassVar[str] = "metric"
    member: ClassVar[type]  # the nearest class whose zero, add and value are its own, not a shadow's
    masked: ClassVar[bool] = False  # True: as in Keras, the mask of the predictions joins the weights
    trainable: ClassVar[bool] = False
    summable: ClassVar[bool] = True  # True: the tallies of two devices may be added up, entry by entry
    _direction: ClassVar[str | None] = None  # "up" or "down": what is better

    dtype: CountType = None
    name: OptionalText = None

    def __init_subclass__(cls, **rest):
        if "name" in inspect.get_annotations(cls) and "__init__" not in vars(cls):
            cls.constructor = Metric.constructor  # restated in full, so nothing of the class above is taken over
        super().__init_subclass__(**rest)
        if any(word in vars(cls) for word in custom.FACE):
            custom.adopt(cls)
        elif cls.add is not custom.add:
            cls.member = cls

    def __init__(self, *args, **kwargs):
        self.box = {}  # the tally of the stateful face: its only home between two calls
        self._first = {}  # the values that the tally starts from
        super().__init__(*args, **kwargs)
        self.auto_named = self.name is None
        if self.auto_named:
            self.name = names.fresh(names.snake(type(self).__name__))
        if not self.shaped:
            self.open(self.member.zero(self))

    # ---- what a member writes ---------------------------------------------------------------------

    @property
    def shaped(self):
        """Whether the tally's shape depends on the data, so that `zero` needs `y` and `p`."""
        return False

    def zero(self, y=None, p=None):
        """The tally of no data. `y` and `p` have the `.shape` of labels and predictions."""
        return {}

    def add(self, tally, y_true, y_pred, sample_weight=None):
        """The tally with one batch more."""
        raise NotImplementedError(f"{type(self).__name__} defines neither add nor update_state")

    def read(self, tally):
        """What the tally stands for."""
        raise NotImplementedError(f"{type(self).__name__} defines neither read nor result")

    # ---- arguments --------------------------------------------------------------------------------

    def argument(self, name):
        return None if name == "name" and self.auto_named else super().argument(name)

    def get_config(self):
        config = {**super().get_config(), "name": self.name, "dtype": self.dtype}
        return {"name": config.pop("name"), "dtype": config.pop("dtype"), **config}

    @property
    def direction(self):
        """`"up"` if more is better, `"down"` if less is, None if it cannot be said."""
        return self._direction

    # ---- Keras's stateful face --------------------------------------------------------------------

    def update_state(self, *args, **kwargs):
        """Count one batch: `(y_true, y_pred, sample_weight=None)`, or `(values, sample_weight=None)` for a mean."""
        if self.shaped and not self._first:
            given = inspect.signature(self.member.add).bind(self, None, *args, **kwargs).arguments
            y, p = np.empty(np.shape(given["y_true"])), np.empty(np.shape(given["y_pred"]))
            self.open(self.member.zero(self, y, p))
        self.box.update(self.member.add(self, self.box, *args, **kwargs))

    def result(self):
        """What has been counted so far."""
        if self.shaped and not self._first:
            raise UsageError(f"{self.name} has not seen data yet, so it has no result", fix="call update_state first")
        return self.member.read(self, {key: jnp.asarray(array) for key, array in self.box.items()})

    def reset_state(self):
        """Forget what was counted: every variable becomes zero."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def __call__(self, *args, **kwargs):
        self.update_state(*args, **kwargs)
        return self.result()

    # ---- the state ----------------------------------------------------------------------------------

    add_variable = custom.add_variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None, **rest):
        return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=name)

    def open(self, tally):
        """Start the stateful face from `tally`."""
        self._first.update(tally)
        self.box.update(tally)

    @property
    def children(self):
        """Metrics inside this one, by the name under which their counts are found."""
        return custom.inner_metrics(self, Metric)

    @property
    def tally(self):
        """The running counts of this metric and the metrics inside it, in one flat dict."""
        return self._flat("tally", self.box)

    @property
    def first(self):
        """The counts that the tally starts from, in the same shape."""
        return self._flat("first", self._first)

    def _flat(self, word, own):
        found = dict(own)
        for name, child in self.children.items():
            found.update({f"{name}/{key}": array for key, array in getattr(child, word).items()})
        return found

    def put(self, tally):
        """Set the running counts, here and in the metrics inside."""
        children = self.children
        for name, child in children.items():
            child.put(custom.within(tally, name))
        prefixes = tuple(f"{name}/" for name in children)
        own = {key: array for key, array in tally.items() if not (prefixes and key.startswith(prefixes))}
        self._first.update({key: np.zeros(a.shape, a.dtype) for key, a in own.items() if key not in self._first})
        self.box.update(own)

    @property
    def variables(self):
        """Views of every running count: this metric's, then those of the metrics inside."""
        own = [MetricVariable(self, key) for key in self.box]
        return own + [variable for child in self.children.values() for variable in child.variables]

    def __getattr__(self, name):
        if name in self.__dict__.get("box", ()):
            return MetricVariable(self, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name, value):
        if name == "dtype" and "dtype" in self.__dict__:
            raise AttributeError(f"the dtype of {self.name} is fixed; give dtype= to the constructor")
        super().__setattr__(name, value)

    # ---- Keras's stateless words ----------------------------------------------------------------------

    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """The values of `variables` after one batch, given their values before."""
        ghost = self._shadow(metric_variables)
        ghost.update_state(*args, **kwargs)
        return list(ghost.tally.values())

    def stateless_result(self, metric_variables):
        """The result for the given values of `variables`."""
        return plain(self._shadow(metric_variables).result())

    def stateless_reset_state(self):
        """The values of `variables` after `reset_state`."""
        ghost = custom.shadow(self, self.tally)
        ghost.reset_state()
        return list(ghost.tally.values())

    def _shadow(self, values):
        before, values = self.tally, [plain(value) for value in values]
        if len(values) != len(before):
            raise UsageError(
                f"{self.name} keeps {len(before)} variables", saw=f"{len(values)} values", want=", ".join(before)
            )
        return custom.shadow(self, dict(zip(before, values, strict=True)))


Metric.member = Metric
registry.add("metric", Metric)
