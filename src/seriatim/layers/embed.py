"""Whole numbers to vectors, and steps to skip: the two layers that make a mask.

Floor 2.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Anything, Bool, Constrained, Initial, OptionalNumber, PositiveInt, Regular
from ..base.report import UsageError
from ..math.affine import look_up
from .contract import Weight
from .core import floats_in_compute_dtype, refuse_lora
from .layer import Layer


class Embedding(Layer):
    """y = embeddings[x]: row x of a learned table.

    b ... (ids from 0 to input_dim − 1) -> b ... output_dim; embeddings (input_dim, output_dim). Ids that are
    floats are cut to whole numbers; a negative id counts from the end, an id beyond the table gives NaN, as in
    Keras on JAX. mask_zero=True makes the mask x ≠ 0. `weights` is a first table.

    >>> Embedding(10, 4).compute_output_shape((None, 7))
    (None, 7, 4)
    """

    signature = "b ... -> b ... output_dim"
    integers = True
    full_precision = True  # the rows are taken first and cast then: the table is never copied

    input_dim: PositiveInt
    output_dim: PositiveInt
    embeddings_initializer: Initial = "uniform"
    embeddings_regularizer: Regular = None
    embeddings_constraint: Constrained = None
    mask_zero: Bool = False
    weights: Anything = None
    lora_rank: Anything = None
    lora_alpha: Anything = None
    quantization_config: Anything = None

    def translate(self, kwargs):
        kwargs.pop("input_length", None)  # Keras 2's word; the input says how long it is
        return super().translate(kwargs)

    def validate(self):
        refuse_lora(self)
        self.supports_masking = self.mask_zero
        table = self.__dict__.pop("_first_table", None)
        if table is None:
            return
        table = table[0] if isinstance(table, (list, tuple)) and len(table) == 1 else table
        shape = (self.input_dim, self.output_dim)
        if np.shape(table) != shape:
            raise UsageError(
                "Embedding(weights=…) has another shape",
                at=self._birthplace, saw=f"an array of shape {np.shape(table)}",
                want=f"(input_dim, output_dim) = {shape}",
            )  # fmt: skip
        self.input_spec_shape = (None, None)
        self.fill({"embeddings": np.asarray(table).astype(self.variable_dtype)}, None)
        self.built = True

    def build(self, input_shape=None):
        super().build((None, None) if input_shape is None else input_shape)

    def declare(self, shape):
        yield Weight(
            "embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer,
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip

    def forward(self, w, x, call):
        ids = x if x.dtype in (jnp.int32, jnp.int64) else x.astype(jnp.int32)
        return look_up(w["embeddings"], ids).astype(self.compute_dtype)

    def next_mask(self, x, mask):
        return jnp.not_equal(seen(self, x), 0) if self.mask_zero else None

    def argument(self, name):
        return None if name == "weights" else super().argument(name)  # the table is in the weights, not in the config

    def get_config(self):
        config = {"activity_regularizer": None, **super().get_config()}
        for name in ("weights", "lora_rank", "lora_alpha"):
            config.pop(name)
        return config


def _given_table(self, table):
    self.__dict__["_first_table"] = table


Embedding.weights = property(Layer.weights.fget, _given_table, doc="Views of the arrays; set by the constructor.")


class ReversibleEmbedding(Embedding):
    """y = embeddings[x]; and back, `layer(h, reverse=True)`: logits = h @ embeddingsᵀ, a score for each id.

    b ... -> b ... output_dim, and b ... output_dim -> b ... input_dim. tie_weights=False gives the way back an array
    of its own, reverse_embeddings (output_dim, input_dim). `reverse_dtype`: the type of that product;
    `logit_soft_cap`: logits = cap · tanh(logits / cap). In a chain the layer is an Embedding. Press & Wolf, 2017.

    >>> ReversibleEmbedding(10, 4)(jnp.ones((2, 4)), reverse=True).shape
    (2, 10)
    """

    constructor: ClassVar[dict] = {
        name: argument
        for name, argument in Embedding.constructor.items()
        if argument.keyword or name in ("input_dim", "output_dim")
    }

    tie_weights: Bool = True
    embeddings_initializer: Initial = "uniform"
    embeddings_regularizer: Regular = None
    embeddings_constraint: Constrained = None
    mask_zero: Bool = False
    reverse_dtype: Anything = None
    logit_soft_cap: OptionalNumber = None

    def translate(self, kwargs):
        if kwargs.get("quantization_config", 0) is None:
            kwargs.pop("quantization_config")
        return super().translate(kwargs)

    def declare(self, shape):
        yield from super().declare(shape)
        if not self.tie_weights:
            yield Weight("reverse_embeddings", (self.output_dim, self.input_dim), self.embeddings_initializer)

    def logits(self, w, h):
        """The way back: a score for each id."""
        kernel = w["embeddings"].T if self.tie_weights else w["reverse_embeddings"]
        dtype = self.reverse_dtype or self.compute_dtype
        y = h.astype(dtype) @ kernel.astype(dtype)
        return y if self.logit_soft_cap is None else jnp.tanh(y / self.logit_soft_cap) * self.logit_soft_cap

    def __call__(self, x, reverse=False, training=None, mask=None):
        """The rows for the ids x; or, with reverse=True, the logits for the vectors x."""
        if not reverse:
            return super().__call__(x, training=training, mask=mask)
        x = jnp.asarray(x)
        if not self.built:
            self.allocate(tuple(x.shape[:-1]))
        return self.logits(self.arrays, x)

    def get_config(self):
        config = Layer.get_config(self)
        return {"activity_regularizer": None, "quantization_config": None, **config}


class Masking(Layer):
    """y = x, but 0 where a whole step equals mask_value; the mask is False there.

    b t ... features -> the same; the mask has all axes but the last.

    >>> Masking(0.0).compute_mask(jnp.array([[[1.0, 0.0], [0.0, 0.0]]])).tolist()
    [[True, False]]
    """

    signature = "b ... features -> b ... features"
    masking = "pass"
    integers = True  # compared in the type in which it comes

    mask_value: Anything = 0.0

    def forward(self, w, x, call):
        real = jnp.any(x != self.value(), axis=-1, keepdims=True)
        return jnp.where(real, floats_in_compute_dtype(self, x), 0)

    def next_mask(self, x, mask):
        return jnp.any(seen(self, x) != self.value(), axis=-1)

    def value(self):
        """mask_value, a list as an array."""
        return np.asarray(self.mask_value) if isinstance(self.mask_value, (list, tuple)) else self.mask_value


def seen(layer, x):
    """The input, which must be there: without it a mask would be lost in silence."""
    if x is None:
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) cannot make its mask inside an inner model",
            at=layer._birthplace, saw="an inner model that begins with another layer",
            fix="put the layers of the inner model into the outer one",
        )  # fmt: skip
    return x


registry.add("layer", Embedding, ReversibleEmbedding, Masking)
