"""`K`: the array functions of Keras 1 and 2, as `from keras import backend as K` gives them; see `backend.py`.

Floor 6. Rows of a table wherever `ops`, `random` or JAX has the function, a few lines where it has not. They give
arrays where TensorFlow gave tensors (`zeros`, `ones` and `eye`, too, which were variables). New code has
`seriatim.ops`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from . import ops, random
from .base.report import UsageError
from .base.settings import floatx, image_data_format
from .layers.resize import UpSampling2D, UpSampling3D
from .layers.variable import Variable
from .math import activations, distances
from .ops.table import plain, row, rows

ROWS = rows(
    """
    abs(x); all(x, axis=None, keepdims=False); any(x, axis=None, keepdims=False); argmax(x, axis=-1);
    argmin(x, axis=-1); cast(x, dtype); categorical_crossentropy(target, output, from_logits=False, axis=-1);
    concatenate(tensors, axis=-1); cos(x); cumprod(x, axis=0); cumsum(x, axis=0); elu(x, alpha=1.0); equal(x, y);
    exp(x); expand_dims(x, axis=-1); greater(x, y); greater_equal(x, y); less(x, y); less_equal(x, y); log(x);
    max(x, axis=None, keepdims=False); maximum(x, y); mean(x, axis=None, keepdims=False);
    min(x, axis=None, keepdims=False); minimum(x, y); ndim(x); not_equal(x, y); one_hot(indices, num_classes);
    prod(x, axis=None, keepdims=False); reshape(x, shape); round(x); shape(x); sigmoid(x); sign(x); sin(x);
    softmax(x, axis=-1); softplus(x); softsign(x); square(x); squeeze(x, axis); stack(x, axis=0);
    std(x, axis=None, keepdims=False); sum(x, axis=None, keepdims=False); tanh(x); transpose(x);
    var(x, axis=None, keepdims=False)
    """,
    ops,
)
RENAMED = {
    "binary_crossentropy(target, output, from_logits=False)": ops.binary_crossentropy,
    "categorical_focal_crossentropy(target, output, alpha=0.25, gamma=2.0, from_logits=False, axis=-1)":
        distances.categorical_focal_crossentropy,
    "clip(x, min_value, max_value)": jnp.clip,
    "conv2d(x, kernel, strides=(1, 1), padding='valid', data_format=None, dilation_rate=(1, 1))": ops.conv,
    "conv3d(x, kernel, strides=(1, 1, 1), padding='valid', data_format=None, dilation_rate=(1, 1, 1))": ops.conv,
    "depthwise_conv2d(x, depthwise_kernel, strides=(1, 1), padding='valid', data_format=None, dilation_rate=(1, 1))":
        ops.depthwise_conv,
    "dot(x, y)": jnp.dot,
    "dropout(x, level, noise_shape=None, seed=None)": random.dropout,
    "dtype(x)": ops.dtype,
    "flatten(x)": jnp.ravel,
    "permute_dimensions(x, pattern)": ops.transpose,
    "pow(x, a)": ops.power,
    "random_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None)": random.normal,
    "random_uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None)": random.uniform,
    "repeat_elements(x, rep, axis)": jnp.repeat,
    "reverse(x, axes)": ops.flip,
    "separable_conv2d(x, depthwise_kernel, pointwise_kernel, strides=(1, 1), padding='valid', data_format=None, "
    "dilation_rate=(1, 1))": ops.separable_conv,
    "truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None)": random.truncated_normal,
}  # fmt: skip
ROWS |= {signature.partition("(")[0]: row(signature, function) for signature, function in RENAMED.items()}


# ---- variables --------------------------------------------------------------------------------------------


def variable(value, dtype=None, name=None, constraint=None):
    """A Variable of the float type, or of `dtype`."""
    if constraint is not None:
        raise UsageError("a variable outside a layer has no constraint", saw=repr(constraint))
    return Variable(value, dtype=dtype or floatx(), name=name)


def get_value(x):
    """A variable or an array as a NumPy array; anything else as it is."""
    return np.asarray(plain(x)) if hasattr(x, "value") or isinstance(x, jax.Array) else x


def set_value(x, value):
    """Give a variable a value: `K.set_value(model.optimizer.learning_rate, 1e-4)`."""
    x.assign(np.asarray(value, dtype=str(x.dtype)))


def batch_get_value(tensors):
    """`get_value` of each."""
    return [get_value(x) for x in tensors]


def batch_set_value(tuples):
    """`set_value` of each (variable, value)."""
    for x, value in tuples:
        set_value(x, value)


def update(x, new_x):
    """x = new_x, for a variable x."""
    return x.assign(plain(new_x))


def update_add(x, increment):
    """x += increment, for a variable x."""
    return x.assign_add(plain(increment))


def update_sub(x, decrement):
    """x -= decrement, for a variable x."""
    return x.assign_sub(plain(decrement))


def moving_average_update(x, value, momentum):
    """x = x · momentum + value · (1 - momentum), for a variable x."""
    return x.assign(plain(x) * momentum + plain(value) * (1 - momentum))


def random_normal_variable(shape, mean, scale, dtype=None, name=None, seed=None):
    """A variable of normal numbers."""
    return variable(random.normal(shape, mean, scale, dtype, seed), dtype, name)


def random_uniform_variable(shape, low, high, dtype=None, name=None, seed=None):
    """A variable of numbers from low to high."""
    return variable(random.uniform(shape, low, high, dtype, seed), dtype, name)


# ---- arrays -----------------------------------------------------------------------------------------------


def arange(start, stop=None, step=1, dtype="int32"):
    """The numbers from start up to stop, or from 0 up to start."""
    start, stop = (0, start) if stop is None else (start, stop)
    return jnp.arange(start, stop, step, dtype)


def constant(value, dtype=None, shape=None, name=None):
    """An array of the float type, or of `dtype`; one value fills the shape."""
    x = jnp.asarray(plain(value), dtype or floatx())
    return x if shape is None else jnp.full(shape, x) if x.size == 1 else x.reshape(shape)


def zeros(shape, dtype=None, name=None):
    """0 everywhere."""
    return jnp.zeros(shape, dtype or floatx())


def ones(shape, dtype=None, name=None):
    """1 everywhere."""
    return jnp.ones(shape, dtype or floatx())


def zeros_like(x, dtype=None, name=None):
    """0 everywhere, in the shape of x."""
    return jnp.zeros_like(plain(x), dtype)


def ones_like(x, dtype=None, name=None):
    """1 everywhere, in the shape of x."""
    return jnp.ones_like(plain(x), dtype)


def eye(size, dtype=None, name=None):
    """1 on the diagonal, else 0."""
    return jnp.eye(size, dtype=dtype or floatx())


def random_bernoulli(shape, p=0.0, dtype=None, seed=None):
    """1 with the probability p, else 0."""
    return (random.uniform(shape, seed=seed) <= p).astype(dtype or floatx())


def cast_to_floatx(x):
    """x in the float type of the settings; a NumPy array unless x is an array of JAX or a variable."""
    return ops.cast(x, floatx()) if hasattr(x, "value") or isinstance(x, jax.Array) else np.asarray(x, floatx())


def count_params(x):
    """How many numbers x has."""
    return int(np.prod(x.shape))


def int_shape(x):
    """The sizes of the axes."""
    return tuple(x.shape)


def is_sparse(tensor):
    """Always False: arrays are dense here."""
    return False


def to_dense(tensor):
    """The array itself."""
    return tensor


def batch_flatten(x):
    """(b, …) -> (b, all the rest)"""
    x = jnp.asarray(plain(x))
    return x.reshape(len(x), -1)


def repeat(x, n):
    """(b, d) -> (b, n, d)"""
    if np.ndim(x) != 2:
        raise UsageError("K.repeat takes two axes", saw=f"shape {np.shape(x)}", fix="K.repeat_elements or K.tile")
    return jnp.repeat(jnp.asarray(plain(x))[:, None], n, axis=1)


def tile(x, n):
    """x, n times along each axis; a whole number is for the first, and only, axis."""
    return jnp.tile(plain(x), (n,) if isinstance(n, int) else tuple(n))


def gather(reference, indices):
    """The rows of these numbers."""
    return jnp.take(jnp.asarray(plain(reference)), jnp.asarray(plain(indices)), axis=0)


def padded(x, padding, data_format=None):
    """Zeros around the axes of space: (before, after) of each."""
    first = (data_format or image_data_format()) == "channels_first"
    inner = [(0, 0), *padding] if first else [*padding, (0, 0)]
    return jnp.pad(plain(x), [(0, 0), *inner])


def temporal_padding(x, padding=(1, 1)):
    """(b, t, d) with zeros before and behind."""
    return padded(x, (padding,), "channels_last")


def spatial_2d_padding(x, padding=((1, 1), (1, 1)), data_format=None):
    """Zeros around (b, h, w, c)."""
    return padded(x, padding, data_format)


def spatial_3d_padding(x, padding=((1, 1), (1, 1), (1, 1)), data_format=None):
    """Zeros around (b, d, h, w, c)."""
    return padded(x, padding, data_format)


def resize_images(x, height_factor, width_factor, data_format, interpolation="nearest"):
    """Pictures, so many times as high and as wide: the layer UpSampling2D."""
    layer = UpSampling2D((height_factor, width_factor), data_format, interpolation, name="resize_images")
    return layer(jnp.asarray(plain(x)))


def resize_volumes(x, depth_factor, height_factor, width_factor, data_format):
    """Volumes, each cell so many times: the layer UpSampling3D."""
    layer = UpSampling3D((depth_factor, height_factor, width_factor), data_format, name="resize_volumes")
    return layer(jnp.asarray(plain(x)))


# ---- mathematics ------------------------------------------------------------------------------------------


def sqrt(x):
    """√x, and 0 below 0."""
    return jnp.sqrt(jnp.maximum(plain(x), 0))


def hard_sigmoid(x):
    """0.2 x + 0.5 between 0 and 1: steeper than Keras 3's, which is x / 6 + 0.5."""
    return jnp.clip(plain(x) * 0.2 + 0.5, 0, 1)


def relu(x, alpha=0.0, max_value=None, threshold=0.0):
    """x above the threshold, up to max_value; alpha · (x - threshold) below it."""
    return activations.relu(jnp.asarray(plain(x)), alpha, max_value, threshold)


def l2_normalize(x, axis=None):
    """x / √Σ x²"""
    x = jnp.asarray(plain(x))
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis, keepdims=True), 1e-12))


def batch_dot(x, y, axes=None):
    """A product for each of the batch: over the last axis of x and the last but one of y, or over `axes` of the two.

    (b, x's others, y's others); (b, 1) of two matrices.
    """
    x, y = jnp.asarray(plain(x)), jnp.asarray(plain(y))
    if x.ndim < 2 or y.ndim < 2:
        raise UsageError("batch_dot takes batches", saw=f"shapes {x.shape} and {y.shape}", want="two axes or more")
    axes = (x.ndim - 1, y.ndim - (1 if y.ndim == 2 else 2)) if axes is None else axes
    across, down = (axes, axes) if isinstance(axes, int) else axes
    across, down = across % x.ndim, down % y.ndim
    if 0 in (across, down):
        raise UsageError("batch_dot is not over the batch", saw=f"axes={axes}", fix="K.expand_dims(x, 0)")
    z = jax.lax.dot_general(x, y, (((across,), (down,)), ((0,), (0,))))
    return z[:, None] if z.ndim == 1 else z


def bias_add(x, bias, data_format=None):
    """x + bias: (c,), or one for each cell of space and channel (space…, c)."""
    x, bias = jnp.asarray(plain(x)), jnp.asarray(plain(bias))
    if bias.ndim not in (1, x.ndim - 1):
        raise UsageError("Unexpected bias dimensions", saw=f"{bias.ndim}", want=f"1 or {x.ndim - 1}")
    if (data_format or image_data_format()) == "channels_first" and x.ndim > 2:
        bias = jnp.moveaxis(bias, -1, 0).reshape(bias.shape[-1:] + (bias.shape[:-1] or (1,) * (x.ndim - 2)))
    return x + bias


def batch_normalization(x, mean, var, beta, gamma, axis=-1, epsilon=1e-3):
    """gamma · (x - mean) / √(var + epsilon) + beta, for arrays that fit x as they are; None for no beta or gamma."""
    x, mean, var = plain(x), plain(mean), plain(var)
    y = (x - mean) * jax.lax.rsqrt(var + epsilon)
    return (y if gamma is None else y * plain(gamma)) + (0 if beta is None else plain(beta))


def binary_focal_crossentropy(
    target, output, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False
):  # fmt: skip
    """(1 - p)^gamma · binary_crossentropy, entry by entry, where p is the probability given to what is true."""
    target, output = jnp.asarray(plain(target)), jnp.asarray(plain(output))
    p = jax.nn.sigmoid(output) if from_logits else output
    right = target * p + (1 - target) * (1 - p)
    loss = (1 - right) ** gamma * ops.binary_crossentropy(target, output, from_logits)
    return loss * (target * alpha + (1 - target) * (1 - alpha)) if apply_class_balancing else loss


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1, ignore_class=None):
    """-log(output of the target class); 0 where the target is `ignore_class`."""
    target = jnp.asarray(plain(target))
    loss = ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    return loss if ignore_class is None else jnp.where(target.reshape(loss.shape) == ignore_class, 0, loss)


def ctc_batch_cost(y_true, y_pred, input_length, label_length):
    """(b, 1): the connectionist loss of probabilities (b, t, classes), the last class for nothing; lengths (b, 1)."""
    logits, labels = jnp.log(jnp.asarray(plain(y_pred)) + 1e-7), jnp.asarray(plain(y_true)).astype("int32")
    lengths = [jnp.asarray(plain(length))[:, 0] for length in (label_length, input_length)]
    return ops.ctc_loss(labels, logits, *lengths, mask_index=logits.shape[-1] - 1)[:, None]


def ctc_decode(y_pred, input_length, greedy=True, beam_width=100, top_paths=1):
    """([labels (b, t) of each path, then −1], scores) of probabilities (b, t, classes); the last class is none."""
    logits = jnp.log(jnp.asarray(plain(y_pred)) + 1e-7)
    paths, scores = ops.ctc_decode(
        logits, jnp.asarray(plain(input_length)), "greedy" if greedy else "beam_search", beam_width, top_paths,
        mask_index=logits.shape[-1] - 1,
    )  # fmt: skip
    return list(paths), scores


def in_top_k(predictions, targets, k):
    """Whether each target is among the k largest of its row."""
    return ops.in_top_k(targets, predictions, k)


# ---- windows ----------------------------------------------------------------------------------------------


def conv1d(x, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution along time; padding="causal" looks only back."""
    if padding == "causal":
        x, padding = temporal_padding(x, (dilation_rate * (kernel.shape[0] - 1), 0)), "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d_transpose(
    x, kernel, output_shape, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):  # fmt: skip
    """Pictures of `output_shape` (b, h, w, c) out of x (b, h, w, d): the gradient of `conv2d`; kernel (h, w, c, d)."""
    x, kernel = jnp.asarray(plain(x)), jnp.asarray(plain(kernel))
    shape = (len(x) if output_shape[0] is None else output_shape[0], *output_shape[1:])
    conv = lambda y: ops.conv(y, kernel, strides, padding, data_format, dilation_rate)
    return jax.vjp(conv, jnp.zeros(shape, x.dtype))[1](x)[0]


def pool2d(x, pool_size, strides=(1, 1), padding="valid", data_format=None, pool_mode="max"):
    """The maximum ("max") or the mean ("avg") of each window."""
    if pool_mode not in ("max", "avg"):
        raise UsageError("Invalid pooling mode", saw=repr(pool_mode), want="'max' or 'avg'")
    return (ops.max_pool if pool_mode == "max" else ops.average_pool)(x, pool_size, strides, padding, data_format)


def pool3d(x, pool_size, strides=(1, 1, 1), padding="valid", data_format=None, pool_mode="max"):
    """`pool2d` in volumes."""
    return pool2d(x, pool_size, strides, padding, data_format, pool_mode)


# ---- choices and loops ------------------------------------------------------------------------------------


def stop_gradient(variables):
    """The values, without a gradient; a list of a list."""
    if isinstance(variables, (list, tuple)):
        return [jax.lax.stop_gradient(plain(x)) for x in variables]
    return jax.lax.stop_gradient(plain(variables))


def switch(condition, then_expression, else_expression):
    """One of two values, or of what two functions without arguments give.

    A condition with axes chooses for each of its entries, and for all that lies behind its axes.
    """
    condition = jnp.asarray(plain(condition)).astype(bool)
    then, other = (f if callable(f) else lambda x=f: plain(x) for f in (then_expression, else_expression))
    if condition.ndim == 0:
        return jax.lax.cond(condition, then, other)
    then, other = jnp.asarray(then()), other()
    if condition.ndim > then.ndim:
        raise UsageError("the condition has more axes than what it chooses", saw=f"{condition.ndim} and {then.ndim}")
    return jnp.where(condition.reshape(condition.shape + (1,) * (then.ndim - condition.ndim)), then, other)


def map_fn(fn, elems, name=None, dtype=None):
    """fn of each row."""
    return jax.lax.map(fn, jax.tree.map(plain, elems))


def foldl(fn, elems, initializer=None, name=None):
    """fn(… fn(fn(initializer, row 0), row 1) …); the first row begins unless `initializer` does."""
    elems = jnp.asarray(plain(elems))
    start, rest = (elems[0], elems[1:]) if initializer is None else (jnp.asarray(plain(initializer)), elems)
    return jax.lax.scan(lambda sum, x: (fn(sum, x), None), start, rest)[0]


def foldr(fn, elems, initializer=None, name=None):
    """`foldl` from the last row on."""
    return foldl(fn, jnp.asarray(plain(elems))[::-1], initializer)


def rnn(
    step_function, inputs, initial_states, go_backwards=False, mask=None, constants=None, unroll=False,
    input_length=None, time_major=False, zero_output_for_mask=False, return_all_outputs=True,
):  # fmt: skip
    """(last output, outputs, states) of step_function(x_t, states + constants) -> (output, states), along time.

    inputs (b, t, …), or (t, b, …) with time_major; mask (b, t). A masked step keeps the states, and the output before
    it (or 0 with zero_output_for_mask). go_backwards: from the end on, with outputs in that order.
    """
    turn = lambda x: x if time_major else jnp.swapaxes(x, 0, 1)
    way = -1 if go_backwards else 1
    inputs = jax.tree.map(lambda x: turn(jnp.asarray(plain(x)))[::way], inputs)
    steps = len(jax.tree.leaves(inputs)[0])
    if input_length not in (None, steps):
        raise UsageError("K.rnn runs over all steps", saw=f"input_length={input_length}", fix="mask=…")
    if mask is None:
        mask = jnp.ones((steps, 1), bool)
    else:
        mask = turn(jnp.asarray(plain(mask)).astype(bool))[::way].reshape(steps, -1)
    states, constants = tuple(map(plain, initial_states)), tuple(map(plain, constants or ()))
    step = lambda x, states: step_function(x, (*states, *constants))
    before = jax.eval_shape(step, jax.tree.map(lambda x: x[0], inputs), states)[0]
    before = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), before)

    def body(carry, now):
        (states, before), (x, real) = carry, now
        chosen = lambda a, b: jnp.where(real.reshape(-1, *[1] * (a.ndim - 1)), a, b)
        y, new = step(x, states)
        y = jax.tree.map(chosen, y, jax.tree.map(jnp.zeros_like, y) if zero_output_for_mask else before)
        states = tuple(jax.tree.map(chosen, a, b) for a, b in zip(new, states, strict=True))
        return (states, y), y

    (states, last), outputs = jax.lax.scan(body, (states, before), (inputs, mask), unroll=steps if unroll else 1)
    outputs = outputs if return_all_outputs else jax.tree.map(lambda y: y[-1:], outputs)
    return last, jax.tree.map(turn, outputs), list(states)


globals().update(ROWS)
eval = get_value
__all__ = sorted({  # noqa: PLE0605
    *ROWS, "eval", *(
        name for name, f in globals().items() if getattr(f, "__module__", "") == __name__ and name != "padded"
    )
})  # fmt: skip
