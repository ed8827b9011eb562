"""A product along any axes, named by letters: EinsumDense.

Floor 2. The equation says which axes of the input meet which of the kernel; the shapes follow from it.
"""

import re
import string
from typing import NamedTuple

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Activated, Anything, Constrained, Dims, Initial, Regular, Text
from ..base.report import UsageError
from ..math.affine import product
from ..math.initializers import VarianceScaling
from .contract import Weight
from .core import refuse_lora, without_none
from .layer import Layer

FORMS = (r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)", r"\.\.\.([a-zA-Z]+),([a-zA-Z]+)->\.\.\.([a-zA-Z]+)",
         r"([a-zA-Z]{2,})\.\.\.,([a-zA-Z]+)->([a-zA-Z]+)\.\.\.")  # fmt: skip


class EinsumDense(Layer):
    """y = activation(einsum(equation, x, kernel) + bias)

    equation: "ab,bc->ac" (all axes of x by a letter each), "...b,bc->...c" or "ab...,bc->ac..."; the letters of the
    kernel stand in x or in y. output_shape: the sizes of y without its batch axis and without what "..." stands for,
    None where the input leaves them open. bias_axes: the letters of y along which the bias differs; none, no bias.

    >>> EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d").compute_output_shape((None, 5, 3))
    (None, 5, 8)
    """

    equation: Text
    output_shape: Dims
    activation: Activated = None
    bias_axes: Anything = None
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    bias_regularizer: Regular = None
    kernel_constraint: Constrained = None
    bias_constraint: Constrained = None
    lora_rank: Anything = None
    lora_alpha: Anything = None
    gptq_unpacked_column_size: Anything = None
    quantization_config: Anything = None

    def validate(self):
        refuse_lora(self)
        if not any(re.fullmatch(form, self.equation) for form in FORMS):
            raise UsageError(
                "EinsumDense(equation=…) is not one that a kernel and an input can follow",
                at=self._birthplace, saw=repr(self.equation),
                want="'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...', with letters of your own",
            )  # fmt: skip

    def letters(self, axes):
        """The equation for an input of so many axes: a letter for each axis, those of "..." unused ones."""
        x, kernel, y = next(m.groups() for form in FORMS if (m := re.fullmatch(form, self.equation)))
        free = [letter for letter in string.ascii_letters if letter not in x + kernel + y]
        rest = "".join(free[: max(0, axes - len(x))]) if "..." in self.equation else ""
        if axes != len(x) + len(rest):
            raise UsageError(
                f"{self.name} (EinsumDense) wants another number of axes",
                at=self._birthplace, saw=f"an input of {axes} axes for {self.equation!r}", want=f"{len(x)} axes",
            )  # fmt: skip
        ahead = self.equation.startswith("...")
        return Letters(*(rest + part if ahead else part + rest for part in (x, y)), kernel, rest)

    def sizes(self, letters, shape):
        """The size of every letter, for an input of `shape`; a UsageError where input and output_shape differ."""
        found = dict(zip(letters.x, shape, strict=True))
        named = [letter for letter in letters.y if letter not in letters.rest]
        if letters.y[0] not in letters.rest:
            named = named[1:]  # the batch
        if len(named) != len(self.output_shape):
            raise UsageError(
                f"{self.name} (EinsumDense): output_shape and equation name another number of axes",
                at=self._birthplace, saw=f"output_shape={self.output_shape}, equation={self.equation!r}",
                want=f"{len(named)} sizes: {', '.join(named)}",
            )  # fmt: skip
        for letter, size in zip(named, self.output_shape, strict=True):
            if letter in found and None not in (size, found[letter]) and size != found[letter]:
                raise UsageError(
                    f"{self.name} (EinsumDense): axis {letter!r} is in the input and in output_shape, in two sizes",
                    at=self._birthplace, saw=f"{found[letter]} in an input of {shape}, {size} in {self.output_shape}",
                    want="one size, or None in output_shape",
                )  # fmt: skip
            found[letter] = size if size is not None else found.get(letter)
        return found

    def known(self, sizes, letter, shape):
        if sizes.get(letter) is None:
            raise UsageError(
                f"{self.name} (EinsumDense): the size of axis {letter!r} must be known",
                at=self._birthplace, saw=f"{self.equation!r}, output_shape={self.output_shape}, an input of {shape}",
                want="a letter of the input or of the output, with a size there",
            )  # fmt: skip
        return sizes[letter]

    def declare(self, shape):
        letters = self.letters(len(shape))
        sizes = self.sizes(letters, shape)
        yield Weight(
            "kernel", tuple(self.known(sizes, letter, shape) for letter in letters.kernel), self.fanned(letters),
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.bias_axes is not None:
            first = self.first_of_bias(letters)
            size = tuple(self.known(sizes, a, shape) if a in self.bias_axes else 1 for a in letters.y[first:])
            yield Weight(
                "bias", size, self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def first_of_bias(self, letters):
        places = [letters.y.find(letter) for letter in self.bias_axes if letter not in letters.rest]
        if len(places) < max(len(self.bias_axes), 1) or min(places) < 0:
            raise UsageError(
                f"{self.name} (EinsumDense): bias_axes are letters of the output",
                at=self._birthplace, saw=f"bias_axes={self.bias_axes!r}",
                want=f"some of {letters.y.replace(letters.rest, '')!r}",
            )  # fmt: skip
        return min(places)

    def fanned(self, letters):
        """The kernel's initializer; one that looks at the fans is told which axes are in and which are out."""
        out = [i for i, letter in enumerate(letters.kernel) if letter in letters.y]
        into = [i for i, letter in enumerate(letters.kernel) if letter not in letters.y]
        return aimed(self.kernel_initializer, into, out)

    def forward(self, w, x, call):
        x_axes, y_axes, kernel, _ = self.letters(x.ndim)
        plain = len(kernel) == 2 and kernel[0] == x_axes[-1] and y_axes == x_axes[:-1] + kernel[1]
        if plain and self.bias_axes in (None, kernel[1]):
            return product(x, w["kernel"], w.get("bias"), self.activation)
        y = jnp.einsum(f"{x_axes},{kernel}->{y_axes}", x, w["kernel"])
        return self.activation(y + w["bias"] if "bias" in w else y)

    def get_config(self):
        config = {"activity_regularizer": None, **super().get_config()}
        return without_none(config, "lora_rank", "lora_alpha", "gptq_unpacked_column_size")


def aimed(initializer, into, out):
    """An initializer that looks at the fans, told which axes of the kernel meet the input and which the output."""
    if not isinstance(initializer, VarianceScaling):
        return initializer
    if initializer.input_axes is not None and initializer.output_axes is not None:
        return initializer
    return type(initializer).from_config({**initializer.get_config(), "input_axes": into, "output_axes": out})


class Letters(NamedTuple):
    """An equation, a letter for each axis; `rest` are those that "..." stands for."""

    x: str
    y: str
    kernel: str
    rest: str


registry.add("layer", EinsumDense)
