"""Activations as layers: those that have arguments, or an array, of their own.

Floor 2. The mathematics stands in math/activations.py; all of them pass a mask on.
"""

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Axes, Constrained, Initial, NonNegative, Number, OptionalNumber, Regular
from ..base.report import UsageError
from ..math import activations
from .contract import Weight
from .core import known_axis
from .layer import Layer


class ReLU(Layer):
    """y = min(max(x, 0), max_value); negative_slope · (x − threshold) below the threshold.

    >>> ReLU(max_value=1.0)(jnp.array([[-1.0, 0.5, 2.0]])).tolist()
    [[0.0, 0.5, 1.0]]
    """

    masking = "pass"

    max_value: OptionalNumber = None
    negative_slope: NonNegative = 0.0
    threshold: NonNegative = 0.0

    def validate(self):
        if self.max_value is not None and self.max_value < 0:
            raise UsageError(
                "ReLU(max_value=…) cannot be negative",
                at=self._birthplace, saw=f"max_value={self.max_value}", want="a number, 0 or more, or None",
            )  # fmt: skip

    def forward(self, w, x, call):
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """y = x where x ≥ 0, negative_slope · x elsewhere. Maas et al., 2013.

    `alpha` is the older word for the slope. Its default here is 0.3; of the function it is 0.2.
    """

    masking = "pass"

    negative_slope: NonNegative = 0.3

    def translate(self, kwargs):
        if "alpha" in kwargs:
            kwargs["negative_slope"] = kwargs.pop("alpha")
        return super().translate(kwargs)

    def forward(self, w, x, call):
        return activations.leaky_relu(x, self.negative_slope)


class ELU(Layer):
    """y = x where x > 0, alpha · (exp(x) − 1) elsewhere. Clevert et al., 2016."""

    masking = "pass"

    alpha: Number = 1.0

    def forward(self, w, x, call):
        return activations.elu(x, self.alpha)


class PReLU(Layer):
    """y = max(x, 0) + alpha · min(x, 0), the slope alpha learned. He et al., 2015.

    alpha has the shape of one sample; along `shared_axes` (1 is the first after the batch) it has size 1.
    """

    masking = "pass"

    alpha_initializer: Initial = "Zeros"
    alpha_regularizer: Regular = None
    alpha_constraint: Constrained = None
    shared_axes: Axes = None

    def validate(self):
        if self.shared_axes is not None:
            axes = self.shared_axes
            self.shared_axes = list(axes) if isinstance(axes, (list, tuple)) else [axes]
            if not all(isinstance(axis, int) and axis != 0 for axis in self.shared_axes):
                raise UsageError(
                    "PReLU(shared_axes=…) names axes other than the batch",
                    at=self._birthplace, saw=f"shared_axes={axes!r}", want="a list of whole numbers, 1 or more",
                )  # fmt: skip

    def declare(self, shape):
        for axis in self.shared_axes or ():
            if not -len(shape) <= axis < len(shape):
                raise UsageError(
                    f"{self.name} (PReLU) has no axis {axis} to share", at=self._birthplace,
                    saw=f"shared_axes={self.shared_axes}, an input of shape {shape}",
                    want=f"axes from 1 to {len(shape) - 1}",
                )  # fmt: skip
        shared = {axis % len(shape) for axis in self.shared_axes or ()}
        sizes = [1 if axis in shared else known_axis(self, shape, axis) for axis in range(1, len(shape))]
        yield Weight(
            "alpha", tuple(sizes), self.alpha_initializer,
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
        )  # fmt: skip

    def forward(self, w, x, call):
        return activations.relu(x) - w["alpha"] * activations.relu(-x)


class Softmax(Layer):
    """y = exp(x) / Σ exp(x) along an axis, or several. Where a mask is False, y is 0 and takes no share.

    A mask (b, t) of the chain lies along the first axes of x. Keras lines it up with the last axes, and so
    refuses it before (b, t, c); a mask of as many axes as x means the same in both.
    """

    masking = "pass"

    axis: Axes = -1

    def validate(self):
        axes = self.axis if isinstance(self.axis, (list, tuple)) else [self.axis]
        if not axes or not all(isinstance(axis, int) for axis in axes):
            raise UsageError(
                "Softmax(axis=…) is an axis, or a list of axes",
                at=self._birthplace, saw=f"axis={self.axis!r}", want="a whole number, or several",
            )  # fmt: skip

    def forward(self, w, x, call):
        axis = tuple(self.axis) if isinstance(self.axis, (list, tuple)) else self.axis
        if call.mask is None:
            return activations.softmax(x, axis)
        mask = self.fitted(call.mask, x)
        low = -3e4 if x.dtype == jnp.float16 else -1e9  # −1e9 is −∞ in float16
        return jnp.where(mask, activations.softmax(jnp.where(mask, x, low), axis), 0)

    def fitted(self, mask, x):
        """The mask as booleans that broadcast against x."""
        mask = jnp.asarray(mask)
        mask = mask if mask.dtype == bool else mask > 0.5
        if 2 <= mask.ndim < x.ndim and mask.shape == x.shape[: mask.ndim]:
            return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        pairs = zip(mask.shape[::-1], x.shape[::-1], strict=False)
        if mask.ndim > x.ndim or any(m not in (1, n) for m, n in pairs):
            raise UsageError(
                f"{self.name} (Softmax) got a mask that does not fit its input",
                at=self._birthplace, saw=f"a mask of shape {mask.shape}, an input of shape {x.shape}",
                want="a mask that broadcasts to the input",
            )  # fmt: skip
        return mask


registry.add("layer", ReLU, LeakyReLU, ELU, PReLU, Softmax)
