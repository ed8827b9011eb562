"""Layers around a layer: once forwards and once backwards in time, or once for every step.

Floor 2. A wrapper's arrays are those of the layers inside, under their names: `forward_layer/kernel`.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..base import registry
from ..base.fields import Anything, Field, Named, OneOf, Optional, Refused
from ..base.report import DataError, UsageError
from .chain import run
from .contract import MASK, PENALTY, under, within
from .core import Lambda
from .layer import Layer
from .recurrent import with_states


class Inner(Field):
    """A layer, its name or its config; as in Keras, a config of a built layer gives a built one."""

    want, bad = "a layer", 3

    def read(self, value, owner):
        layer = Named("layer").read(value, owner)
        if not isinstance(layer, Layer):
            raise Refused
        if layer.host:
            raise UsageError(
                f"{layer.name} ({type(layer).__name__}) runs on the host, at the head of a chain",
                saw=f"it stands inside of a {type(owner).__name__}", fix="put it before, as a layer of its own",
            )  # fmt: skip
        built_for = (value.get("build_config") or {}).get("input_shape") if isinstance(value, dict) else None
        if built_for is not None:
            layer.build(tuple(built_for))
        return layer

    def source(self, value):
        return repr(value)


class OptionalInner(Optional):
    def source(self, value):
        return repr(value)


Wrapped = Annotated[Layer, Inner()]
OptionalWrapped = Annotated[Layer | None, OptionalInner(Inner())]
Merge = Annotated[str | None, Optional(OneOf("sum", "mul", "ave", "concat"))]


class Wrapper(Layer):
    """Abstract: a layer around another one. Keras-style subclasses write `call` and use `self.layer`."""

    integers = True
    full_precision = True  # the inner layer brings arrays and input to its own type

    layer: Wrapped

    @property
    def children(self):
        return super().children if self.keras_style else {"layer": self.layer}

    def build(self, input_shape=None):
        if self.keras_style and not self.layer.built:
            self.layer.build(input_shape)
        super().build(input_shape)

    def inner_shapes(self, shape):
        return dict.fromkeys(self.children, shape)

    def declare(self, shape):
        shapes = self.inner_shapes(shape)
        return [w for name, child in self.children.items() for w in under(name, child.declare(shapes[name]))]

    def inside(self, name, w, x, call):
        """(output, moved) of the layer called `name` inside; its penalty is beside its moved arrays."""
        y, (moved,), _ = run((self.children[name],), (within(w, name),), x, call)
        return y, renamed(name, moved)


def renamed(name, moved):
    """What an inner layer moved, under its name; the penalty belongs to all."""
    outer = under(name, {key: array for key, array in moved.items() if key not in (MASK, PENALTY)})
    return outer | {PENALTY: moved[PENALTY]} if PENALTY in moved else outer


# ---- forwards and backwards ---------------------------------------------------------------------------


class Bidirectional(Wrapper):
    """y = merge(forward_layer(x), backward_layer(x), put back into the order of time)

    b t features -> b 2·units (concat), b units (sum, mul, ave), or a tuple of two (None). The layer is cloned from
    its config twice, the second time with go_backwards=True; its weights are not taken over. When sequences are
    returned, the outputs of masked steps are zero (in Keras not with unroll=True: there they are those of the step
    before). With return_state: (output, *states forward, *states backward).
    `weights` are first arrays, those of the forward layer, then of the backward one (Keras 3 ignores them).
    Schuster & Paliwal, 1997.
    """

    masking = "pass"

    merge_mode: Merge = "concat"
    weights: Anything = None
    backward_layer: OptionalWrapped = None

    def validate(self):
        layer, given = self.layer, self.backward_layer
        for each in (layer, given) if given is not None else (layer,):
            self.check_recurrent(each)
        self.given_backward = given
        self.forward_layer = clone(layer, name=f"forward_{layer.name.removeprefix('forward_')}")
        name = f"backward_{layer.name.removeprefix('backward_')}"
        self.backward_layer = clone(layer, name=name, go_backwards=True) if given is None else given
        self.check_pair()
        for child in self.children.values():
            if hasattr(child, "zero_output_for_mask"):
                child.zero_output_for_mask = child.return_sequences
            if layer.built and not child.built and self.__dict__["_first_arrays"] is None:
                child.build(layer.input_spec_shape)
        self.stateful, self.return_state = layer.stateful, layer.return_state
        self.return_sequences = layer.return_sequences

    def check_recurrent(self, layer):
        missing = [word for word in ("go_backwards", *TWINS) if not hasattr(layer, word)]
        if missing:
            raise UsageError(
                "Bidirectional wants a layer that reads a sequence",
                at=self._birthplace, saw=f"{layer!r}, which has no {', '.join(missing)}",
                want="an LSTM, a GRU, a SimpleRNN or an RNN",
            )  # fmt: skip

    def check_pair(self):
        ahead, back = self.forward_layer, self.backward_layer
        wrong = [word for word in TWINS if getattr(ahead, word) != getattr(back, word)]
        if ahead.go_backwards == back.go_backwards:
            wrong.append("go_backwards")
        if wrong:
            raise UsageError(
                "the forward and the backward layer do not make a pair",
                at=self._birthplace,
                saw=", ".join(f"{word}={getattr(ahead, word)} and {getattr(back, word)}" for word in wrong),
                want=f"the same {', '.join(TWINS)}, and go_backwards=True in one of the two only",
            )  # fmt: skip

    @property
    def signature(self):
        return self.forward_layer.signature

    @property
    def children(self):
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    def declare(self, shape):
        declared = super().declare(shape)
        first = self.__dict__.get("_first_arrays")
        kept = [weight for weight in declared if weight.saved]
        if first is None:
            return declared
        if len(first) != len(kept):
            raise UsageError(
                "Bidirectional(weights=…) has another number of arrays",
                at=self._birthplace, saw=f"{len(first)} arrays", want=", ".join(weight.name for weight in kept),
            )  # fmt: skip
        arrays = iter(first)
        return [w._replace(initializer=First(next(arrays))) if w.saved else w for w in declared]

    def apply(self, w, x, call):
        x, *given = x if isinstance(x, (tuple, list)) else (x,)
        half = len(given) // 2
        ahead, moved = self.inside("forward_layer", w, (x, *given[:half]) if given else x, call.at(0))
        back, moved_back = self.inside("backward_layer", w, (x, *given[half:]) if given else x, call.at(1))
        states = ()
        if self.return_state:
            (ahead, *of_ahead), (back, *of_back) = ahead, back
            states = (*of_ahead, *of_back)
        back = jnp.flip(back, 1) if self.return_sequences else back
        y = self.merged(ahead.astype(self.compute_dtype), back.astype(self.compute_dtype))
        penalty = [each[PENALTY] for each in (moved, moved_back) if PENALTY in each]
        moved = moved | moved_back | ({PENALTY: sum(penalty)} if penalty else {})
        if not states:
            return y, moved
        return (*y, *states) if self.merge_mode is None else (y, *states), moved

    def merged(self, ahead, back):
        match self.merge_mode:
            case "concat":
                return jnp.concatenate([ahead, back], axis=-1)
            case "sum":
                return ahead + back
            case "ave":
                return (ahead + back) / 2
            case "mul":
                return ahead * back
            case _:
                return ahead, back

    def next_mask(self, x, mask):
        return mask if self.return_sequences else None

    def argument(self, name):
        if name == "weights":
            return None  # the arrays are in the layers, not in the config
        return self.given_backward if name == "backward_layer" else super().argument(name)

    def get_config(self):
        """As in Keras, the two layers as they are: names, direction and zeros under a mask included."""
        config = super().get_config()
        config.pop("weights")
        return {**config, "layer": config_of(self.forward_layer), "backward_layer": config_of(self.backward_layer)}

    @property
    def state_size(self):
        return [*self.forward_layer.state_size, *self.backward_layer.state_size]

    @property
    def states(self):
        """The kept states of both layers, as variables; None if they are not stateful."""
        ahead, back = self.forward_layer.states, self.backward_layer.states
        return (*ahead, *back) if ahead and back else None

    def reset_state(self):
        """Put zeros into the kept states of both layers."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def __call__(self, sequences, initial_state=None, mask=None, training=None):
        """The output for `sequences`; `initial_state` holds the states of the forward layer, then of the backward."""
        return super().__call__(with_states(self, sequences, initial_state), training=training, mask=mask)


TWINS = ("stateful", "return_sequences", "return_state")
config_of = registry.to_config


def clone(layer, **changes):
    """A layer of the same config but for `changes`, not built yet."""
    twin = registry.from_config("layer", {**config_of(layer), "config": {**layer.get_config(), **changes}})
    if hasattr(layer, "use_cudnn"):
        twin.use_cudnn = layer.use_cudnn
    return twin


class First:
    """An initializer: an array that somebody has."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def draw(self, shape, rng):
        return self.array


def _given_arrays(self, arrays):
    self.__dict__["_first_arrays"] = arrays


Bidirectional.weights = property(Layer.weights.fget, _given_arrays, doc=Layer.weights.__doc__)


# ---- every step ----------------------------------------------------------------------------------------


class TimeDistributed(Wrapper):
    """y[:, i] = layer(x[:, i]) for every step i.

    b t ... -> b t .... A layer whose rows do not meet sees all steps as one long batch; one that keeps moving
    statistics or a state (BatchNormalization in training, stateful layers), and any layer or function that is not
    ours, sees one step after another, as in Keras. A mask (b, t, …) is given to the layer step by step. Unlike
    Keras 3.15.1, which drops it, the layer's activity_regularizer joins the loss, summed over the steps; and the layer
    computes in its own dtype, not in that of the wrapper.

    >>> TimeDistributed("flatten").compute_output_shape((None, 5, 2, 3))
    (None, 5, 6)
    """

    signature = "b t c ..."
    masking = "pass"

    def inner_shapes(self, shape):
        return {"layer": (shape[0], *shape[2:])}

    def apply(self, w, x, call):
        self.check(x, call.mask)
        moves = self.moves(w, x, call)
        if rows_apart(self.layer, x.ndim - 1) and not moves:
            return self.all_at_once(w, x, call)
        return self.step_by_step(w, x, call, moves)

    def check(self, x, mask):
        if mask is not None and tuple(mask.shape[:2]) != tuple(x.shape[:2]):
            raise DataError(
                f"the mask of {self.name} (TimeDistributed) does not fit its input",
                at=self._birthplace, saw=f"a mask of shape {mask.shape} for an input of shape {x.shape}",
                want=f"a mask whose first two sizes are {x.shape[:2]}",
            )  # fmt: skip

    def moves(self, w, x, call):
        """The names of what one step moves or adds to the loss: found by running it abstractly."""

        def moved(w, x, mask):
            return self.inside("layer", w, x, call._replace(mask=mask))[1]

        return set(jax.eval_shape(moved, w, x[:, 0], None if call.mask is None else call.mask[:, 0]))

    def all_at_once(self, w, x, call):
        def joined(array):
            return array.reshape(-1, *array.shape[2:])

        mask = None if call.mask is None else joined(call.mask)
        y, _ = self.inside("layer", w, joined(x), call._replace(mask=mask))
        return jax.tree.map(lambda leaf: leaf.reshape(*x.shape[:2], *leaf.shape[1:]), y), {}

    def step_by_step(self, w, x, call, moves):
        def step(moving, inputs):
            i, x, mask = inputs
            y, moved = self.inside("layer", w | moving, x, call.at(i)._replace(mask=mask))
            penalty = moved.pop(PENALTY, None)
            return {name: array.astype(w[name].dtype) for name, array in moved.items()}, (y, penalty)

        moving = {name: w[name] for name in moves - {PENALTY}}
        steps = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), (x, call.mask))
        moved, (y, penalties) = lax.scan(step, moving, (jnp.arange(x.shape[1]), *steps))
        joined = {} if penalties is None else {PENALTY: penalties.sum()}
        return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), y), moved | joined


def rows_apart(layer, axes):
    """True if each row of a batch (of `axes` axes) is computed for itself, as in our own layers all are but these."""
    ours = type(layer).__module__.startswith("seriatim.") and not layer.keras_style
    if not ours or isinstance(layer, Lambda) or not known_function(getattr(layer, "activation", None)):
        return False
    along = np.ravel(getattr(layer, "axis", None) if getattr(layer, "axis", None) is not None else [])
    shared = (getattr(layer, "noise_shape", None) or (None,))[0]
    if any(axis % axes == 0 for axis in along) or shared is not None:
        return False
    return all(rows_apart(child, axes) for child in layer.children.values())


def known_function(function: Any):
    """True of no function, and of those that are ours or JAX's; a user's may look at the whole batch."""
    return function is None or (getattr(function, "__module__", None) or "").startswith(("seriatim.", "jax"))


registry.add("layer", Wrapper, Bidirectional, TimeDistributed)
