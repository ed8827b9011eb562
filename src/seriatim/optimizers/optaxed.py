"""Any optax transformation as an optimizer: optax moves the weights, the rest is as for every optimizer here.

Floor 2. Clipping, averaging and accumulation by Keras's words work around it; the rate and the decay are
optax's own business.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import UsageError
from .host import Rate, resembling
from .optimizer import Optimizer, cast


class NoRate(UsageError, AttributeError):
    """This transformation keeps its learning rate to itself."""


class Optax(Optimizer):
    """w ← w + u, with (u, state) = transformation.update(g, state, w)

    The learning rate can be read and set if optax keeps it in its state, as `optax.inject_hyperparams`
    makes it do. A model saved with this optimizer is saved without it: optax has no form for files.
    """

    def __init__(self, transformation, **tail):
        if not is_transformation(transformation):
            raise UsageError(
                "Optax() wraps an optax transformation", at=self._birthplace, saw=repr(transformation),
                want="an object with init and update, such as optax.adamw(1e-3)",
            )  # fmt: skip
        self.inner = transformation
        super().__init__(learning_rate=0.0, **tail)
        self._learning_rate = self._wanted = None
        if self.weight_decay:
            raise UsageError(
                "the decay belongs to the transformation", at=self._birthplace,
                saw=f"weight_decay={self.weight_decay}", fix="optax.adamw(rate, weight_decay=…)",
            )  # fmt: skip

    def memory(self, params):
        inner = self.inner.init(params)
        return {"inner": inner if self._wanted is None else with_rate(inner, self._wanted)}

    def rate(self, state):
        return jnp.float32(0.0)  # asked for by nothing here

    def move_all(self, grads, state, params, rate, t):
        updates, inner = self.inner.update(grads, state["inner"], params)
        moved = jax.tree.map(lambda w, u: w if u is None else cast(w + u, w), params, updates)
        return moved, {**state, "inner": inner}

    # ---- the host's face -----------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The rate in optax's state; AttributeError if it is not there."""
        found = find_rate(self.present()["inner"])
        if found is None:
            raise NoRate(
                "this optax transformation keeps its learning rate to itself", at=self._birthplace,
                saw=f"{self.name} without `learning_rate` in its state", want="optax.inject_hyperparams",
                fix="optax.inject_hyperparams(optax.adamw)(learning_rate=1e-3)",
            )  # fmt: skip
        return Rate(np.float32(found), self, "learning_rate")

    @learning_rate.setter
    def learning_rate(self, value):
        if "_learning_rate" not in self.__dict__:  # the constructor of the base
            self._learning_rate = None
            return
        self.learning_rate.numpy()  # refused if there is none
        self._wanted = float(value)
        if self._state is not None:
            self._state = {**self._state, "inner": with_rate(self._state["inner"], self._wanted)}
        self.changed = True

    def listed(self, opt_state, params=None):
        return jax.tree.leaves(opt_state)

    def addresses(self, state):
        yield from range(len(jax.tree.leaves(state)))

    def address_name(self, address):
        return f"{self.name}/{address}"

    def from_list(self, arrays, params):
        leaves, tree = jax.tree.flatten(self.init(params))
        arrays = list(arrays)
        if [np.shape(a) for a in arrays] != [np.shape(leaf) for leaf in leaves]:
            raise UsageError(
                f"{self.name} holds {len(leaves)} arrays for this model", saw=f"{len(arrays)} arrays, or other shapes",
                want="the list that to_list made",
            )  # fmt: skip
        return jax.tree.unflatten(tree, [np.asarray(a, leaf.dtype) for a, leaf in zip(arrays, leaves, strict=True)])

    def get_config(self):
        raise UsageError(
            "an optax transformation has no configuration", at=self._birthplace, saw=self.source(),
            want="an optimizer of seriatim.optimizers, where a file is to be written",
        )  # fmt: skip

    def source(self):
        return f"Optax({self.inner!r})"


def is_transformation(value):
    """Whether this looks like an `optax.GradientTransformation`."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def keeps_rate(state):
    return isinstance(getattr(state, "hyperparams", None), dict) and "learning_rate" in state.hyperparams


def find_rate(state):
    """The first `learning_rate` among the hyperparameters in an optax state, or None."""
    if keeps_rate(state):
        return state.hyperparams["learning_rate"]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (tuple, list)) else ()
    return next((found for part in parts if (found := find_rate(part)) is not None), None)


def with_rate(state, rate):
    """The same optax state with `rate` wherever it keeps a `learning_rate`."""
    if keeps_rate(state):
        old = state.hyperparams["learning_rate"]
        rate = resembling(np.asarray(rate, old.dtype), old)
        return state._replace(hyperparams={**state.hyperparams, "learning_rate": rate})
    if isinstance(state, dict):
        return {key: with_rate(part, rate) for key, part in state.items()}
    if isinstance(state, (tuple, list)):
        parts = [with_rate(part, rate) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return state
