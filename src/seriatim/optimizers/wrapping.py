"""Optimizers around optimizers: one that scales the loss for half precision, one that has several for several weights.

Floor 2. The state of the outer one holds the states of the inner ones, and the inner ones stay what they are: their
rates may be set as always.
"""

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.report import UsageError
from .host import at, with_places
from .optimizer import Optimizer, keep


class NoRate(UsageError, AttributeError):
    """Several optimizers have several learning rates."""


class Wrapping(Optimizer):
    """What the two have in common: a list `inner`, and a state with theirs in it, {…, "inner": (state, …)}."""

    inner = ()
    own = ()  # numbers of its own beside the count, with first values

    @property
    def children(self):
        return {str(i): part for i, part in enumerate(self.inner)}

    def parts(self):
        return [found for part in self.inner for found in part.parts()]

    # ---- the state is made of theirs ------------------------------------------------------------------

    @property
    def _state(self):
        own = self.__dict__.get("_own")
        return None if own is None else {**own, "inner": tuple(part.state for part in self.inner)}

    @_state.setter
    def _state(self, value):
        inner = [None] * len(self.inner) if value is None else value["inner"]
        self.__dict__["_own"] = None if value is None else {k: v for k, v in value.items() if k != "inner"}
        for part, state in zip(self.inner, inner, strict=True):
            part.state = state

    @property
    def changed(self):
        """Whether something was set by hand, here or inside."""
        return self.__dict__.get("_changed", False) or any(part.changed for part in self.inner)

    @changed.setter
    def changed(self, value):
        self.__dict__["_changed"] = value
        for part in () if value else self.inner:
            part.changed = False

    def __copy__(self):
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.inner = [part.__copy__() if isinstance(part, Wrapping) else shallow(part) for part in self.inner]
        return twin

    def fresh(self):
        twin = self.__copy__()
        twin.inner = [part.fresh() for part in self.inner]
        twin.__dict__.update(_own=None, _changed=False, _places=(), _shapes=(), _paths={})
        return twin

    def begin(self, params):
        own = {"iteration": np.zeros((), np.int32), "learning_rate": np.zeros((), np.float32)}  # as in Keras's files
        own |= {name: np.asarray(value) for name, value in self.own}
        return {**own, "inner": tuple(p.begin(self.share(params, i)) for i, p in enumerate(self.inner))}

    def note(self, params, paths=None):
        super().note(params, paths)
        for i, part in enumerate(self.inner):
            part._paths = self._paths
            part.note(self.share(self._shapes, i))

    def share(self, params, i):
        """The params of inner optimizer i; None in the place of all others."""
        return params

    def addresses(self, state):
        yield from ((name,) for name in ("iteration", "learning_rate", *(name for name, _ in self.own)))
        for i, part in enumerate(self.inner):
            yield from (("inner", i, *address) for address in part.addresses(state["inner"][i]))

    def address_name(self, address):
        if address[0] == "inner":
            return self.inner[address[1]].address_name(address[2:])
        return f"{self.name}/{address[0]}"

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described."""
        with registry.custom_object_scope(custom_objects):
            return cls(**config)


class LossScaleOptimizer(Wrapping):
    """The inner optimizer on gradients of loss · scale, divided by the scale again: float16 keeps small gradients.

    A gradient that is not finite moves nothing and halves the scale; after `dynamic_growth_steps` steps that were
    finite it is doubled. `compile` puts it around the optimizer of a model whose policy is mixed_float16. All other
    arguments (clipping, averaging, …) belong to the inner optimizer.

    Source: Micikevicius et al. 2018.
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs):
        if not kwargs.pop("dynamic", True):
            raise UsageError(
                "LossScaleOptimizer scales as it goes", at=self._birthplace, saw="dynamic=False",
                fix="the inner optimizer with loss_scale_factor=…",
            )  # fmt: skip
        given = {n: v for n, v in kwargs.items() if n not in self.constructor or v != self.constructor[n].default}
        if given:
            raise UsageError(
                f"LossScaleOptimizer does not support {', '.join(given)}", at=self._birthplace, saw=f"{given}",
                fix="set it on the inner optimizer" if given.keys() <= self.constructor.keys() else None,
            )  # fmt: skip
        if not isinstance(inner_optimizer, Optimizer):
            inner_optimizer = registry.from_config("optimizer", inner_optimizer)
        self.inner = [inner_optimizer]
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self.own = (("step_counter", np.int32(0)), ("dynamic_scale", np.float32(initial_scale)))
        super().__init__(learning_rate=0.0, name=name)
        for part in (inner_optimizer, *inner_optimizer.parts()):
            part.loss_scale_factor = None

    @property
    def inner_optimizer(self):
        return self.inner[0]

    def scale_loss(self, loss, opt_state=None):
        """The loss times the scale of now."""
        state = self._state if opt_state is None else opt_state
        return loss * (self.initial_scale if state is None else state["dynamic_scale"])

    def advance(self, grads, opt_state, params, rate=None, finite=True):
        if finite is True:
            finite = jnp.isfinite(sum(jnp.sum(g * 0) for g in jax.tree.leaves(grads)))
        count, scale = opt_state["step_counter"], opt_state["dynamic_scale"]
        grads = jax.tree.map(lambda g: g / scale.astype(g.dtype), grads)
        params, inner = self.inner_optimizer.advance(grads, opt_state["inner"][0], params, rate, finite)
        full = count == self.dynamic_growth_steps - 1
        grown = jnp.where(full, 2 * scale, scale)
        return params, {
            **opt_state, "step_counter": jnp.where(finite & ~full, count + 1, 0).astype(count.dtype),
            "dynamic_scale": jnp.where(finite, grown, 0.5 * scale), "inner": (inner,),
        }  # fmt: skip

    def finish(self, params, opt_state):
        return self.inner_optimizer.finish(params, opt_state["inner"][0])

    def at_rate(self, opt_state, rate):
        return {**opt_state, "inner": (self.inner_optimizer.at_rate(opt_state["inner"][0], rate),)}

    # ---- the face ------------------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if "_learning_rate" not in self.__dict__:  # the constructor of the base
            self._learning_rate = 0.0
        else:
            self.inner_optimizer.learning_rate = value

    @property
    def dynamic_scale(self):
        """The scale of now."""
        return self.initial_scale if self._state is None else float(self._state["dynamic_scale"])

    @property
    def steps(self):
        return self.inner_optimizer.steps

    @property
    def iterations(self):
        """How many updates the inner optimizer has made; steps that were not finite do not count."""
        return self.inner_optimizer.iterations

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "name": self.name, "inner_optimizer": registry.to_config(self.inner_optimizer),
            "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps,
        }  # fmt: skip

    def source(self):
        return f"LossScaleOptimizer({self.inner_optimizer!r}, {self.initial_scale!r}, {self.dynamic_growth_steps!r})"


# ---- several optimizers ------------------------------------------------------------------------------------


class OptimizerMap(MutableMapping):
    """Which optimizer moves which weight: {path or pattern for whole paths: optimizer}, and one for all others.

    >>> from seriatim.optimizers import SGD, Adam, OptimizerMap
    >>> OptimizerMap(SGD(), {"encoder/.*": Adam()})["encoder/kernel"]
    Adam()
    """

    family = "optimizer"

    def __init__(self, default_optimizer, optimizer_map=None):
        if not isinstance(default_optimizer, Optimizer):
            raise MapError("default_optimizer is an Optimizer", saw=repr(default_optimizer))
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise MapError("optimizer_map is a dict of optimizers by path", saw=repr(optimizer_map))
        self.default_optimizer, self.by_path = default_optimizer, dict(optimizer_map or {})

    def __getitem__(self, key):
        if key in self.by_path:
            return self.by_path[key]
        found = [pattern for pattern in self.by_path if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise UsageError(
                f"Multiple optimizers assigned to variable {key}", saw=", ".join(found), want="one of them"
            )
        return self.by_path[found[0]] if found else self.default_optimizer

    def __setitem__(self, key, optimizer):
        if key in self.by_path:
            raise UsageError(f"{key!r} already exists in the OptimizerMap", saw=repr(self.by_path[key]))
        if not isinstance(key, str) or not isinstance(optimizer, Optimizer) or isinstance(optimizer, Wrapping):
            raise UsageError(
                "an OptimizerMap has optimizers by path", saw=f"{key!r}: {optimizer!r}",
                want="a path or pattern, and an optimizer that is no LossScaleOptimizer or MultiOptimizer",
            )  # fmt: skip
        self.by_path[key] = optimizer

    def __delitem__(self, key):
        del self.by_path[key]

    def __len__(self):
        return len(self.by_path)

    def __iter__(self):
        return iter(self.by_path)

    def __call__(self, variable):
        """The optimizer of a variable, by its path."""
        return self[variable.path]

    def get_config(self):
        return {
            "default_optimizer": registry.to_config(self.default_optimizer),
            "optimizer_map": registry.to_config(self.by_path),
        }  # fmt: skip

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""

        def read(written):
            return registry.from_config("optimizer", written, custom_objects)

        return cls(read(config["default_optimizer"]), {k: read(v) for k, v in config["optimizer_map"].items()})

    def __repr__(self):
        return f"OptimizerMap({self.default_optimizer!r}, {self.by_path!r})"


class MapError(UsageError, TypeError):
    """An OptimizerMap of something else than optimizers."""


class Weight(NamedTuple):
    """What a function that chooses an optimizer may look at."""

    path: str
    name: str


@jax.tree_util.register_static
@dataclass(frozen=True)
class Owner:
    """Which inner optimizer moves a weight. Part of a state's structure, so each division has a program of its own."""

    index: int


class MultiOptimizer(Wrapping):
    """Several optimizers in one: each weight is moved by the one that `optimizer_map` says.

    optimizer_map: an OptimizerMap, or a function of a variable (of which it may look at `path` and `name`) that
    returns an optimizer. loss_scale_factor: that of all of them. `optimizers` lists them; learning rates are theirs.

    Differs from Keras: a path may begin with the name of the model, as there, or with that of the layer.
    """

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        if isinstance(optimizer_map, dict) and "class_name" in optimizer_map:
            optimizer_map = registry.from_config("optimizer", optimizer_map)
        if not callable(optimizer_map):
            raise UsageError(
                "MultiOptimizer needs to know which optimizer is whose", at=self._birthplace, saw=repr(optimizer_map),
                want="an OptimizerMap, or a function of a variable",
            )  # fmt: skip
        self.optimizer_map, self.inner, self.chosen, self.known = optimizer_map, [], {}, []
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        if isinstance(optimizer_map, OptimizerMap):
            for part in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self.number(part)

    def number(self, part):
        """The place of an optimizer in `inner`; a new one is put there."""
        for i, known in enumerate(self.known):
            if known is part:
                return i
        if not isinstance(part, Optimizer) or isinstance(part, Wrapping):
            raise UsageError(
                f"{self.name} is made of optimizers", saw=repr(part),
                want="an Optimizer that is no LossScaleOptimizer or MultiOptimizer",
            )  # fmt: skip
        part.loss_scale_factor = self.loss_scale_factor
        self.known.append(part)
        self.inner.append(part)
        return len(self.inner) - 1

    def meet(self, paths, model=None):
        """Choose for weights of these paths, each once: a function may make a new optimizer at each call."""
        for path in paths:
            if path not in self.chosen:
                self.chosen[path] = self.number(self.choose(path, model))

    def choose(self, path, model):
        """What the map says of `sequential/dense/kernel`, Keras's path; else of `dense/kernel`."""
        found = self.optimizer_map(Weight(f"{model}/{path}" if model else path, path.rpartition("/")[2]))
        return self.optimizer_map[path] if found is getattr(self.optimizer_map, "default_optimizer", None) else found

    def note(self, params, paths=None):
        Optimizer.note(self, params, paths)
        self.meet([self.path(place) for place in self._places])
        super().note(params, paths)

    def share(self, params, i):
        return with_places(lambda place, w: w if self.chosen[self.path(place)] == i else None, params)

    def begin(self, params):
        owners = with_places(lambda place, w: Owner(self.chosen[self.path(place)]), params)
        return {**super().begin(params), "owners": owners}

    def advance(self, grads, opt_state, params, rate=None, finite=True):
        owners, moved, states = opt_state["owners"], params, []
        for i, (part, state) in enumerate(zip(self.inner, opt_state["inner"], strict=True)):
            mine = shared(params, owners, i)
            if jax.tree.leaves(mine):
                new, state = part.advance(shared(grads, owners, i), state, mine, finite=finite)
                moved = joined(moved, new, owners, i)
            states.append(state)
        count = keep(finite, opt_state["iteration"] + 1, opt_state["iteration"])
        return moved, {**opt_state, "iteration": count, "inner": tuple(states)}

    def finish(self, params, opt_state):
        owners, ended = opt_state["owners"], params
        for i, (part, state) in enumerate(zip(self.inner, opt_state["inner"], strict=True)):
            mine = shared(params, owners, i)
            new = part.finish(mine, state)
            ended = ended if new is mine else joined(ended, new, owners, i)
        return ended

    # ---- the face ------------------------------------------------------------------------------------

    @property
    def optimizers(self):
        return self.inner

    @property
    def learning_rate(self):
        raise NoRate(
            "Learning rate cannot be accessed on a MultiOptimizer", at=self._birthplace, saw=repr(self),
            fix="for part in optimizer.optimizers: part.learning_rate",
        )  # fmt: skip

    @learning_rate.setter
    def learning_rate(self, value):
        if "_learning_rate" in self.__dict__:
            raise NoRate(
                "Learning rate cannot be set on a MultiOptimizer", at=self._birthplace, saw=repr(self),
                fix="for part in optimizer.optimizers: part.learning_rate = …",
            )  # fmt: skip
        self._learning_rate = 0.0

    def finalize_variable_values(self, var_list):
        for variable, value in zip(var_list, jax.tree.leaves(self.finish(*self.now(var_list))), strict=True):
            variable.assign(value)

    def now(self, var_list):
        return [jnp.asarray(getattr(v, "value", v)) for v in var_list], self._state

    def get_config(self):
        written = registry.to_config(self.optimizer_map)
        return {"optimizer_map": written, "loss_scale_factor": self.loss_scale_factor, "name": self.name}

    def source(self):
        return f"MultiOptimizer({self.optimizer_map!r})"


def shallow(part):
    twin = object.__new__(type(part))
    twin.__dict__.update(part.__dict__)
    return twin


def shared(tree, owners, i):
    """The leaves that optimizer i owns; None in the place of all others."""
    return with_places(lambda place, leaf: leaf if at(owners, place).index == i else None, tree)


def joined(tree, new, owners, i):
    """`tree` with the leaves that optimizer i owns taken from `new`."""
    return with_places(lambda place, leaf: at(new, place) if at(owners, place).index == i else leaf, tree)


registry.add("optimizer", LossScaleOptimizer, MultiOptimizer, OptimizerMap)
