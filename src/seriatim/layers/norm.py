"""Normalisation: take mean and variance out, put a learned scale and offset in.

Floor 2. Statistics are computed in float32 (or wider) whatever the policy; the output has the policy's type.
"""

import operator

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Anything, Axes, Bool, Constrained, Initial, Int, Number, Regular
from ..base.report import UsageError
from ..math.affine import along
from ..math.moments import full, moments, normalise, standardise, variance
from .contract import Weight
from .core import known_axis
from .layer import Layer


class BatchNormalization(Layer):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, for each index of `axis`. Ioffe & Szegedy, 2015.

    b ... c -> b ... c. In training the statistics are those of the batch (of the places that a mask leaves), and
    the moving ones follow: moving = momentum · moving + (1 − momentum) · batch, the variance biased in both. At
    rest, or with trainable=False, the moving ones are used. renorm: Ioffe, 2017.

    A mask (b, t) may stand before any input b t ...; Keras wants exactly one axis less than the input.
    `synchronized` changes nothing: under jit a batch that lies on several devices is one batch.
    """

    masking = "pass"
    full_precision = True

    axis: Int = -1
    momentum: Number = 0.99
    epsilon: Number = 1e-3
    center: Bool = True
    scale: Bool = True
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    moving_mean_initializer: Initial = "zeros"
    moving_variance_initializer: Initial = "ones"
    beta_regularizer: Regular = None
    gamma_regularizer: Regular = None
    beta_constraint: Constrained = None
    gamma_constraint: Constrained = None
    renorm: Bool = False
    renorm_clipping: Anything = None
    renorm_momentum: Number = 0.99
    synchronized: Bool = False

    def validate(self):
        if not self.renorm:
            return
        self.renorm_clipping = dict(self.renorm_clipping or {})
        rmin, rmax, dmax = (self.renorm_clipping.get(key) for key in ("rmin", "rmax", "dmax"))
        unknown = set(self.renorm_clipping) - {"rmin", "rmax", "dmax"}
        crossed = rmin is not None and rmax is not None and rmax < rmin
        if unknown or crossed or (dmax is not None and dmax < 0):
            raise UsageError(
                "BatchNormalization(renorm_clipping=…) has no such bounds",
                at=self._birthplace, saw=f"renorm_clipping={self.renorm_clipping}",
                want="some of rmin, rmax (not below rmin) and dmax (0 or more)",
            )  # fmt: skip

    def declare(self, shape):
        size = (known_axis(self, shape, checked_axis(self, self.axis, shape)),)
        if self.scale:
            yield scale_weight(self, size)
        if self.center:
            yield offset_weight(self, size)
        names = {"moving_mean": self.moving_mean_initializer, "moving_variance": self.moving_variance_initializer}
        if self.renorm:
            deviation = Root(self.moving_variance_initializer)
            names.update(moving_stddev=deviation, renorm_mean=self.moving_mean_initializer, renorm_stddev=deviation)
        for name, initializer in names.items():
            yield Weight(name, size, initializer, trainable=False)

    def apply(self, w, x, call):
        x = full(x, self.variable_dtype)
        w = {name: array.astype(x.dtype) for name, array in w.items()} | {"kept": w}
        gamma, beta, moved = w.get("gamma"), w.get("beta"), {}
        if call.training and self.trainable and call.mask is None and not self.renorm and self.axis in (-1, x.ndim - 1):
            y, mean, spread = standardise(x, gamma, beta, self.epsilon)
            return y.astype(self.compute_dtype), self.kept(w, self.followed(w, mean, spread))
        if call.training and self.trainable:
            others = [axis for axis in range(x.ndim) if axis != self.axis % x.ndim]
            mean, spread = (array.reshape(-1) for array in moments(x, others, call.mask))
            if self.renorm:
                gamma, beta = self.corrected(w, mean, spread, gamma, beta)
            moved = (self.renormed if self.renorm else self.followed)(w, mean, spread)
        else:
            mean, spread = w["moving_mean"], w["moving_variance"]
        vectors = [v if v is None else along(v, self.axis, x.ndim) for v in (mean, spread, gamma, beta)]
        y = normalise(x, *vectors, epsilon=self.epsilon)
        return y.astype(self.compute_dtype), self.kept(w, moved)

    def kept(self, w, moved):
        """What moved, in the dtypes in which it is kept."""
        return {name: v.astype(w["kept"][name].dtype) for name, v in moved.items()}

    def followed(self, w, mean, spread):
        """The moving statistics after this batch."""
        return {
            "moving_mean": follow(w["moving_mean"], mean, self.momentum),
            "moving_variance": follow(w["moving_variance"], spread, self.momentum),
        }

    def corrected(self, w, mean, spread, gamma, beta):
        """gamma and beta that also bring the batch's statistics to the running ones: x̂ · r + d, r and d constants."""
        running = jnp.maximum(w["renorm_stddev"], np.sqrt(self.epsilon))
        r = jnp.sqrt(spread + self.epsilon) / running
        d = (mean - w["renorm_mean"]) / running
        clip = self.renorm_clipping
        r = jnp.clip(r, clip.get("rmin"), clip.get("rmax"))
        if clip.get("dmax") is not None:
            d = jnp.clip(d, -clip["dmax"], clip["dmax"])
        r, d = jax.lax.stop_gradient((r, d))
        gamma, offset = (r, d) if gamma is None else (r * gamma, d * gamma)
        return gamma, offset if beta is None else offset + beta

    def renormed(self, w, mean, spread):
        """The running and the moving statistics after this batch; the moving variance follows the deviation."""
        deviation = jnp.sqrt(spread + self.epsilon)
        moving = follow(w["moving_stddev"], deviation, self.momentum)
        return {
            "moving_mean": follow(w["moving_mean"], mean, self.momentum),
            "moving_variance": jnp.maximum(jnp.square(moving) - self.epsilon, 0),
            "moving_stddev": moving,
            "renorm_mean": follow(w["renorm_mean"], mean, self.renorm_momentum),
            "renorm_stddev": follow(w["renorm_stddev"], deviation, self.renorm_momentum),
        }


class LayerNormalization(Layer):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, mean and variance of each sample along `axis`.

    b ... -> b ...; gamma and beta have the sizes of `axis` (an axis, or several). Ba et al., 2016. `rms_scaling`
    is Keras's older flag: x · gamma / √(variance + epsilon), the mean left in and no beta.
    """

    masking = "pass"
    full_precision = True

    axis: Axes = -1
    epsilon: Number = 1e-3
    center: Bool = True
    scale: Bool = True
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    beta_regularizer: Regular = None
    gamma_regularizer: Regular = None
    beta_constraint: Constrained = None
    gamma_constraint: Constrained = None
    rms_scaling: Bool = False

    def validate(self):
        self.axis = list(self.axis) if isinstance(self.axis, (list, tuple)) else self.axis
        if not self.axes() or not all(isinstance(axis, (int, np.integer)) for axis in self.axes()):
            raise UsageError(
                "LayerNormalization(axis=…) is an axis, or a list of axes",
                at=self._birthplace, saw=f"axis={self.axis!r}", want="a whole number, or several",
            )  # fmt: skip

    def axes(self):
        return sorted(self.axis) if isinstance(self.axis, list) else [self.axis]

    def declare(self, shape):
        sizes = tuple(known_axis(self, shape, checked_axis(self, axis, shape)) for axis in self.axes())
        if self.scale or self.rms_scaling:
            yield scale_weight(self, sizes)
        if self.center and not self.rms_scaling:
            yield offset_weight(self, sizes)

    def forward(self, w, x, call):
        x = full(x, self.variable_dtype)
        axes = tuple(axis % x.ndim for axis in self.axes())
        lying = tuple(n if axis in axes else 1 for axis, n in enumerate(x.shape))
        gamma, beta = (array if array is None else array.astype(x.dtype).reshape(lying)
                       for array in (w.get("gamma"), w.get("beta")))  # fmt: skip
        if self.rms_scaling:
            y = x * (jax.lax.rsqrt(variance(x, axes) + self.epsilon) * gamma)
        else:
            y = normalise(x, *moments(x, axes), gamma, beta, self.epsilon)
        return y.astype(self.compute_dtype)

    def get_config(self):
        """As in Keras, the axis becomes a list when the layer is built."""
        config = super().get_config()
        return {**config, "axis": self.axes() if self.built else self.axis}


# ---- what the two share -----------------------------------------------------------------------------


class Root:
    """An initializer: the square root of what another one draws."""

    def __init__(self, inner):
        self.inner = inner

    def draw(self, shape, rng):
        return np.sqrt(self.inner.draw(shape, rng))

    def __call__(self, shape, dtype=None):
        return np.sqrt(self.inner(shape, dtype=dtype))


def follow(moving, now, momentum):
    return moving * momentum + now * (1 - momentum)


def scale_weight(layer, shape):
    return Weight(
        "gamma", shape, layer.gamma_initializer, regularizer=layer.gamma_regularizer, constraint=layer.gamma_constraint
    )


def offset_weight(layer, shape):
    return Weight(
        "beta", shape, layer.beta_initializer, regularizer=layer.beta_regularizer, constraint=layer.beta_constraint
    )


def checked_axis(layer, axis, shape):
    """The axis itself; a UsageError if an input of `shape` has none such."""
    if not -len(shape) <= operator.index(axis) < len(shape):
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) has no axis {axis} to normalise",
            at=layer._birthplace, saw=f"axis={layer.axis}, an input of shape {shape}",
            want=f"axes from {-len(shape)} to {len(shape) - 1}",
        )  # fmt: skip
    return axis


registry.add("layer", BatchNormalization, LayerNormalization)
