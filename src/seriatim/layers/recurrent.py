"""Layers that read a sequence one step after another: SimpleRNN, LSTM, GRU.

Floor 2. A member says which arrays its cell needs; masks, dropout, states and directions are general.
"""

import operator
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Activated, Bool, Constrained, Fraction, Initial, OneOf, PositiveInt, Regular, Seed
from ..base.report import DataError, UsageError
from ..math import recurrence
from ..math.activations import sigmoid
from ..math.initializers import Zeros
from ..math.recurrence import Drops, Weights, recur
from .contract import Weight
from .core import known_axis
from .layer import Layer
from .noise import chance, disturbs, thinned

Cudnn = Annotated[str | bool, OneOf("auto", True, False)]


class Recurrent(Layer, keyword=True):
    """Abstract: (b, t, f) -> (b, units), or (b, t, units) with return_sequences.

    A step under the mask (False) repeats the output before it and keeps the state; zero_output_for_mask puts zeros
    there instead. `go_backwards` reads from the end and gives its outputs in the order in which they were computed.
    `stateful` starts a batch where the one before ended, row by row: the batch size must be known. With
    `return_state` the output is a tuple (output, *states). `unroll` and `use_cudnn` change nothing: the loop is
    compiled either way. Dropout, in training: one mask of the inputs and one of the state for each row, the same at
    every step; with recurrent_dropout (or implementation=1) one for each gate, as in Keras. Gal & Ghahramani, 2016.
    """

    signature = "b t features -> b ... units"
    masking = "pass"
    store = "cell"
    states_per_cell: ClassVar[int] = 1

    zero_output_for_mask: Bool = False

    # ---- what a member says ------------------------------------------------------------------

    @property
    def rule(self):
        """The cell, one of math/recurrence."""
        raise NotImplementedError

    def bias_weight(self, width):
        """(shape, initializer) of the bias for kernels of `width` columns."""
        return (width,), self.bias_initializer

    def cell_weights(self, w):
        """The layer's arrays as the cell takes them."""
        return Weights(w["kernel"], w["recurrent_kernel"], w.get("bias"))

    # ---- what follows --------------------------------------------------------------------------

    def declare(self, shape):
        features, width = known_axis(self, shape, -1), self.units * sum(self.rule.gates)
        yield Weight(
            "kernel", (features, width), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        yield Weight(
            "recurrent_kernel", (self.units, width), self.recurrent_initializer,
            regularizer=self.recurrent_regularizer, constraint=self.recurrent_constraint,
        )  # fmt: skip
        if self.use_bias:
            size, initializer = self.bias_weight(width)
            yield Weight("bias", size, initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint)
        for name in self.state_names:
            yield Weight(name, (self.known_batch(shape), self.units), Zeros(), trainable=False, saved=False)

    @property
    def state_names(self):
        """The states kept between batches: rnn_state, and for an LSTM rnn_state_1 (the carry)."""
        names = [f"rnn_state_{i}" if i else "rnn_state" for i in range(self.states_per_cell)]
        return names if self.stateful else []

    def known_batch(self, shape):
        if shape[0] is None:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) is stateful, so it needs to know the batch size",
                at=self._birthplace, saw=f"an input of shape {shape}", want="a size instead of the first None",
                fix=f"Input({tuple(shape[1:])}, batch_size=32), and the same batch_size in fit",
            )  # fmt: skip
        return shape[0]

    def apply(self, w, x, call):
        x, given = (x[0], x[1:]) if isinstance(x, (tuple, list)) else (x, None)
        self.check(w, x, call.mask)
        states = given or [w[name] for name in self.state_names] or self.get_initial_state(len(x))
        x, drops = self.dropped(x, call)
        y, states = recur(
            self.rule, x, self.cell_weights(w), states, call.mask, activation=self.activation,
            gate=getattr(self, "recurrent_activation", sigmoid), reverse=self.go_backwards,
            sequences=self.return_sequences, drops=drops,
        )  # fmt: skip
        if self.zero_output_for_mask and call.mask is not None:
            y = self.zeroed(y, call.mask)
        moved = {name: state.astype(w[name].dtype) for name, state in zip(self.state_names, states, strict=False)}
        return (y, *states) if self.return_state else y, moved

    def check(self, w, x, mask):
        """A DataError if the mask or the kept states do not fit the input."""
        if mask is not None and tuple(mask.shape) != tuple(x.shape[:2]):
            raise DataError(
                f"the mask of {self.name} ({type(self).__name__}) does not fit its input",
                at=self._birthplace, saw=f"a mask of shape {mask.shape} for an input of shape {x.shape}",
                want=f"a mask of shape {x.shape[:2]}: one flag for each step",
            )  # fmt: skip
        if self.stateful and len(w["rnn_state"]) != len(x):
            raise DataError(
                f"{self.name} ({type(self).__name__}) is stateful, so every batch has the same size",
                at=self._birthplace, saw=f"a batch of {len(x)} rows", want=f"{len(w['rnn_state'])} rows",
                fix="let the batch size divide the number of rows",
            )  # fmt: skip

    def zeroed(self, y, mask):
        """y with zeros at the masked steps; of the last step if y is the last output only."""
        mask = jnp.flip(mask, 1) if self.go_backwards else mask
        mask = mask if self.return_sequences else mask[:, -1]
        return jnp.where(mask[..., None] != 0, y, 0)

    def dropped(self, x, call):
        """The input after dropout, and the masks that the loop applies itself."""
        if not call.training or not (disturbs(self.dropout) or self.recurrent_dropout):
            return x, Drops()
        key = call.key_for(None if self.seed is None else np.uint32(operator.index(self.seed) % 2**32))
        of_input, of_state = jax.random.split(key)
        by_gate = bool(self.recurrent_dropout) or self.implementation == 1
        count = sum(self.rule.gates) if by_gate else 1
        inputs = ones_thinned(of_input, self.dropout, (count, len(x), x.shape[-1]), x.dtype)
        state = ones_thinned(of_state, self.recurrent_dropout, (count, len(x), self.units), x.dtype)
        return (x, Drops(inputs, state)) if by_gate else (x * inputs[0][:, None], Drops())

    def next_mask(self, x, mask):
        return mask if self.return_sequences else None

    def entering(self, name, number):
        return np.uint32(chance(number)) if name == "dropout" else super().entering(name, number)

    # ---- Keras's words ---------------------------------------------------------------------------

    implementation: ClassVar[int] = 2

    def translate(self, kwargs):
        if "recurrent_activation" in self.constructor and "implementation" in kwargs:
            self.implementation = kwargs.pop("implementation")
        return super().translate(kwargs)

    def get_config(self):
        config = super().get_config()
        config.pop("use_cudnn", None)
        return config

    @property
    def cell(self):
        """The layer itself: where Keras keeps `kernel`, `recurrent_kernel` and `bias` in an inner cell."""
        return self

    @property
    def state_size(self):
        return [self.units] * self.states_per_cell

    def get_initial_state(self, batch_size):
        """The states that a sequence starts with: zeros."""
        return [jnp.zeros((batch_size, self.units), self.compute_dtype) for _ in range(self.states_per_cell)]

    @property
    def states(self):
        """The kept states of a stateful layer, as variables; None if there are none."""
        return [getattr(self, name) for name in self.state_names] if self.stateful and self.built else None

    def reset_state(self):
        """Put zeros into the kept states."""
        for name in self.state_names:
            if name in self.box:
                self.box[name] = np.zeros_like(self.box[name])

    reset_states = reset_state

    def __call__(self, sequences, initial_state=None, mask=None, training=None):
        """The output for `sequences`; `initial_state` is one state, or a list of them."""
        return super().__call__(with_states(self, sequences, initial_state), training=training, mask=mask)


def ones_thinned(key, rate, shape, dtype):
    """A dropout mask of `shape`: 0 with probability `rate`, else 1 / (1 − rate); None if nothing is dropped."""
    return thinned(jnp.ones(shape, dtype), key, rate, shape) if disturbs(rate) else None


def with_states(layer, sequences, states):
    """What a call gives to a layer: the sequences, or (sequences, *first states), their number checked."""
    if states is None:
        return sequences
    states = states if isinstance(states, (list, tuple)) else [states]
    if len(states) != len(layer.state_size):
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) has {len(layer.state_size)} states",
            at=layer._birthplace, saw=f"{len(states)} in initial_state",
            want=f"{len(layer.state_size)}, of shapes {[('batch', size) for size in layer.state_size]}",
        )  # fmt: skip
    return (sequences, *states)


class SimpleRNN(Recurrent):
    """h' = activation(x @ kernel + bias + h @ recurrent_kernel)

    b t features -> b units. Elman, 1990. Unlike Keras 3.15.1, which drops it, `activity_regularizer` joins the loss.

    >>> SimpleRNN(2).compute_output_shape((None, 5, 3))
    (None, 2)
    """

    rule = recurrence.SIMPLE

    units: PositiveInt
    activation: Activated = "tanh"
    use_bias: Bool = True
    kernel_initializer: Initial = "glorot_uniform"
    recurrent_initializer: Initial = "orthogonal"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    recurrent_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    kernel_constraint: Constrained = None
    recurrent_constraint: Constrained = None
    bias_constraint: Constrained = None
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    return_sequences: Bool = False
    return_state: Bool = False
    go_backwards: Bool = False
    stateful: Bool = False
    unroll: Bool = False
    seed: Seed = None

    def get_config(self):
        """Keras never writes the seed of a SimpleRNN; here it is written when there is one."""
        config = super().get_config()
        if self.seed is None:
            config.pop("seed")
        return config


class LSTM(Recurrent):
    """c' = f·c + i·g, h' = o·activation(c'), each of i, f, g, o from x @ kernel + h @ recurrent_kernel + bias.

    b t features -> b units. kernel (features, 4u), recurrent_kernel (u, 4u), bias (4u,), in blocks i f g o; the
    bias of f starts at 1 (unit_forget_bias). Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 1999.

    >>> [tuple(s) for s in LSTM(2, return_state=True).compute_output_shape((None, 5, 3))]
    [(None, 2), (None, 2), (None, 2)]
    """

    rule = recurrence.LSTM
    states_per_cell = 2

    units: PositiveInt
    activation: Activated = "tanh"
    recurrent_activation: Activated = "sigmoid"
    use_bias: Bool = True
    kernel_initializer: Initial = "glorot_uniform"
    recurrent_initializer: Initial = "orthogonal"
    bias_initializer: Initial = "zeros"
    unit_forget_bias: Bool = True
    kernel_regularizer: Regular = None
    recurrent_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    kernel_constraint: Constrained = None
    recurrent_constraint: Constrained = None
    bias_constraint: Constrained = None
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    seed: Seed = None
    return_sequences: Bool = False
    return_state: Bool = False
    go_backwards: Bool = False
    stateful: Bool = False
    unroll: Bool = False
    use_cudnn: Cudnn = "auto"

    def bias_weight(self, width):
        return (width,), ForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer


class ForgetBias:
    """An initializer: ones in the block of the forget gate, in the others what another initializer draws."""

    def __init__(self, inner):
        self.inner = inner

    def draw(self, shape, rng):
        draw = getattr(self.inner, "draw", None) or (lambda size, rng: np.asarray(self.inner(size, dtype="float32")))
        units = shape[0] // 4
        return np.concatenate([draw((units,), rng), np.ones(units, np.float32), draw((2 * units,), rng)])


class GRU(Recurrent):
    """h' = u·h + (1 − u)·c, c = activation(x @ K_c + r·(h @ R_c)), the gates u and r from x and h as in an LSTM.

    b t features -> b units. kernel (features, 3u), recurrent_kernel (u, 3u), in blocks u r c (Keras writes z r h).
    Cho et al., 2014. With reset_after (Keras's default, and cuDNN's) r acts after the product with R_c, and the bias
    is (2, 3u): of the inputs, of the state. Without, r acts on h before, as in the paper, and the bias is (3u,).

    >>> GRU(2, return_sequences=True).compute_output_shape((None, 5, 3))
    (None, 5, 2)
    """

    units: PositiveInt
    activation: Activated = "tanh"
    recurrent_activation: Activated = "sigmoid"
    use_bias: Bool = True
    kernel_initializer: Initial = "glorot_uniform"
    recurrent_initializer: Initial = "orthogonal"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    recurrent_regularizer: Regular = None
    bias_regularizer: Regular = None
    activity_regularizer: Regular = None
    kernel_constraint: Constrained = None
    recurrent_constraint: Constrained = None
    bias_constraint: Constrained = None
    dropout: Fraction = 0.0
    recurrent_dropout: Fraction = 0.0
    seed: Seed = None
    return_sequences: Bool = False
    return_state: Bool = False
    go_backwards: Bool = False
    stateful: Bool = False
    unroll: Bool = False
    reset_after: Bool = True
    use_cudnn: Cudnn = "auto"

    @property
    def rule(self):
        return recurrence.GRU if self.reset_after else recurrence.GRU_BEFORE

    def bias_weight(self, width):
        return (2, width) if self.reset_after else (width,), self.bias_initializer

    def cell_weights(self, w):
        if not self.reset_after or not self.use_bias:
            return super().cell_weights(w)
        return Weights(w["kernel"], w["recurrent_kernel"], w["bias"][0], w["bias"][1])


registry.add("layer", SimpleRNN, LSTM, GRU)
