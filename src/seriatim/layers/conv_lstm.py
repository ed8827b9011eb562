"""An LSTM whose products are convolutions: a sequence of signals, images or volumes, read step after step.

Floor 2. One abstract class for every rank. Shi et al., 2015, without their connections from c to the gates.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..base import registry
from ..base.fields import (
    Activated,
    Bool,
    Constrained,
    Format,
    Fraction,
    Initial,
    Padding,
    PositiveInt,
    Regular,
    Seed,
    SpatialSizes,
)
from ..base.report import UsageError
from ..math.initializers import Zeros
from ..math.windows import conv, spatial_axes, window_count
from .contract import Weight
from .conv import channel_axis, check_windows, strides_or_dilation
from .core import known_axis
from .recurrent import LSTM, Recurrent, ones_thinned

GATES = 4


class ConvRecurrent(Recurrent, keyword=True):
    """Abstract: the argument that Keras takes by keyword only."""

    unroll: Bool = False


class ConvLSTM(ConvRecurrent):
    """c' = f·c + i·g, h' = o·activation(c'), all gates from conv(x, kernel) + bias + conv(h, recurrent_kernel).

    b t … channels -> b … filters, or b t … filters with return_sequences. kernel (k…, channels, 4·filters),
    recurrent_kernel (k…, filters, 4·filters), bias (4·filters,), in blocks i f g o. The convolution of h keeps its
    size; strides, padding and dilation are those of the convolution of x. Masks, directions, states as in an LSTM: a
    mask lies along the rows, where Keras lays it along the last axis but one: it fails, or masks other cells.
    """

    rank: ClassVar[int]
    convolves: ClassVar[bool] = True
    states_per_cell = 2

    filters: PositiveInt
    kernel_size: SpatialSizes
    strides: SpatialSizes = 1
    padding: Padding = "valid"
    data_format: Format = None
    dilation_rate: SpatialSizes = 1
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

    bias_weight = LSTM.bias_weight

    def validate(self):
        strides_or_dilation(self)

    def declare(self, shape):
        step = (shape[0], *shape[2:])
        channels, width = known_axis(self, step, channel_axis(self)), GATES * self.filters
        check_windows(self, step, self.kernel_size, self.dilation_rate)
        yield Weight(
            "kernel", (*self.kernel_size, channels, width), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        yield Weight(
            "recurrent_kernel", (*self.kernel_size, self.filters, width), self.recurrent_initializer,
            regularizer=self.recurrent_regularizer, constraint=self.recurrent_constraint,
        )  # fmt: skip
        if self.use_bias:
            size, initializer = self.bias_weight(width)
            yield Weight("bias", size, initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint)
        for name in self.state_names:
            yield Weight(name, self.state_shape(shape), Zeros(), trainable=False, saved=False)

    def state_shape(self, shape):
        """The shape of h and c for an input of `shape`, whose sizes must all be known but the number of steps."""
        axes = spatial_axes(self.rank, self.data_format)
        step = (self.known_batch(shape), *shape[2:])
        sizes = zip((known_axis(self, step, axis) for axis in axes), self.kernel_size, self.strides, self.dilation_rate,
                    strict=True)  # fmt: skip
        space = [window_count(size, k, stride, self.padding, far) for size, k, stride, far in sizes]
        parts = (*space, self.filters) if self.data_format == "channels_last" else (self.filters, *space)
        return (step[0], *parts)

    def apply(self, w, x, call):
        x, given = (x[0], x[1:]) if isinstance(x, (tuple, list)) else (x, None)
        self.check(w, x, call.mask)
        of_input, of_state = self.thinned(x, call)
        z = self.gates_of_input(w, x, of_input)
        empty = jnp.zeros((z.shape[0], *z.shape[2:]), z.dtype)
        start = jnp.split(empty, GATES, channel_axis(self))[0]
        states = given or [w[name] for name in self.state_names] or (start, start)
        states = tuple(jnp.asarray(state, z.dtype) for state in states)
        steps = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), (z, call.mask))

        def step(states, inputs):
            z, real = inputs
            new = self.step(z + self.gates_of_state(w, states[0], of_state), states[1])
            if real is not None:
                real = real.reshape(real.shape + (1,) * (z.ndim - 1)) != 0
                new = tuple(jnp.where(real, a, b) for a, b in zip(new, states, strict=True))
            return new, new[0] if self.return_sequences else None

        states, outputs = lax.scan(step, states, steps, reverse=self.go_backwards)
        y = states[0]
        if self.return_sequences:
            y = jnp.swapaxes(jnp.flip(outputs, 0) if self.go_backwards else outputs, 0, 1)
        if self.zero_output_for_mask and call.mask is not None:
            y = self.zeroed(y, call.mask)
        moved = {name: state.astype(w[name].dtype) for name, state in zip(self.state_names, states, strict=False)}
        return (y, *states) if self.return_state else y, moved

    def step(self, z, c):
        """(h', c') from the sums before the nonlinearities and c."""
        i, f, g, o = jnp.split(z, GATES, channel_axis(self))
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        return self.recurrent_activation(o) * self.activation(c), c

    def gates_of_input(self, w, x, masks):
        """conv(x, kernel) + bias for all steps at once: (b, t, …)."""

        def slide(x, kernel, bias):
            rows = x.reshape(-1, *x.shape[2:])
            y = conv(rows, kernel, self.strides, self.padding, self.dilation_rate, 1, self.data_format, bias)
            return y.reshape(*x.shape[:2], *y.shape[1:])

        kernel, bias = w["kernel"], w.get("bias")
        if masks is None:
            return slide(x, kernel, bias)
        kernels = jnp.split(kernel, GATES, -1)
        biases = [None] * GATES if bias is None else jnp.split(bias, GATES)
        parts = [slide(x * m[:, None], k, b) for m, k, b in zip(masks, kernels, biases, strict=True)]
        return jnp.concatenate(parts, -1 if self.data_format == "channels_last" else 2)

    def gates_of_state(self, w, h, masks):
        """conv(h, recurrent_kernel), which keeps the size."""

        def slide(h, kernel):
            return conv(h, kernel, (1,) * self.rank, "same", None, 1, self.data_format)

        if masks is None:
            return slide(h, w["recurrent_kernel"])
        kernels = jnp.split(w["recurrent_kernel"], GATES, -1)
        return jnp.concatenate([slide(h * m, k) for m, k in zip(masks, kernels, strict=True)], channel_axis(self))

    def thinned(self, x, call):
        """Dropout masks, one for each gate and the same at every step: of the input and of the state, or None."""
        if not call.training:
            return None, None
        key = call.key_for(None if self.seed is None else np.uint32(int(self.seed) % 2**32))
        of_input, of_state = jax.random.split(key)
        inputs = ones_thinned(of_input, self.dropout, (GATES, len(x), *x.shape[2:]), x.dtype)
        shape = (GATES, *self.state_shape(x.shape))
        return inputs, ones_thinned(of_state, self.recurrent_dropout, shape, x.dtype)

    def zeroed(self, y, mask):
        """y with zeros at the masked steps; of the last step if y is the last output only."""
        mask = jnp.flip(mask, 1) if self.go_backwards else mask
        mask = mask if self.return_sequences else mask[:, -1]
        return jnp.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)) != 0, y, 0)

    @property
    def state_size(self):
        return [self.filters] * self.states_per_cell

    def get_initial_state(self, batch_size):
        """The states that a sequence starts with: zeros. Their shape is known when the layer is built."""
        if not self.built:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) is not built, so the shape of its states is not known",
                at=self._birthplace, fix="build(input_shape), or call it once",
            )  # fmt: skip
        shape = self.state_shape((batch_size, *self.input_spec_shape[1:]))
        return [jnp.zeros(shape, self.compute_dtype) for _ in range(self.states_per_cell)]


class ConvLSTM1D(ConvLSTM):
    """A convolutional LSTM over time steps that are signals: b t rows c -> b rows filters.

    >>> ConvLSTM1D(4, 3, padding="same").compute_output_shape((None, 5, 10, 2))
    (None, 10, 4)
    """

    signature = "b t rows c -> b ... rows filters"
    rank = 1


class ConvLSTM2D(ConvLSTM):
    """A convolutional LSTM over time steps that are images: b t h w c -> b h w filters.

    >>> ConvLSTM2D(4, 3, return_sequences=True).compute_output_shape((None, 5, 10, 8, 2))
    (None, 5, 8, 6, 4)
    """

    signature = "b t h w c -> b ... h w filters"
    rank = 2


class ConvLSTM3D(ConvLSTM):
    """A convolutional LSTM over time steps that are volumes: b t d h w c -> b d h w filters."""

    signature = "b t d h w c -> b ... d h w filters"
    rank = 3


registry.add("layer", ConvLSTM1D, ConvLSTM2D, ConvLSTM3D)
