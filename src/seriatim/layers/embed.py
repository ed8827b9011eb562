"""Whole numbers to vectors, and steps to skip: the two layers that make a mask.

Floor 2.
"""

import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Anything, Bool, Constrained, Initial, PositiveInt, Regular
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


registry.add("layer", Embedding, Masking)
