"""Chains beside each other over the same input: Residual adds, Concat joins.

Floor 2. Each branch is a chain, so what is inside is declared, run, saved and summarised like any chain.
"""

from typing import Annotated, Any, ClassVar

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Field, Int, Named, Optional, Refused
from ..base.report import UsageError
from .chain import Chain, every_layer, run
from .contract import MASK, PENALTY, under, within
from .core import floats_in_compute_dtype
from .layer import Layer
from .wrap import renamed


class Branch(Field):
    """A chain: a layer, a list of layers, or a chain such as a Sequential; or their configs."""

    want, bad = "a layer, a list of layers, or a chain", 3

    def read(self, value, owner):
        items = value if isinstance(value, (list, tuple)) else [value]
        layers = [item if isinstance(item, Layer) else Named("layer").read(item, owner) for item in items]
        if not all(isinstance(layer, Layer) for layer in layers):
            raise Refused
        for layer in layers:
            if layer.host:
                raise UsageError(
                    f"{layer.name} ({type(layer).__name__}) runs on the host, at the head of a chain",
                    saw=f"it stands inside of a {type(owner).__name__}", fix="put it before, as a layer of its own",
                )  # fmt: skip
        alone = layers[0] if value is not items and isinstance(layers[0], Chain) else None
        return Chain(layers, name="branch") if alone is None else alone

    def write(self, chain):
        if type(chain) is not Chain:
            return registry.to_config(chain)
        return [registry.to_config(layer) for layer in ([chain.entry] if chain.entry is not None else []) + chain.chain]

    def source(self, chain):
        if type(chain) is not Chain:
            return repr(chain)
        return f"[{', '.join(layer.source() for layer in chain.chain)}]"


class Branches(Field):
    """Several of them."""

    want, bad = "a list of chains; each is a layer, a list of layers, or a Sequential", 3

    def read(self, value, owner):
        if not isinstance(value, (list, tuple)) or not value:
            raise Refused
        chains = [Branch().read(item, owner) for item in value]
        for i, chain in enumerate(chains):
            if type(chain) is Chain:
                chain.name = f"branch_{i}"
        return chains

    def write(self, chains):
        return [Branch().write(chain) for chain in chains]

    def source(self, chains):
        return f"[{', '.join(Branch().source(chain) for chain in chains)}]"


OneBranch = Annotated[Any, Branch()]
OptionalBranch = Annotated[Any, Optional(Branch())]
ManyBranches = Annotated[list, Branches()]


class Branched(Layer):
    """Abstract: a layer around chains that all get its input."""

    masking = "pass"
    integers = True
    full_precision = True  # each layer inside meets its own arrays
    module: ClassVar[str] = "seriatim.layers"

    def validate(self):
        found = [layer for chain in self.children.values() for layer in every_layer(chain)]
        twice = next((layer for i, layer in enumerate(found) if any(layer is other for other in found[:i])), None)
        if twice is not None:
            raise UsageError(
                f"{twice.name} is in two places of one {type(self).__name__}", at=self._birthplace, fix="a second layer"
            )

    def inner_shapes(self, shape):
        return dict.fromkeys(self.children, shape)

    def declare(self, shape):
        return [w for name, chain in self.children.items() for w in under(name, chain.declare(shape))]

    def allocate(self, shape, seed=None):
        for chain in self.children.values():
            chain.allocate(shape)
        self.input_spec_shape, self.built = shape, True

    def apply(self, w, x, call):
        outputs, masks, moved, penalties = [], [], {}, []
        for i, (name, chain) in enumerate(self.children.items()):
            y, (new,), mask = run((chain,), (within(w, name),), x, call.at(i))
            outputs.append(floats_in_compute_dtype(self, y))
            masks.append(mask)
            moved |= renamed(name, new)
            penalties += [moved.pop(PENALTY)] if PENALTY in moved else []
        y, mask = self.join(x, outputs), self.join_masks(x, outputs, masks, call.mask)
        return y, moved | {MASK: mask} | ({PENALTY: sum(penalties)} if penalties else {})

    def next_mask(self, x, mask):
        """Asked only from outside a fold; inside, `apply` hands the mask on."""
        masks = [chain.next_mask(x, mask) for chain in self.children.values()]
        return self.join_masks(x, [x] * len(masks), masks, mask)

    def join(self, x, outputs):
        """The output, from the input and the outputs of the chains."""
        raise NotImplementedError

    def join_masks(self, x, outputs, masks, before):
        """The mask behind the layer, from those behind the chains and the one before the layer."""
        raise NotImplementedError

    def sizes(self, shape, x):
        """A shape as the user knows it: sizes that the input leaves open are None."""
        known = self.__dict__.get("input_spec_shape") or (None, *x.shape[1:])
        loose = {n for n, declared in zip(x.shape[1:], known[1:], strict=False) if declared is None}
        return tuple(None if i == 0 or n in loose else n for i, n in enumerate(shape))


class Residual(Branched):
    """y = x + f(x), f a chain of layers. He et al., 2016.

    b ... -> b ...; f keeps the shape. Where it does not, `shortcut` (a layer, a list of layers or a chain) brings x to
    the shape of f(x): y = shortcut(x) + f(x). Nothing is stretched to fit. The mask goes on where both sides keep it.

    >>> from seriatim.layers import Dense
    >>> Residual([Dense(8, activation="relu"), Dense(4)]).compute_output_shape((None, 4))
    (None, 4)
    """

    layers: OneBranch
    shortcut: OptionalBranch = None

    @property
    def children(self):
        found = {"branch": self.branch}
        return found if self.shortcut is None else {**found, "shortcut": self.shortcut}

    def join(self, x, outputs):
        y, skip = outputs[0], floats_in_compute_dtype(self, x) if self.shortcut is None else outputs[1]
        if y.shape != skip.shape:
            fits = y.shape[:-1] == x.shape[:-1]
            raise UsageError(
                f"{self.name} (Residual) adds two arrays of different shapes", at=self._birthplace,
                saw=f"{'x' if self.shortcut is None else 'shortcut(x)'} of shape {self.sizes(skip.shape, x)}, "
                f"f(x) of shape {self.sizes(y.shape, x)}",
                want="the same shape",
                fix=f"Residual(…, shortcut=Dense({y.shape[-1]})), which brings x to the shape of f(x)" if fits else
                "layers that keep the shape (padding='same', no strides), or a shortcut= that changes x alike",
            )  # fmt: skip
        return y + skip

    def join_masks(self, x, outputs, masks, before):
        mask, other = masks[0], before if self.shortcut is None else masks[1]
        return None if mask is None or other is None else mask | other

    @property
    def shapes(self):
        """The shapes between the layers of the branch, for tables and pictures."""
        return self.branch.shapes


def _layers_of(residual):
    return residual.branch.layers


def _set_layers(residual, chain):
    residual.branch = chain


Residual.layers = property(_layers_of, _set_layers, doc="The layers of f, in order.")


class Concat(Branched):
    """y = the outputs of several chains over the same x, joined along `axis`. Szegedy et al., 2015.

    b ... -> b ...; the outputs have the same sizes but for `axis`. An empty list is x itself: Concat([[], [Dense(4)]])
    is x and four features more. Under a mask, along the time axis the masks are joined too; along another, a step
    counts if it does for one of the chains.

    >>> Concat([[], []]).compute_output_shape((None, 5, 4))
    (None, 5, 8)
    """

    chains: ManyBranches
    axis: Int = -1

    @property
    def children(self):
        return {str(i): chain for i, chain in enumerate(self.chains)}

    @property
    def layers(self):
        """The chains, for tables and pictures."""
        return list(self.chains)

    @property
    def shapes(self):
        """The shape of the input, then those behind each chain."""
        found = [chain.shape_out for chain in self.chains]
        return [] if None in found else [self.chains[0].shape_in, *found]

    def join(self, x, outputs):
        shapes = [y.shape for y in outputs]
        axes = len(shapes[0])
        if not -axes <= self.axis < axes or self.axis % axes == 0:
            raise UsageError(
                f"{self.name} (Concat) has no axis {self.axis} to join along", at=self._birthplace,
                saw=f"outputs of {axes} axes, axis={self.axis}", want=f"an axis from 1 to {axes - 1}, or from the end",
            )  # fmt: skip
        rest = {shape[: self.axis % axes] + shape[self.axis % axes + 1 :] for shape in shapes}
        if len(rest) > 1 or len({len(shape) for shape in shapes}) > 1:
            raise UsageError(
                f"{self.name} (Concat) joins arrays whose sizes differ", at=self._birthplace,
                saw=", ".join(str(self.sizes(shape, x)) for shape in shapes),
                want=f"the same sizes but for axis {self.axis}", fix="the same padding and strides in all chains",
            )  # fmt: skip
        return jnp.concatenate(outputs, axis=self.axis)

    def join_masks(self, x, outputs, masks, before):
        if x is None or all(mask is None for mask in masks):
            return None
        wide = [
            jnp.ones(y.shape, bool) if mask is None
            else jnp.broadcast_to(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y.shape)
            for y, mask in zip(outputs, masks, strict=True)
        ]  # fmt: skip
        return jnp.any(jnp.concatenate(wide, axis=self.axis), axis=-1)


registry.add("layer", Residual, Concat)
