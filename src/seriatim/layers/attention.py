"""Layers of a transformer with one input: SelfAttention, TransformerBlock, PositionalEmbedding.

Floor 2. Keras's MultiHeadAttention takes several inputs; in a chain, query, key and value are the same. The arrays of a
SelfAttention are those of `MultiHeadAttention(x, x)`: names, shapes and order.
"""

import math
from typing import Annotated, ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import (
    Activated,
    Bool,
    Constrained,
    Fraction,
    Initial,
    NonNegative,
    Number,
    OneOf,
    Optional,
    OptionalDims,
    PositiveInt,
    Regular,
    Seed,
    Whole,
)  # fmt: skip
from ..base.report import DataError, UsageError
from ..math.affine import product
from ..math.attention import attend, past, waves
from .chain import run
from .contract import Weight, under, within
from .core import Dense, known_axis
from .einsum import aimed
from .layer import Layer
from .noise import Seeded, chance, disturbs, thinned
from .norm import LayerNormalization

OptionalSize = Annotated[int | None, Optional(Whole(1))]


class Attentive(Seeded):
    """Abstract: a layer whose steps look at each other, with `dropout` between 0 and 1."""

    masking = "pass"
    module: ClassVar[str] = "seriatim.layers"

    def largest(self, shape):
        """The shape of the largest array in between: a score for each head and each two steps."""
        return (shape[0], self.num_heads, shape[1], shape[1])

    def entering(self, name, number):
        """A rate as the number of words that are let through."""
        return np.uint32(chance(number)) if name == "dropout" else super().entering(name, number)


class SelfAttention(Attentive):
    """y = attention_output(softmax(query · keyᵀ / √key_dim) · value), with query, key and value three projections of x.

    b t features -> b t features, or b t *output_shape. query and key: kernel (features, num_heads, key_dim), bias
    (num_heads, key_dim); value the same with value_dim (by default key_dim); attention_output: kernel (num_heads,
    value_dim, *output_shape). key_dim is by default features / num_heads. use_causal_mask: no step looks at later ones.

    Under a mask no step looks at a masked one, and the mask goes on. What stands at masked steps is of no use: as in
    Keras, the plain mean of the values without dropout, zeros with it. The weights are summed and normalised in float32
    whatever the policy. Vaswani et al., 2017.

    >>> SelfAttention(num_heads=2, key_dim=4).compute_output_shape((None, 10, 8))
    (None, 10, 8)
    """

    signature = "b t features -> b t ..."

    num_heads: PositiveInt
    key_dim: OptionalSize = None
    value_dim: OptionalSize = None
    dropout: Fraction = 0.0
    use_bias: Bool = True
    output_shape: OptionalDims = None
    use_causal_mask: Bool = False
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    bias_regularizer: Regular = None
    kernel_constraint: Constrained = None
    bias_constraint: Constrained = None
    seed: Seed = None

    def validate(self):
        if self.output_shape is not None and not all(isinstance(n, int) and n > 0 for n in self.output_shape or [0]):
            raise UsageError(
                "SelfAttention(output_shape=…) has the sizes of a step's output", at=self._birthplace,
                saw=f"output_shape={self.output_shape}", want="a positive whole number, or several",
            )  # fmt: skip

    def head(self, features):
        """The size of query and key of one head; a UsageError if it is left open and the heads do not fit."""
        if self.key_dim is None and features % self.num_heads:
            raise UsageError(
                f"{self.name} ({type(self).__name__}) cannot share its features among its heads", at=self._birthplace,
                saw=f"{features} features, num_heads={self.num_heads}",
                want=f"num_heads that divide {features}, or the size of a head", fix="key_dim=…",
            )  # fmt: skip
        return self.key_dim or features // self.num_heads

    def declare(self, shape):
        features = known_axis(self, shape, -1)
        size = self.head(features)
        inner, out = (self.num_heads, self.value_dim or size), self.output_shape or (features,)
        for name, enters, leaves in (
            ("query", (features,), (self.num_heads, size)), ("key", (features,), (self.num_heads, size)),
            ("value", (features,), inner), ("attention_output", inner, out),
        ):  # fmt: skip
            axes = range(len(enters) + len(leaves))
            yield Weight(
                f"{name}/kernel", enters + leaves,
                aimed(self.kernel_initializer, list(axes[: len(enters)]), list(axes[len(enters) :])),
                regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
            )  # fmt: skip
            if self.use_bias:
                yield Weight(
                    f"{name}/bias", leaves, self.bias_initializer,
                    regularizer=self.bias_regularizer, constraint=self.bias_constraint,
                )  # fmt: skip

    def forward(self, w, x, call):
        q, k, v = (project(x, within(w, name), 1) for name in ("query", "key", "value"))
        drops = disturbs(self.dropout)
        allowed = self.allowed(x.shape[1], call.mask)

        def drop(weights):
            weights = weights if allowed is None else jnp.where(allowed, weights, 0)
            return thinned(weights, self.own_key(call), self.dropout, weights.shape) if call.training else weights

        y = attend(q, k, v, allowed, drop if drops else None)
        return project(y, within(w, "attention_output"), 2)

    def allowed(self, steps, mask):
        """Booleans that meet (b, 1, t, t): which step may look at which; None if all may."""
        found = past(steps) if self.use_causal_mask else None
        if mask is None:
            return found
        mask = jnp.asarray(mask, bool)
        if tuple(mask.shape[1:]) != (steps,):
            raise DataError(
                f"the mask of {self.name} ({type(self).__name__}) does not fit its input", at=self._birthplace,
                saw=f"a mask of shape {tuple(mask.shape)} for {steps} steps", want=f"a mask (batch, {steps})",
            )  # fmt: skip
        both = mask[:, None, :, None] & mask[:, None, None, :]
        return both if found is None else both & found


def project(x, w, axes):
    """x · kernel + bias over the last `axes` axes of x; the product is one of matrices."""
    kernel, bias = w["kernel"], w.get("bias")
    enters, leaves = kernel.shape[:axes], kernel.shape[axes:]
    flat = kernel.reshape(math.prod(enters), math.prod(leaves))
    y = product(x.reshape(*x.shape[: x.ndim - axes], -1), flat, None if bias is None else bias.reshape(-1))
    return y.reshape(*x.shape[: x.ndim - axes], *leaves)


class TransformerBlock(Attentive):
    """h = norm(x + attention(x)); y = norm(h + output(intermediate(h))). Vaswani et al., 2017.

    With norm_first (Xiong et al., 2020): h = x + attention(norm(x)); y = h + output(intermediate(norm(h))).
    b t features -> b t features. `attention` is SelfAttention(num_heads, key_dim, dropout=dropout, use_causal_mask=…),
    `intermediate` Dense(intermediate_dim, activation), `output` Dense(features), each norm LayerNormalization(epsilon);
    dropout also stands behind attention and behind output. The arrays are named by part and come in the order of use:
    attention, attention_norm, intermediate, output, output_norm; with norm_first each norm before its part.

    >>> TransformerBlock(num_heads=2, intermediate_dim=16).compute_output_shape((None, 10, 8))
    (None, 10, 8)
    """

    signature = "b t features -> b t features"
    full_precision = True  # each part meets its own arrays

    num_heads: PositiveInt
    intermediate_dim: PositiveInt
    key_dim: OptionalSize = None
    activation: Activated = "relu"
    dropout: Fraction = 0.0
    norm_first: Bool = False
    use_causal_mask: Bool = False
    epsilon: NonNegative = 1e-5
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Regular = None
    bias_regularizer: Regular = None
    seed: Seed = None

    def parts(self, features):
        """The layers of the block by name, in the order in which they are used; their arrays are the block's."""
        initial = {name: getattr(self, name) for name in ("kernel_initializer", "bias_initializer")}
        initial |= {name: getattr(self, name) for name in ("kernel_regularizer", "bias_regularizer")}
        initial |= {"dtype": self.argument("dtype")}
        found = {
            "attention": SelfAttention(
                self.num_heads, self.key_dim, use_causal_mask=self.use_causal_mask, name=self.name, **initial
            ),
            "attention_norm": LayerNormalization(dtype=initial["dtype"], name=f"{self.name}_attention_norm"),
            "intermediate": Dense(self.intermediate_dim, self.activation, name=f"{self.name}_intermediate", **initial),
            "output": Dense(features, name=f"{self.name}_output", **initial),
            "output_norm": LayerNormalization(dtype=initial["dtype"], name=f"{self.name}_output_norm"),
        }
        found["attention"].dropout, found["attention"].seed = self.dropout, self.seed  # a population's may be traced
        found["attention_norm"].epsilon = found["output_norm"].epsilon = self.epsilon
        order = ("attention_norm", "attention", "output_norm", "intermediate", "output") if self.norm_first else found
        return {name: found[name] for name in order}

    def allocate(self, shape, seed=None):
        super().allocate(shape, seed)
        for weight in self.declare(shape):  # kept, for whoever lists the arrays: making the parts anew takes time
            self.redeclare(weight)

    def declare(self, shape):
        for name, part in self.parts(known_axis(self, shape, -1)).items():
            yield from under(name, part.declare((*shape[:-1], self.intermediate_dim) if name == "output" else shape))

    def forward(self, w, x, call):
        parts, x = self.parts(x.shape[-1]), x.astype(self.compute_dtype)

        def through(x, *names):
            chain = [parts[name] for name in names]
            here = call.at(0 if "attention" in names else 1)
            y, _, _ = run(chain, [within(w, name) for name in names], x, here)
            return y

        def drop(y, place):
            if not call.training or not disturbs(self.dropout):
                return y
            return thinned(y, self.own_key(call.at(place)), self.dropout, y.shape)

        for place, names, norm in (
            (2, ("attention",), "attention_norm"),
            (3, ("intermediate", "output"), "output_norm"),
        ):
            if self.norm_first:
                x = x + drop(through(x, norm, *names), place)
            else:
                x = through(x + drop(through(x, *names), place), norm)
        return x


class PositionalEmbedding(Layer):
    """y = x + embeddings[:t]: to each step a vector that says where it stands.

    b t features -> b t features. kind="learned": embeddings (sequence_length, features) are learned (Gehring et al.,
    2017); sequence_length is by default that of the input for which the layer is built. kind="sine": they are waves,
    sin(p / max_wavelength^(2i / features)) in place 2i of step p and the cosine in place 2i + 1 (Vaswani et al., 2017),
    and nothing is learned. Shorter inputs take the first vectors; a longer one than sequence_length is a DataError.

    >>> PositionalEmbedding(kind="sine")(jnp.zeros((1, 2, 2))).round(2).tolist()
    [[[0.0, 1.0], [0.8399999737739563, 0.5400000214576721]]]
    """

    signature = "b t features -> b t features"
    masking = "pass"
    module: ClassVar[str] = "seriatim.layers"

    sequence_length: OptionalSize = None
    kind: Annotated[str, OneOf("learned", "sine")] = "learned"
    embeddings_initializer: Initial = "uniform"
    embeddings_regularizer: Regular = None
    embeddings_constraint: Constrained = None
    max_wavelength: Number = 10000.0

    def declare(self, shape):
        steps, features = shape[1], known_axis(self, shape, -1)
        if steps is not None:
            self.check(steps)
        if self.kind == "sine":
            return
        if (self.sequence_length or steps) is None:
            raise UsageError(
                f"{self.name} (PositionalEmbedding) needs to know how long a sequence may be", at=self._birthplace,
                saw=f"an input of shape {shape}", want="the length of the longest", fix="sequence_length=…",
            )  # fmt: skip
        yield Weight(
            "embeddings", (self.sequence_length or steps, features), self.embeddings_initializer,
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip

    def check(self, steps, longest=None):
        longest = longest or self.sequence_length
        if longest is not None and steps > longest:
            raise DataError(
                f"{self.name} (PositionalEmbedding) has no vector for the last steps", at=self._birthplace,
                saw=f"a sequence of {steps} steps", want=f"at most {longest}",
                fix=f"sequence_length={steps}, or cut the sequences: pad_sequences(x, maxlen={longest})",
            )  # fmt: skip

    def forward(self, w, x, call):
        steps, features = x.shape[1:]
        if call.sketch:  # the length is made up
            return x
        if self.kind == "sine":
            self.check(steps)
            table = jnp.asarray(waves(steps, features, self.max_wavelength), x.dtype)
        else:
            self.check(steps, len(w["embeddings"]))
            table = w["embeddings"][:steps]
        return x + table


registry.add("layer", SelfAttention, TransformerBlock, PositionalEmbedding)
