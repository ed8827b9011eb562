"""`seriatim.ops`: what layers are made of: activations, convolutions, pools, normalisation, crossentropies.

Floor 6.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..base.report import UsageError
from ..base.settings import epsilon as tiny
from ..base.settings import image_data_format
from ..math import activations, decoding, deconvolution, distances, windows
from ..math import moments as statistics
from .table import plain, rows

ROWS = rows(
    """
    celu(x, alpha=1.0); elu(x, alpha=1.0); gelu(x, approximate=True); glu(x, axis=-1); hard_shrink(x, threshold=0.5);
    hard_sigmoid(x); hard_silu(x); hard_tanh(x); leaky_relu(x, negative_slope=0.2); log_sigmoid(x);
    log_softmax(x, axis=-1); relu(x); relu6(x); selu(x); sigmoid(x); silu(x); soft_shrink(x, threshold=0.5);
    softmax(x, axis=-1); softplus(x); softsign(x); sparse_plus(x); sparse_sigmoid(x); sparsemax(x, axis=-1);
    squareplus(x, b=4); tanh_shrink(x); threshold(x, threshold, default_value)
    """,
    activations,
)
ROWS |= {"swish": ROWS["silu"], "hard_swish": ROWS["hard_silu"]}


# ---- windows ----------------------------------------------------------------------------------------------


def _sizes(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _geometry(inputs, strides, padding, data_format):
    x = jnp.asarray(plain(inputs))
    return x, _sizes(strides, x.ndim - 2), padding.lower(), data_format or image_data_format()


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution: inputs (b, space…, c), kernel (k…, c, filters)."""
    x, strides, padding, data_format = _geometry(inputs, strides, padding, data_format)
    return windows.conv(
        x, jnp.asarray(plain(kernel)), strides, padding, _sizes(dilation_rate, len(strides)), data_format=data_format
    )


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Each channel by its own kernels (k…, c, multiplier)."""
    x, strides, padding, data_format = _geometry(inputs, strides, padding, data_format)
    dilation = _sizes(dilation_rate, len(strides))
    return windows.depthwise_conv(x, jnp.asarray(plain(kernel)), strides, padding, dilation, data_format=data_format)


def separable_conv(
    inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1
):
    """A depthwise convolution, then one with kernels of size 1."""
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, data_format=data_format)


def conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1
):  # fmt: skip
    """Transposed convolution: kernel (k…, filters, c)."""
    x, strides, padding, data_format = _geometry(inputs, strides, padding, data_format)
    rank = len(strides)
    extra = None if output_padding is None else _sizes(output_padding, rank)
    dilation = _sizes(dilation_rate, rank)
    return deconvolution.conv_transpose(x, jnp.asarray(plain(kernel)), strides, padding, extra, dilation, data_format)


def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The maximum of each window; the strides are the window's sizes unless given."""
    x, strides, padding, data_format = _geometry(inputs, strides or pool_size, padding, data_format)
    return windows.max_pool(x, _sizes(pool_size, len(strides)), strides, padding, data_format)


def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The mean of each window."""
    x, strides, padding, data_format = _geometry(inputs, strides or pool_size, padding, data_format)
    return windows.average_pool(x, _sizes(pool_size, len(strides)), strides, padding, data_format)


def adaptive_max_pool(inputs, output_size, data_format=None):
    """The maximum of each of output_size windows of nearly one size."""
    x, counts, _, data_format = _geometry(inputs, output_size, "valid", data_format)
    return windows.adaptive_pool(windows.max_pool, x, counts, data_format)


def adaptive_average_pool(inputs, output_size, data_format=None):
    """The mean of each of output_size windows of nearly one size."""
    x, counts, _, data_format = _geometry(inputs, output_size, "valid", data_format)
    return windows.adaptive_pool(windows.average_pool, x, counts, data_format)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """(b, c, h, w) -> (b, c · cells of a window, windows): every window as a column."""
    x, (kernel, dilation, padding, stride) = plain(x), (_sizes(v, 2) for v in (kernel_size, dilation, padding, stride))
    patches = jax.lax.conv_general_dilated_patches(
        jnp.asarray(x), kernel, stride, [(p, p) for p in padding], rhs_dilation=dilation
    )
    return patches.reshape(*patches.shape[:2], -1)


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The transpose of `unfold`: columns added up where their windows overlap."""
    x = jnp.asarray(plain(x))
    kernel, output = _sizes(kernel_size, 2), _sizes(output_size, 2)
    shape = (x.shape[0], x.shape[1] // int(np.prod(kernel)), *output)
    there = jax.linear_transpose(
        lambda image: unfold(image, kernel, dilation, padding, stride), jax.ShapeDtypeStruct(shape, x.dtype)
    )
    return there(x)[0]


def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of cells become channels: (b, h, w, c) -> (b, h / n, w / n, n · n · c)."""
    x, n = windows.first_to_last(jnp.asarray(plain(x)), data_format), block_size
    b, h, w, c = x.shape
    y = x.reshape(b, h // n, n, w // n, n, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // n, w // n, n * n * c)
    return windows.last_to_first(y, data_format)


def depth_to_space(x, block_size, data_format="channels_last"):
    """Channels become blocks of cells: (b, h, w, n · n · c) -> (b, h · n, w · n, c)."""
    x, n = windows.first_to_last(jnp.asarray(plain(x)), data_format), block_size
    b, h, w, c = x.shape
    y = x.reshape(b, h, w, n, n, c // n**2).transpose(0, 1, 3, 2, 4, 5).reshape(b, h * n, w * n, c // n**2)
    return windows.last_to_first(y, data_format)


# ---- normalisation -------------------------------------------------------------------------------------------


def moments(x, axes, keepdims=False, synchronized=False):
    """(mean, variance) along the axes."""
    x = jnp.asarray(plain(x))
    wide = statistics.full(x)
    found = jnp.mean(wide, axes, keepdims=keepdims), jnp.var(wide, axes, keepdims=keepdims)
    return tuple(part.astype(x.dtype) for part in found)


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """scale · (x − mean) / sqrt(variance + epsilon) + offset, the vectors lying along `axis`."""
    x = jnp.asarray(plain(x))
    along = [size if i == axis % x.ndim else 1 for i, size in enumerate(x.shape)]
    mean, variance, offset, scale = (
        None if v is None else jnp.reshape(plain(v), along) for v in (mean, variance, offset, scale)
    )
    y = (x - mean) * jax.lax.rsqrt(variance + epsilon) * (1 if scale is None else scale)
    return y if offset is None else y + offset


def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """gamma · (x − mean) / sqrt(variance + epsilon) + beta, mean and variance taken along `axis`."""
    x = jnp.asarray(plain(x))
    wide = statistics.full(x)
    mean, variance = wide.mean(axis, keepdims=True), wide.var(axis, keepdims=True)
    y = (wide - mean) * jax.lax.rsqrt(variance + (tiny() if epsilon is None else epsilon))
    y = y if gamma is None else y * _broad(gamma, x, axis)
    return (y if beta is None else y + _broad(beta, x, axis)).astype(x.dtype)


def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """scale · x / sqrt(mean(x²) + epsilon) along `axis`."""
    x = jnp.asarray(plain(x))
    wide = statistics.full(x)
    y = wide * jax.lax.rsqrt(jnp.square(wide).mean(axis, keepdims=True) + (tiny() if epsilon is None else epsilon))
    return (y if scale is None else y * _broad(scale, x, axis)).astype(x.dtype)


def _broad(vector, x, axis):
    axes = [a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)]
    return jnp.reshape(plain(vector), [size if i in axes else 1 for i, size in enumerate(x.shape)])


def normalize(x, axis=-1, order=2, epsilon=None):
    """x divided by its norm of the given order along `axis`."""
    x = jnp.asarray(plain(x))
    if not isinstance(order, int) or order < 1:
        raise UsageError("the order of a norm is a whole number from 1", saw=f"order={order!r}")
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype("float32")
    least = tiny() if epsilon is None else epsilon
    if order == 2:
        return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis, keepdims=True), least**2))
    return x / jnp.maximum(jnp.linalg.norm(x, ord=order, axis=axis, keepdims=True), least)


# ---- classes -----------------------------------------------------------------------------------------------


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """1 at the place of the class, else 0."""
    return jax.nn.one_hot(plain(x), num_classes, axis=axis, dtype=dtype or "float32")


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """1 at the places of all classes in a row, else 0."""
    inputs = jnp.asarray(plain(inputs))
    rows = jax.nn.one_hot(inputs, kwargs.get("num_tokens", num_classes), axis=axis, dtype=dtype or "float32")
    return jnp.max(rows, axis=1 if inputs.ndim > 1 else 0)


def binary_crossentropy(target, output, from_logits=False):
    """−target · log(output) − (1 − target) · log(1 − output), entry by entry."""
    target, output = _pair_of(target, output)
    return distances.bernoulli(target, output, from_logits)


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """−Σ target · log(output) along `axis`."""
    target, output = _pair_of(target, output)
    return distances.categorical_crossentropy(target, output, from_logits, axis=axis)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """−log(output of the target class)"""
    target, output = jnp.asarray(plain(target)), jnp.asarray(plain(output))
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = target[..., 0]
    if from_logits:
        logs = jax.nn.log_softmax(output, axis)
    else:
        p = output / jnp.sum(output, axis, keepdims=True)
        logs = jnp.log(jnp.clip(p, tiny(), 1 - tiny()))
    return -jnp.sum(jax.nn.one_hot(target, output.shape[axis], axis=axis, dtype=output.dtype) * logs, axis)


def _pair_of(target, output):
    target, output = jnp.asarray(plain(target)), jnp.asarray(plain(output))
    if target.shape != output.shape:
        raise UsageError("target and output have different shapes", saw=f"{target.shape} and {output.shape}")
    return target.astype(output.dtype), output


def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """The connectionist loss of logits (b, t, classes) for labels (b, n). Graves et al., 2006."""
    target, output = jnp.asarray(plain(target)), jnp.asarray(plain(output))
    steps, labels = jnp.arange(output.shape[1]), jnp.arange(target.shape[1])
    return optax.ctc_loss(
        output, (steps >= jnp.asarray(output_length)[:, None]).astype(output.dtype), target,
        (labels >= jnp.asarray(target_length)[:, None]).astype(output.dtype), blank_id=mask_index,
    )  # fmt: skip


def ctc_decode(
    inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True, mask_index=0
):
    """The labels that logits (b, t, classes) say, and a score: (paths (top_paths, b, t) filled up with −1, (b, …)).

    "greedy" takes the best class of each step; its score is −Σ of the best logits (b, 1). "beam_search" follows
    `beam_width` paths and gives the likeliest with their log probabilities (b, top_paths).
    """
    logits, lengths = jnp.asarray(plain(inputs)), jnp.asarray(plain(sequence_lengths), jnp.int32)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    blank = logits.shape[-1] - 1 if mask_index is None else mask_index
    if strategy == "greedy":
        paths, score = decoding.greedy(logits, lengths, merge_repeated, blank)
        return paths[None], score
    if strategy != "beam_search":
        raise UsageError("unknown strategy", saw=repr(strategy), want="'greedy' or 'beam_search'")
    paths, scores = decoding.beams(logits, lengths, beam_width, blank)
    return jnp.moveaxis(paths[:, :top_paths], 1, 0), scores[:, :top_paths]


# ---- the rest ----------------------------------------------------------------------------------------------


def dot_product_attention(
    query, key, value, bias=None, mask=None, scale=None, is_causal=False, flash_attention=None,
    attn_logits_soft_cap=None,
):  # fmt: skip
    """softmax(query · keyᵀ · scale + bias) · value, all (b, t, heads, size)."""
    query, key, value = map(plain, (query, key, value))
    if attn_logits_soft_cap is None:
        return jax.nn.dot_product_attention(query, key, value, bias, mask, scale=scale, is_causal=is_causal)
    logits = jnp.einsum("btnh,bsnh->bnts", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)
    logits = attn_logits_soft_cap * jnp.tanh(logits / attn_logits_soft_cap) + (0 if bias is None else bias)
    allowed = jnp.tril(jnp.ones(logits.shape[-2:], bool)) if is_causal else jnp.ones((), bool)
    allowed = allowed if mask is None else jnp.logical_and(allowed, mask)
    weights = jax.nn.softmax(jnp.where(allowed, logits, jnp.finfo(logits.dtype).min), -1)
    return jnp.einsum("bnts,bsnh->btnh", weights, value)


def polar(abs_, angle):
    """The complex number of this size and angle."""
    size, angle = jnp.asarray(plain(abs_)), jnp.asarray(plain(angle))
    return jax.lax.complex(size * jnp.cos(angle), size * jnp.sin(angle))


def psnr(x1, x2, max_val):
    """20 · log10(max_val) − 10 · log10(mean((x1 − x2)²)): the peak signal-to-noise ratio."""
    x1, x2 = jnp.asarray(plain(x1)), jnp.asarray(plain(x2))
    if x1.shape != x2.shape:
        raise UsageError("the arrays have different shapes", saw=f"{x1.shape} and {x2.shape}")
    return 20 * jnp.log10(max_val) - 10 * jnp.log10(jnp.mean(jnp.square(x1 - x2)))
