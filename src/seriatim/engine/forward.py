"""The forward pass outside training: one compiled function, and the arrays of the boxes as they are now.

Floor 3. One row should cost little more than the call of its program, so the arrays are gathered once and
kept until a box holds another one.
"""

from itertools import chain

import jax

from ..base.settings import next_seed
from ..layers.chain import Chain, every_layer
from ..layers.layer import Layer
from .device import placed
from .plan import make_plan
from .programs import programs_for


class Forward:
    """x -> (prediction, what the layers moved), for these layers as long as they are the same.

    `rowwise`: a row's output depends on that row alone, as the laws of our own layers say.
    `stateful`: a layer inside carries its state from batch to batch.
    """

    def __init__(self, layers):
        inner = [one for layer in layers for one in every_layer(layer)]
        self.layers, self.edits = tuple(layers), Layer.edits
        self.programs = programs_for(make_plan(layers))
        self.program = self.programs.predict
        self.stateful = any(is_stateful(layer) for layer in layers)
        self.foreign = any(is_foreign(one) for one in inner)
        self.rowwise = not self.stateful and not self.foreign
        self.boxes = [one.box.values() for one in inner]  # live views
        self.nests = [(one.chain, tuple(one.chain)) for one in inner if isinstance(one, Chain)]
        self.forget()

    def __call__(self, x):
        return self.program(self.arrays(), x, *([self.fresh_key()] if self.foreign else []))

    def fresh_key(self):
        """The user's own layers may draw at rest (dropout that stays on): each call another key."""
        return jax.random.key(next_seed())

    def arrays(self):
        """The arrays of the layers, gathered anew if a box holds another array than before."""
        held = [*map(id, chain.from_iterable(self.boxes))]
        if held != self.held:
            self.gathered = device_arrays(self.layers)
            self.kept = [*chain.from_iterable(self.boxes)]  # alive, so that no other array gets their ids
            self.held = [*map(id, self.kept)]
        return self.gathered

    def forget(self):
        """Let go of the arrays: training replaces them, and memory should not hold both."""
        self.gathered, self.kept, self.held = (), [], None

    def outgrown(self):
        """Whether a chain inside has got or lost a layer since, or a layer another activation, for instance."""
        return Layer.edits != self.edits or any(tuple(now) != then for now, then in self.nests)


def device_arrays(layers):
    """The boxes of all layers, as device arrays: one dict a layer."""
    found = tuple(layer.arrays for layer in layers)
    for layer, w in zip(layers, found, strict=True):
        fresh = placed({n: a for n, a in w.items() if not isinstance(a, jax.Array)})
        if fresh:
            layer.put(fresh)
            w.update(fresh)
    return found


def is_stateful(layer):
    """Whether this layer, or one inside it, carries its state from batch to batch."""
    return any(getattr(inner, "stateful", False) for inner in every_layer(layer))


def is_foreign(layer):
    """Whether a user's code decides what this layer does."""
    return layer.keras_style or type(layer).__name__ == "Lambda"
