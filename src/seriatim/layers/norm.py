"""Normalisation: take mean and variance out, put a learned scale and offset in.

Floor 2. Statistics are computed in float32 (or wider) whatever the policy; the output has the policy's type.
"""

import operator
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import (
    Anything,
    Axes,
    Bool,
    Constrained,
    Initial,
    Int,
    Number,
    PositiveInt,
    Refused,
    Regular,
    Whole,
)  # fmt: skip
from ..base.report import BadArgument, UsageError
from ..math.affine import along
from ..math.initializers import Ones, TruncatedNormal
from ..math.moments import full, moments, normalise, standardise, variance
from .contract import PENALTY, Weight, under
from .core import known_axis
from .layer import Layer
from .wrap import Wrapper

SMALLEST = 1e-24  # a square of a length: what is shorter than its root has no direction


class Groups(Whole):
    """A positive whole number, or -1."""

    def __init__(self):
        super().__init__(-1)
        self.want, self.bad = "a positive whole number, or -1 for a group for each channel", 0

    def read(self, value, owner):
        number = super().read(value, owner)
        if number == 0:
            raise Refused
        return number


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
        self.axis = checked_axes(self)

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


class GroupNormalization(Layer):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, mean and variance of each sample and group of channels.

    b ... c -> b ... c; gamma, beta (c,). The channels, along `axis`, fall into `groups` of neighbours; groups=-1 puts
    each channel into its own (instance normalisation), groups=1 all into one. Wu & He, 2018.
    """

    masking = "pass"
    full_precision = True

    groups: Annotated[int, Groups()] = 32
    axis: Int = -1
    epsilon: Number = 1e-3
    center: Bool = True
    scale: Bool = True
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    beta_regularizer: Regular = None
    gamma_regularizer: Regular = None
    beta_constraint: Constrained = None
    gamma_constraint: Constrained = None

    def declare(self, shape):
        channels = known_axis(self, shape, checked_axis(self, self.axis, shape))
        if channels % self.count(channels):
            raise UsageError(
                f"{self.name} (GroupNormalization): each group has the same number of channels",
                at=self._birthplace, saw=f"groups={self.groups}, {channels} channels in {shape}",
                want=f"groups that divide {channels}, or -1 for a group for each channel",
            )  # fmt: skip
        if self.scale:
            yield scale_weight(self, (channels,))
        if self.center:
            yield offset_weight(self, (channels,))

    def count(self, channels):
        return channels if self.groups == -1 else self.groups

    def forward(self, w, x, call):
        shape, axis = x.shape, self.axis % x.ndim
        groups = self.count(shape[axis])
        size = shape[axis] // groups
        x = full(x, self.variable_dtype).reshape(*shape[:axis], groups, size, *shape[axis + 1 :])
        lying = [1] * x.ndim
        lying[axis], lying[axis + 1] = groups, size
        gamma, beta = (v if v is None else v.astype(x.dtype).reshape(lying) for v in (w.get("gamma"), w.get("beta")))
        y = normalise(x, *moments(x, [i for i in range(1, x.ndim) if i != axis]), gamma, beta, self.epsilon)
        return y.reshape(shape).astype(self.compute_dtype)

    def get_config(self):
        """As in Keras, groups=-1 becomes their number when the layer is built."""
        config = super().get_config()
        return {**config, "groups": self.count(self.input_spec_shape[self.axis]) if self.built else self.groups}


class RMSNormalization(Layer):
    """y = x / √(mean(x²) + epsilon) · scale, the mean of each sample along `axis`.

    b ... -> b ...; scale has the sizes of `axis` (an axis, or several) and lies along it, where Keras lays it along the
    last axes whatever `axis` says. Zhang & Sennrich, 2019.
    """

    axis: Axes = -1
    epsilon: Number = 1e-6

    def validate(self):
        self.axis = checked_axes(self)

    def axes(self):
        return sorted(self.axis) if isinstance(self.axis, list) else [self.axis]

    def declare(self, shape):
        sizes = tuple(known_axis(self, shape, checked_axis(self, axis, shape)) for axis in self.axes())
        yield Weight("scale", sizes, Ones())

    def forward(self, w, x, call):
        axes = tuple(axis % x.ndim for axis in self.axes())
        x = full(x)
        scale = w["scale"].astype(x.dtype).reshape([n if axis in axes else 1 for axis, n in enumerate(x.shape)])
        y = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axes, keepdims=True) + self.epsilon) * scale
        return y.astype(self.compute_dtype)

    def get_config(self):
        """As in Keras, the axis becomes a list when the layer is built."""
        config = super().get_config()
        return {**config, "axis": self.axes() if self.built else self.axis}


class UnitNormalization(Layer):
    """y = x / √(sum(x²)), the sum of each sample along `axis` (an axis, or several); 0 where all of x is 0.

    b ... -> b ....
    """

    masking = "pass"

    axis: Axes = -1

    def validate(self):
        self.axis = checked_axes(self)

    weightless = True

    def declare(self, shape):
        for axis in self.axis if isinstance(self.axis, list) else [self.axis]:
            checked_axis(self, axis, shape)
        return ()

    def forward(self, w, x, call):
        x = full(x)
        squares = jnp.sum(jnp.square(x), tuple(np.ravel(self.axis)), keepdims=True)
        return (x * jax.lax.rsqrt(jnp.maximum(squares, SMALLEST))).astype(self.compute_dtype)


# ---- around a layer -----------------------------------------------------------------------------------


class SpectralNormalization(Wrapper):
    """In training, `layer` with kernel / σ, where σ is the kernel's largest singular value. Miyato et al., 2018.

    σ = v · kernel · uᵀ, the kernel seen as a matrix (the rest, outputs). In each batch `power_iterations` steps
    v = unit(u · kernelᵀ), u = unit(v · kernel) bring vector_u (1, outputs) closer to the singular vector; for the
    gradient, u and v are constants. A kernel of zeros stays as it is. A layer without a kernel is taken by its
    `embeddings`.

    At rest the layer computes with its kernel as it stands, as in Keras on JAX: there, too, an optimizer's step starts
    from the kernel itself and what training divided is not kept.
    """

    power_iterations: PositiveInt = 1

    @property
    def target(self):
        """The name, in the layer inside, of the array that is normalised."""
        return next((name for name in ("kernel", "embeddings") if name in self.layer.box), "kernel")

    def declare(self, shape):
        inner = list(self.layer.declare(self.inner_shapes(shape)["layer"]))
        found = next((weight for name in ("kernel", "embeddings") for weight in inner if weight.name == name), None)
        if found is None:
            raise UsageError(
                f"{self.name} (SpectralNormalization) wants a layer with a kernel or embeddings",
                at=self._birthplace, saw=f"{self.layer!r} with {', '.join(w.name for w in inner) or 'no arrays'}",
            )  # fmt: skip
        yield from under("layer", inner)
        yield Weight("vector_u", (1, found.shape[-1]), TruncatedNormal(stddev=0.02), trainable=False)

    def apply(self, w, x, call):
        new = {}
        if call.training:
            name = "layer/kernel" if "layer/kernel" in w else "layer/embeddings"
            kernel, new["vector_u"] = self.normalised(w[name], w["vector_u"])
            new |= self.penalty(w[name], kernel)
            w = {**w, name: kernel}
        y, moved = self.inside("layer", w, x, call)
        if PENALTY in moved and PENALTY in new:
            new[PENALTY] += moved[PENALTY]
        return y.astype(self.compute_dtype), {**moved, **new}

    def penalty(self, kernel, divided):
        """What training adds to the kernel's own penalty: in a step, as in Keras, that of kernel / σ stands for it."""
        weight = self.layer.declaration(self.target)
        if weight is None or weight.regularizer is None or not (self.trainable and self.layer.trainable):
            return {}
        return {PENALTY: weight.regularizer(divided) - weight.regularizer(kernel)}

    def next_mask(self, x, mask):
        return self.layer.next_mask(x, mask)

    def normalised(self, kernel, u):
        """(kernel / σ, u), both in the types in which they came."""
        matrix, kept = full(kernel).reshape(-1, kernel.shape[-1]), u
        u = u.astype(matrix.dtype)
        for _ in range(self.power_iterations):
            v = unit(u @ matrix.T)
            u = unit(v @ matrix)
        u, v = jax.lax.stop_gradient((u, v))
        empty = jnp.all(kernel == 0)
        sigma = jnp.where(empty, 1, v @ matrix @ u.T)
        return (kernel / sigma).astype(kernel.dtype), jnp.where(empty, kept, u.astype(kept.dtype))

    @property
    def echoes(self):
        """What Keras's class lists, and writes, as its own too: the array of the layer that is normalised."""
        return [v for v in self.layer.weights if v.layer is self.layer and v.key == self.target]

    @property
    def variables(self):
        """The normalised array of the layer, vector_u, then what else the layer holds: Keras's order."""
        first = self.echoes
        return first + [v for v in super().variables if all(v.layer is not e.layer or v.key != e.key for e in first)]


# ---- what they share ----------------------------------------------------------------------------------


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


def unit(x):
    """x / ‖x‖, 0 for 0."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), SMALLEST))


def checked_axes(layer):
    """The axis of a layer, several of them as a list; a UsageError if they are not whole numbers."""
    axes = list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if not axes or not all(isinstance(axis, (int, np.integer)) for axis in axes):
        raise BadArgument(
            f"{type(layer).__name__}(axis=…) is an axis, or a list of axes",
            at=layer._birthplace, saw=f"axis={layer.axis!r}", want="a whole number, or several",
        )  # fmt: skip
    return axes if isinstance(layer.axis, (list, tuple)) else layer.axis


def checked_axis(layer, axis, shape):
    """The axis itself; a UsageError if an input of `shape` has none such."""
    if not -len(shape) <= operator.index(axis) < len(shape):
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) has no axis {axis} to normalise",
            at=layer._birthplace, saw=f"axis={layer.axis}, an input of shape {shape}",
            want=f"axes from {-len(shape)} to {len(shape) - 1}",
        )  # fmt: skip
    return axis


registry.add(
    "layer", BatchNormalization, LayerNormalization, GroupNormalization, RMSNormalization, UnitNormalization,
    SpectralNormalization,
)  # fmt: skip
