"""One step of a recurrence as a layer of its own, and `RNN`, which runs any such cell along time.

Floor 2. Our cells are those of SimpleRNN, LSTM and GRU and run as fast; a cell written for Keras is a layer with
`call(inputs, states)` -> (output, new states), a `state_size`, and if need be `output_size` and `get_initial_state`.
"""

import inspect
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from ..base import registry
from ..base.fields import Bool, Field, Refused
from ..base.report import UsageError
from ..math import recurrence
from ..math.activations import sigmoid
from ..math.initializers import Zeros
from ..math.recurrence import Weights, recur
from . import custom
from .contract import PENALTY, Weight, under, within
from .layer import Layer
from .recurrent import GRU, LSTM, Recurrent, SimpleRNN, with_states
from .wrap import Inner

LOOP = ("activity_regularizer", "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "use_cudnn",
        "zero_output_for_mask")  # fmt: skip


def arguments(layer, *last):
    """The arguments of the cell of a recurrent layer: those of the layer that say nothing of the loop."""
    names = [name for name in layer.constructor if name not in (*LOOP, *last)]
    keyword = [name for name in names if layer.constructor[name].keyword]
    first = [name for name in names if name not in keyword]
    return {name: layer.constructor[name] for name in (*first, *last, *keyword)}


class Cell(Layer):
    """Abstract: (x (b, features), states) -> (output (b, units), states). The arrays are those of its layer."""

    signature = "b features -> b units"
    state_names: ClassVar[tuple] = ()
    implementation: ClassVar[int] = 2

    declare = Recurrent.declare
    dropped = Recurrent.dropped
    bias_weight = Recurrent.bias_weight
    cell_weights = Recurrent.cell_weights

    def translate(self, kwargs):
        if "recurrent_activation" in self.constructor and "implementation" in kwargs:
            self.implementation = kwargs.pop("implementation")
        return super().translate(kwargs)

    @property
    def state_size(self):
        return self.units

    @property
    def output_size(self):
        return self.units

    def get_initial_state(self, batch_size=None):
        """The states that a sequence starts with: zeros."""
        return zeros_of(self.state_size, batch_size, self.compute_dtype)

    def along(self, w, x, states, mask, call, reverse=False, sequences=False):
        """(outputs, states) for a whole sequence x (b, t, features)."""
        w, x = self.meet(w, x)
        x, drops = self.dropped(x, call)
        return recur(
            self.rule, x, self.cell_weights(w), tuple(states), mask, activation=self.activation,
            gate=getattr(self, "recurrent_activation", sigmoid), reverse=reverse, sequences=sequences, drops=drops,
        )  # fmt: skip

    def step(self, w, x, states, call):
        """(output, states, what moved) for one step: a sequence of length 1."""
        y, states = self.along(w, x[:, None], states, None, call)
        return y, list(states), {}

    def __call__(self, inputs, states, training=None):
        """(output, states) of one step, with the arrays as they are now; builds the cell at the first call."""
        return called(self, inputs, states, training)


class SimpleRNNCell(Cell):
    """h' = activation(x @ kernel + bias + h @ recurrent_kernel): one step of SimpleRNN."""

    constructor: ClassVar[dict] = arguments(SimpleRNN)
    rule = recurrence.SIMPLE


class LSTMCell(Cell):
    """c' = f·c + i·g, h' = o·activation(c'): one step of LSTM; the states are h and c."""

    constructor: ClassVar[dict] = arguments(LSTM, "seed")
    rule = recurrence.LSTM
    bias_weight = LSTM.bias_weight

    @property
    def state_size(self):
        return [self.units, self.units]


class GRUCell(Cell):
    """h' = u·h + (1 − u)·c: one step of GRU."""

    constructor: ClassVar[dict] = arguments(GRU, "reset_after", "seed")
    rule = GRU.rule
    bias_weight = GRU.bias_weight

    def cell_weights(self, w):
        if not self.reset_after or not self.use_bias:
            return super().cell_weights(w)
        return Weights(w["kernel"], w["recurrent_kernel"], w["bias"][0], w["bias"][1])


def zeros_of(sizes, batch, dtype):
    """Zeros for states of these sizes: a list, nested where the sizes are."""
    sizes = sizes if isinstance(sizes, (list, tuple)) else [sizes]
    return [zeros_of(s, batch, dtype) if isinstance(s, (list, tuple)) else jnp.zeros((batch, s), dtype) for s in sizes]


def listed(states):
    """The states of one cell as a list; a single one may come bare."""
    return list(states) if isinstance(states, (list, tuple)) else [states]


# ---- several cells as one -----------------------------------------------------------------------------


class CellField(Field):
    """A cell: a layer with a state_size and a step; several in a list are a StackedRNNCells."""

    want, bad = "a cell, such as LSTMCell(32), or a list of cells", 3

    def read(self, value, owner):
        if isinstance(value, (list, tuple)):
            return StackedRNNCells(value)
        cell = Inner().read(value, owner)
        if not (hasattr(cell, "state_size") and (hasattr(cell, "step") or getattr(cell, "keras_style", False))):
            raise Refused
        return cell

    def source(self, value):
        return repr(value)


class Cells(Field):
    """A list of cells."""

    want, bad = "a list of cells", 3

    def read(self, value, owner):
        if not isinstance(value, (list, tuple)) or not value:
            raise Refused
        return [CellField().read(cell, owner) for cell in value]

    def source(self, value):
        return repr(value)


class StackedRNNCells(Layer):
    """Cells one after another in each step: the output of one is the input of the next. States: a list of theirs."""

    full_precision = True  # each cell meets its own arrays
    integers = True

    cells: Annotated[list, Cells()]

    @property
    def children(self):
        return {f"cells/{i}": cell for i, cell in enumerate(self.cells)}

    def inner_shapes(self, shape):
        shapes = {}
        for name, cell in self.children.items():
            shapes[name], shape = shape, (shape[0], output_size(cell))
        return shapes

    def declare(self, shape):
        shapes = self.inner_shapes(shape)
        return [w for name, cell in self.children.items() for w in under(name, declared(cell, shapes[name]))]

    @property
    def state_size(self):
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size=None):
        return [state_of(cell, batch_size) for cell in self.cells]

    def step(self, w, x, states, call):
        """(output, states, what moved) for one step."""
        found, moves = [], {}
        for i, ((name, cell), held) in enumerate(zip(self.children.items(), states, strict=True)):
            x, new, moved = one(cell, within(w, name), x, listed(held), call.at(i))
            found.append(new if isinstance(held, (list, tuple)) else new[0])
            moves |= under(name, moved)
        return x, found, moves

    def __call__(self, inputs, states, training=None):
        """(output, states) of one step, with the arrays as they are now."""
        return called(self, inputs, states, training)


def output_size(cell):
    """How many numbers a cell gives in each step: what it says, or the size of its first state."""
    size = getattr(cell, "output_size", None)
    return size if size is not None else listed(cell.state_size)[0]


def initial(cell, batch):
    """The states that a sequence starts with, as a list: those of the cell, or zeros."""
    own = getattr(cell, "get_initial_state", None)
    return listed(own(batch_size=batch)) if own is not None else zeros_of(cell.state_size, batch, cell.compute_dtype)


def state_of(cell, batch):
    """A cell's place in the states of a stack: no list where its size is one number and it says no more."""
    bare = not hasattr(cell, "get_initial_state") and not isinstance(cell.state_size, (list, tuple))
    return initial(cell, batch)[0] if bare else initial(cell, batch)


def written_for_keras(cell):
    return getattr(cell, "keras_style", False)


def declared(cell, shape):
    """What a cell asks for; one written for Keras is built first, and layers inside it by one abstract step."""
    if written_for_keras(cell) and not cell.__dict__.get("_build_ran"):
        cell.__dict__["_build_ran"] = True
        cell.build(shape)
        if any(not child.built for child in cell.children.values()):
            x = jnp.zeros([2 if size is None else size for size in shape], cell.compute_dtype)
            jax.eval_shape(lambda x: one(cell, cell.arrays, x, initial(cell, len(x)), cell.probe_call())[0], x)
    return list(cell.declare(shape))


def one(cell, w, x, states, call):
    """(output, states, what moved) of one step of any cell."""
    if not written_for_keras(cell):
        return cell.step(w, x, states, call)
    w, x = cell.meet(w, x)
    ghost = custom.shadow(cell, w, call)
    takes_training = "training" in inspect.signature(type(cell).call).parameters
    y, new = ghost.call(x, states, training=call.training) if takes_training else ghost.call(x, states)
    moved = {name: array for name, array in ghost.arrays.items() if name in w and array is not w[name]}
    return y, listed(new), moved


def called(cell, inputs, states, training):
    """One step of a cell that is called by hand."""
    inputs, states = jax.tree.map(jnp.asarray, (inputs, states))
    if not cell.built:
        cell.allocate(tuple(inputs.shape))
    y, new, moved = one(cell, cell.arrays, inputs, listed(states), cell.probe_call()._replace(training=bool(training)))
    cell.put(moved)
    return y, new if isinstance(states, (list, tuple)) else new[0]


# ---- along time -----------------------------------------------------------------------------------------


class RNN(Layer):
    """(b, t, …) -> (b, units), or (b, t, units) with return_sequences: a cell, step after step.

    A step under the mask (False) repeats the output before it and keeps the states; zero_output_for_mask puts zeros
    there instead. `go_backwards` reads from the end; `stateful` starts a batch where the one before ended; with
    `return_state` the output is a tuple (output, *states). `unroll` changes nothing: the loop is compiled either way.
    A list of cells is a StackedRNNCells. A cell written for Keras holds its output in its first state, as Keras
    expects of it under a mask.

    >>> RNN([LSTMCell(3), GRUCell(2)]).compute_output_shape((None, 5, 4))
    (None, 2)
    """

    signature = "b t ... -> b ... units"
    masking = "pass"
    full_precision = True  # the cell brings arrays and input to its own type
    integers = True

    cell: Annotated[Any, CellField()]
    return_sequences: Bool = False
    return_state: Bool = False
    go_backwards: Bool = False
    stateful: Bool = False
    unroll: Bool = False
    zero_output_for_mask: Bool = False

    known_batch, check, zeroed = Recurrent.known_batch, Recurrent.check, Recurrent.zeroed
    next_mask, reset_state, reset_states = Recurrent.next_mask, Recurrent.reset_state, Recurrent.reset_state

    @property
    def children(self):
        return {"cell": self.cell}

    def inner_shapes(self, shape):
        return {"cell": (shape[0], *shape[2:])}

    def declare(self, shape):
        yield from under("cell", declared(self.cell, self.inner_shapes(shape)["cell"]))
        if not self.stateful:
            return
        first = jax.eval_shape(lambda: self.get_initial_state(self.known_batch(shape)))
        for name, state in zip(self.state_names, jax.tree.leaves(first), strict=True):
            yield Weight(name, state.shape, Zeros(), trainable=False, saved=False)

    @property
    def state_names(self):
        """The states kept between batches, nested ones one after another: rnn_state, rnn_state_1, …"""
        count = len(jax.tree.leaves(self.state_size)) if self.stateful else 0
        return [f"rnn_state_{i}" if i else "rnn_state" for i in range(count)]

    @property
    def state_size(self):
        return listed(self.cell.state_size)

    def get_initial_state(self, batch_size):
        """The states that a sequence starts with: the cell's own, or zeros."""
        return initial(self.cell, batch_size)

    def apply(self, w, x, call):
        x, given = (x[0], list(x[1:])) if isinstance(x, (tuple, list)) else (x, None)
        self.check(w, x, call.mask)
        states = given or self.get_initial_state(len(x))
        if self.stateful and given is None:
            states = jax.tree.unflatten(jax.tree.structure(states), [w[name] for name in self.state_names])
        inner = within(w, "cell")
        if isinstance(self.cell, Cell) or all(isinstance(cell, Cell) for cell in getattr(self.cell, "cells", [None])):
            y, states, moved = self.in_turn(inner, x, states, call)
        else:
            y, states, moved = self.step_by_step(inner, x, states, call)
        if self.zero_output_for_mask and call.mask is not None:
            y = self.zeroed(y, call.mask)
        y, states = jax.tree.map(lambda leaf: leaf.astype(self.compute_dtype), (y, states))
        moved = under("cell", moved)
        for name, state in zip(self.state_names, jax.tree.leaves(states), strict=False):
            moved[name] = state.astype(w[name].dtype)
        return (y, *states) if self.return_state else y, moved

    def in_turn(self, w, x, states, call):
        """Our cells: the whole sequence through the first, its outputs through the second, …: the same numbers."""
        if isinstance(self.cell, Cell):
            y, states = self.cell.along(w, x, states, call.mask, call, self.go_backwards, self.return_sequences)
            return y, list(states), {}
        reverse, mask, found = self.go_backwards, call.mask, []
        for i, ((name, cell), held) in enumerate(zip(self.cell.children.items(), states, strict=True)):
            whole = self.return_sequences or i + 1 < len(states)
            x, new = cell.along(within(w, name), x, listed(held), mask, call.at(i), reverse, whole)
            found.append(list(new) if isinstance(held, (list, tuple)) else new[0])
            mask = jnp.flip(mask, 1) if reverse and mask is not None else mask  # outputs come as they were computed
            reverse = False
        return x, found, {}

    def step_by_step(self, w, x, states, call):
        """Any cells: one after another in every step."""
        dtype = self.cell.compute_dtype
        states = jax.tree.map(lambda state: jnp.asarray(state, dtype), states)
        steps = jax.tree.map(lambda array: jnp.swapaxes(array, 0, 1), (x, call.mask))

        def step(carry, inputs):
            states, moving = carry
            x, real = inputs
            y, new, moved = one(self.cell, {**w, **moving}, x, states, call)
            if real is not None:
                last = states[-1]
                y = where(real, y, last[0] if isinstance(last, (list, tuple)) else states[0])
                new = jax.tree.map(lambda a, b: where(real, a, b), new, states)
            new = jax.tree.map(lambda a, b: a.astype(b.dtype), new, states)
            return (new, {name: moved.get(name, array).astype(array.dtype) for name, array in moving.items()}), y

        moves = jax.eval_shape(lambda w, x, s: one(self.cell, w, x, s, call)[2], w, steps[0][0], states)
        moving = {name: w[name] for name in moves if name != PENALTY}
        (states, moved), y = lax.scan(step, (states, moving), steps, reverse=self.go_backwards)
        if not self.return_sequences:
            return y[0 if self.go_backwards else -1], states, moved
        return jnp.swapaxes(jnp.flip(y, 0) if self.go_backwards else y, 0, 1), states, moved

    @property
    def states(self):
        """The kept states of a stateful layer, as variables; None if there are none."""
        return [getattr(self, name) for name in self.state_names] if self.stateful and self.built else None

    def __call__(self, sequences, initial_state=None, mask=None, training=None):
        """The output for `sequences`; `initial_state` is one state, or a list of them."""
        return super().__call__(with_states(self, sequences, initial_state), training=training, mask=mask)


def where(real, a, b):
    """Row by row a where `real`, else b."""
    if a.shape != b.shape:
        raise UsageError(
            "under a mask a cell's output takes the place of its first state, so they have one shape",
            saw=f"{a.shape} and {b.shape}", want="an output_size that is the first of state_size",
        )  # fmt: skip
    return jnp.where(real.reshape(real.shape + (1,) * (a.ndim - real.ndim)) != 0, a, b)


registry.add("layer", SimpleRNNCell, LSTMCell, GRUCell, StackedRNNCells, RNN)
