"""The same numbers in another arrangement: flattened, reshaped, permuted, repeated.

Floor 2. None has weights, none passes a mask on, whole numbers stay whole.
"""

import math
import operator

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Dims, Format, PositiveInt
from ..base.report import UsageError
from .core import floats_in_compute_dtype
from .layer import Layer


class Arrangement(Layer):
    """Abstract: y holds the numbers of x. A member writes `arrange(x)`."""

    integers = True  # ids on their way to an Embedding must not become half-precision floats

    def forward(self, w, x, call):
        return self.arrange(floats_in_compute_dtype(self, x))

    def arrange(self, x):
        raise NotImplementedError


class Flatten(Arrangement):
    """b ... -> b (all the rest); (b,) -> (b, 1). channels_first puts the channels last before it flattens.

    >>> Flatten().compute_output_shape((None, 28, 28))
    (None, 784)
    """

    signature = "b ... -> b features"

    data_format: Format = None

    def arrange(self, x):
        if self.data_format == "channels_first" and x.ndim > 1:
            x = jnp.moveaxis(x, 1, -1)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Arrangement):
    """b ... -> b *target_shape; one size may be -1, which is what is left over.

    >>> Reshape((3, -1)).compute_output_shape((None, 12))
    (None, 3, 4)
    """

    target_shape: Dims

    def validate(self):
        sizes = [-1 if size is None else size for size in self.target_shape]
        if min(sizes, default=0) < -1 or sizes.count(-1) > 1:
            raise UsageError(
                "Reshape(target_shape=…) is not a shape",
                at=self._birthplace, saw=f"target_shape={self.target_shape}",
                want="sizes of 0 or more, and at most one -1",
            )  # fmt: skip

    def forward(self, w, x, call):
        if call.sketch and -1 not in self.target_shape and None not in self.target_shape:
            dtype = floats_in_compute_dtype(self, x).dtype
            return jnp.zeros((len(x), *self.target_shape), dtype)  # whether made-up sizes fit says nothing
        return super().forward(w, x, call)

    def arrange(self, x):
        sizes = [-1 if size is None else size for size in self.target_shape]
        known = math.prod(size for size in sizes if size != -1)
        have = math.prod(x.shape[1:])
        if have != known if -1 not in sizes else (known == 0 or have % known):
            raise UsageError(
                f"{self.name} (Reshape) cannot bring {x.shape[1:]} to {self.target_shape}",
                at=self._birthplace, saw=f"{have} numbers in a sample of shape {x.shape[1:]}",
                want=f"{'a multiple of ' if -1 in sizes else ''}{known} numbers for target_shape={self.target_shape}",
            )  # fmt: skip
        return x.reshape(x.shape[0], *(have // known if size == -1 else size for size in sizes))


class Permute(Arrangement):
    """The axes of a sample in another order: dims=(2, 1) turns b t c into b c t.

    >>> Permute((2, 1)).compute_output_shape((None, 10, 64))
    (None, 64, 10)
    """

    dims: Dims

    def validate(self):
        if sorted(self.dims, key=str) != sorted(range(1, len(self.dims) + 1), key=str):
            raise UsageError(
                "Permute(dims=…) is not an order of axes",
                at=self._birthplace, saw=f"dims={self.dims}", want="each of 1, 2, … once; the batch axis is not named",
            )  # fmt: skip
        self.signature = " ".join(["b", *(f"axis{i + 1}" for i in range(len(self.dims))), "-> b ..."])

    def arrange(self, x):
        return jnp.transpose(x, (0, *self.dims))


class RepeatVector(Arrangement):
    """b features -> b n features: the same vector n times, one after another.

    >>> RepeatVector(3).compute_output_shape((None, 32))
    (None, 3, 32)
    """

    signature = "b features -> b n features"

    n: PositiveInt

    def arrange(self, x):
        return jnp.broadcast_to(x[:, None, :], (x.shape[0], operator.index(self.n), x.shape[1]))


registry.add("layer", Flatten, Reshape, Permute, RepeatVector)
