"""Distances: how far predictions are from labels, one number for each example (or each step, or each pixel).

Floor 1. `f(y_true, y_pred, options)`: labels and predictions of shape (b, ..., d) give (b, ...), the last axis
(or the named one) reduced. Names, defaults and values are those of Keras 3.15.1 on JAX; a docstring says where not.
Lists, NumPy and JAX arrays alike; labels take the float type of the predictions.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ..base.report import DataError

EPSILON = 1e-7  # keeps logarithms and quotients finite
NEVER = -1e5  # the logarithm of "impossible" in CTC: finite, so that gradients are too

ONE_PER_STEP = "give a label for every step, or return_sequences=False in the last recurrent layer (or Flatten())"

# ---- labels beside predictions ------------------------------------------------------------------


def as_float(x):
    """x as an array of floats; whole numbers become float32."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def arrays(y, dtype, counting=False):
    """Labels or predictions as an array of `dtype` (class numbers, `counting`, in their own).

    A dict, or a list of arrays, keeps its form.
    """
    if isinstance(y, (list, tuple)) and not any(np.ndim(leaf) for leaf in jax.tree.leaves(y)):
        y = jnp.asarray(y)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, None if counting else dtype), y)


def same_rank(a, b):
    """`(n,)` beside `(n, 1)` becomes `(n, 1)`; otherwise one last axis of size 1 too many is dropped."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def paired(y_true, y_pred):
    """Labels and predictions as floats of one type and, where a last axis of 1 is all that differs, of one rank."""
    y_pred = as_float(y_pred)
    return same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)


def same_shape(y_true, y_pred, classes=False):
    """A DataError if labels would have to be stretched to meet the predictions. `classes`: labels are one-hot."""
    repaired, outputs = same_rank(y_true, y_pred)
    if repaired.shape in (outputs.shape, ()):
        return
    labels, outputs = tuple(y_true.shape), tuple(y_pred.shape)
    raise DataError(
        "labels and predictions must have the same shape",
        saw=f"labels {labels}, predictions {outputs}", want="equal shapes", fix=mend(labels, outputs, classes),
    )  # fmt: skip


def mend(labels, outputs, classes):
    """One line for the usual causes of unequal shapes."""
    if labels[:1] != outputs[:1]:
        return "give one label for each input"
    if labels in (outputs[:-1], (*outputs[:-1], 1)) and outputs[-1] > 1:
        numbers = "labels that are class numbers: loss='sparse_categorical_crossentropy'"
        if classes:
            return f"{numbers}, or one-hot labels: keras.utils.to_categorical(y, {outputs[-1]})"
        return f"one number a row: end the model in Dense(1); {numbers}"
    if len(outputs) > len(labels):
        return ONE_PER_STEP
    return f"let the last layer give {labels[1:]} for each input, or give labels of shape {outputs}"


def class_numbers(y_true, y_pred, axis=-1):
    """Labels that count classes, as whole numbers: (b, ...) or (b, ..., 1) beside predictions (b, ..., classes)."""
    labels = jnp.asarray(y_true).astype(jnp.int32)
    if y_pred.ndim == 0:
        raise DataError("predictions need an axis of classes", saw="a single number", want="(batch, ..., classes)")
    place = range(y_pred.ndim)[axis]
    if labels.ndim == y_pred.ndim:
        spare = next((i for i in (place, -1) if labels.shape[i] == 1), None)
        labels = labels if spare is None else jnp.squeeze(labels, spare)
    outputs = tuple(y_pred.shape)
    wanted = outputs[:place] + outputs[place + 1 :]
    if labels.shape == wanted:
        return labels
    if labels.shape == outputs:
        fix = "labels that are one-hot: loss='categorical_crossentropy', or y.argmax(axis=-1)"
    elif labels.shape[:1] != outputs[:1]:
        fix = "give one label for each input"
    elif len(outputs) > labels.ndim + 1:
        fix = ONE_PER_STEP
    else:
        axes = ", ".join(map(str, (*labels.shape[1:], "classes")))
        fix = f"let the last layer give ({axes}) for each input, or give labels of shape {wanted}"
    raise DataError(
        "labels that are class numbers and predictions must have the same shape but for the axis of classes",
        saw=f"labels {tuple(jnp.shape(y_true))}, predictions {outputs}", want=f"labels {wanted}", fix=fix,
    )  # fmt: skip


def picked(values, labels, axis):
    """The entry of `values` at each label along `axis` (some entry, if the label is out of range)."""
    places = jnp.expand_dims(labels, axis)
    return jnp.squeeze(jnp.take_along_axis(values, places, axis=axis, mode="clip"), axis)


# ---- numbers ------------------------------------------------------------------------------------


def mean_squared_error(y_true, y_pred):
    """mean((y_true − y_pred)²)

    >>> mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]]).tolist()
    [2.5]
    """
    y_true, y_pred = paired(y_true, y_pred)
    return jnp.mean(jnp.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """mean(|y_true − y_pred|)"""
    y_true, y_pred = paired(y_true, y_pred)
    return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """100 · mean(|y_true − y_pred| / max(|y_true|, 1e-7))"""
    y_true, y_pred = paired(y_true, y_pred)
    return 100.0 * jnp.mean(jnp.abs((y_true - y_pred) / jnp.maximum(jnp.abs(y_true), EPSILON)), axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """mean((log(1 + y_pred) − log(1 + y_true))²), both at least 1e-7"""
    y_true, y_pred = (jnp.log(jnp.maximum(y, EPSILON) + 1.0) for y in paired(y_true, y_pred))
    return jnp.mean(jnp.square(y_pred - y_true), axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """mean(e²/2 where |e| ≤ delta, delta·|e| − delta²/2 elsewhere), e = y_pred − y_true. Huber, 1964."""
    y_true, y_pred = paired(y_true, y_pred)
    size = jnp.abs(y_pred - y_true)
    near, far = 0.5 * jnp.square(size), delta * size - 0.5 * delta**2
    return jnp.mean(jnp.where(size <= delta, near, far), axis=-1)


def log_cosh(y_true, y_pred):
    """mean(log(cosh(y_pred − y_true))): a square near 0, an absolute value far off."""
    y_true, y_pred = paired(y_true, y_pred)
    error = y_pred - y_true
    return jnp.mean(error + jax.nn.softplus(-2.0 * error) - math.log(2.0), axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """−cos of the angle between the two vectors along `axis`: −1 if they point the same way, 0 if one is zero.

    Differs from Keras: a zero vector gets the gradient 0, not NaN.
    """
    y_true, y_pred = (unit(y, axis) for y in paired(y_true, y_pred))
    return -jnp.sum(y_true * y_pred, axis=axis)


def unit(x, axis):
    """x divided by its length along `axis`, a length below 1e-7 counting as 1e-7."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=axis, keepdims=True), EPSILON**2))


# ---- probabilities ------------------------------------------------------------------------------


def clipped(p):
    """Probabilities kept away from 0 and 1."""
    return jnp.clip(p, EPSILON, 1.0 - EPSILON)


def kl_divergence(y_true, y_pred):
    """sum(y_true · log(y_true / y_pred)), both within 1e-7 … 1. Kullback and Leibler, 1951."""
    y_true, y_pred = (jnp.clip(y, EPSILON, 1.0) for y in paired(y_true, y_pred))
    return jnp.sum(y_true * jnp.log(y_true / y_pred), axis=-1)


def poisson(y_true, y_pred):
    """mean(y_pred − y_true · log(y_pred + 1e-7)): −log of Poisson's likelihood, up to a constant."""
    y_true, y_pred = paired(y_true, y_pred)
    return jnp.mean(y_pred - y_true * jnp.log(y_pred + EPSILON), axis=-1)


def smoothed(y_true, amount, ways):
    """Labels drawn towards the uniform distribution over `ways`. Szegedy et al., 2016."""
    return y_true * (1.0 - amount) + amount / ways if amount else y_true


def bernoulli(y_true, y_pred, from_logits=False):
    """−y_true · log(p) − (1 − y_true) · log(1 − p), element by element."""
    if from_logits:
        above, below = jnp.where(y_pred >= 0, y_pred, 0), jnp.where(y_pred >= 0, 0, -y_pred)
        tail = jnp.log1p(jnp.exp(-(above + below)))  # shared by log(p) and log(1 − p): one exponential, not two
        return y_true * (tail + below) + (1.0 - y_true) * (tail + above)
    p = clipped(y_pred)
    return -(y_true * jnp.log(p) + (1.0 - y_true) * jnp.log(1.0 - p))


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """mean(−y_true · log(p) − (1 − y_true) · log(1 − p)), p = y_pred within 1e-7 … 1 − 1e-7, or its sigmoid.

    >>> round(float(binary_crossentropy([1.0, 0.0], [0.5, 0.5])), 4)
    0.6931
    """
    y_true, y_pred = paired(y_true, y_pred)
    same_shape(y_true, y_pred)
    return jnp.mean(bernoulli(smoothed(y_true, label_smoothing, 2), y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """mean((1 − p_t)^gamma · crossentropy), p_t the probability given to the truth. Lin et al., 2017.

    With `apply_class_balancing`, 1 weighs alpha and 0 weighs 1 − alpha.
    """
    y_true, p = paired(y_true, y_pred)
    same_shape(y_true, p)
    y_true = smoothed(y_true, label_smoothing, 2)
    p = jax.nn.sigmoid(p) if from_logits else p
    loss = jnp.power(1.0 - (y_true * p + (1.0 - y_true) * (1.0 - p)), gamma) * bernoulli(y_true, p)
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return jnp.mean(loss, axis=axis)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """−sum(y_true · log(p)), p = y_pred scaled to sum 1 within 1e-7 … 1 − 1e-7, or its softmax.

    Differs from Keras: labels are smoothed over the classes of `axis`, not of the last axis.
    """
    y_true, y_pred = paired(y_true, y_pred)
    same_shape(y_true, y_pred, classes=True)
    if from_logits:
        log_p = jax.nn.log_softmax(y_pred, axis=axis)
    else:
        log_p = jnp.log(clipped(y_pred / jnp.sum(y_pred, axis=axis, keepdims=True)))
    return -jnp.sum(smoothed(y_true, label_smoothing, y_true.shape[axis]) * log_p, axis=axis)


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """−sum(alpha · (1 − p)^gamma · y_true · log(p)); alpha a number or one for each class. Lin et al., 2017.

    Differs from Keras: labels are smoothed over the classes of `axis`, not of the last axis.
    """
    y_true, y_pred = paired(y_true, y_pred)
    same_shape(y_true, y_pred, classes=True)
    p = jax.nn.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = clipped(p / jnp.sum(p, axis=axis, keepdims=True))
    crossentropy = -smoothed(y_true, label_smoothing, y_true.shape[axis]) * jnp.log(p)
    return jnp.sum(jnp.power(1.0 - p, gamma) * jnp.asarray(alpha, p.dtype) * crossentropy, axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """−log(p[y_true]): categorical crossentropy for class numbers, (b, ...) or (b, ..., 1); no one-hot array is made.

    A label out of range counts 0, as does `ignore_class` (whose predictions may be anything, NaN too).
    Differs from Keras: `axis` works for any axis, and a logit of −inf beside the true class is no NaN.

    >>> sparse_categorical_crossentropy([1, 0], [[0.0, 1.0], [0.0, 1.0]]).round(2).tolist()
    [0.0, 16.1...]
    """
    y_pred = as_float(y_pred)
    labels = class_numbers(y_true, y_pred, axis)
    counts = (labels >= 0) & (labels < y_pred.shape[axis])
    if ignore_class is not None:
        kept = labels != ignore_class
        counts, y_pred = counts & kept, jnp.where(jnp.expand_dims(kept, axis), y_pred, 1.0)
    if from_logits:
        y_pred = y_pred - jnp.max(jax.lax.stop_gradient(y_pred), axis=axis, keepdims=True)
        loss = jnp.log(jnp.sum(jnp.exp(y_pred), axis=axis)) - picked(y_pred, labels, axis)
    else:
        loss = -jnp.log(clipped(picked(y_pred, labels, axis) / jnp.sum(y_pred, axis=axis)))
    return jnp.where(counts, loss, 0.0)


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """(1 − p[y_true]^q) / q for class numbers: between crossentropy (q → 0) and absolute error (q = 1).

    Zhang and Sabuncu, 2018. Differs from Keras: labels (b, 1) are (b,), they do not stretch to (b, b).
    """
    y_pred = as_float(y_pred)
    labels = class_numbers(y_true, y_pred)
    p = jnp.where((labels >= 0) & (labels < y_pred.shape[-1]), picked(y_pred, labels, -1), 0.0)
    return (1.0 - jnp.power(p, q)) / q


# ---- margins ------------------------------------------------------------------------------------


def signs(y_true):
    """Labels −1 and 1: labels that are all 0 or 1 are moved there, others stay."""
    return jnp.where(jnp.all((y_true == 0) | (y_true == 1)), 2.0 * y_true - 1.0, y_true)


def hinge(y_true, y_pred):
    """mean(max(1 − y_true · y_pred, 0)); labels −1 or 1 (or, for all of the batch, 0 or 1)."""
    y_true, y_pred = paired(y_true, y_pred)
    return jnp.mean(jnp.maximum(1.0 - signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true, y_pred):
    """mean(max(1 − y_true · y_pred, 0)²); labels as for `hinge`."""
    y_true, y_pred = paired(y_true, y_pred)
    return jnp.mean(jnp.square(jnp.maximum(1.0 - signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true, y_pred):
    """max(best wrong score − true score + 1, 0), labels one-hot. Crammer and Singer, 2001."""
    y_true, y_pred = paired(y_true, y_pred)
    right, wrong = jnp.sum(y_true * y_pred, axis=-1), jnp.max((1.0 - y_true) * y_pred, axis=-1)
    return jnp.maximum(wrong - right + 1.0, 0.0)


# ---- overlaps -----------------------------------------------------------------------------------


def dice(y_true, y_pred, axis=None):
    """1 − 2·sum(y_true · y_pred) / (sum(y_true) + sum(y_pred) + 1e-7), over all of the batch or along `axis`."""
    y_true, y_pred = paired(y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis  # as a config read from JSON has it
    shared = jnp.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * shared / (jnp.sum(y_true, axis=axis) + jnp.sum(y_pred, axis=axis) + EPSILON)


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 − hit / (hit + alpha · false alarms + beta · misses + 1e-7). Salehi et al., 2017.

    Differs from Keras 3.15.1, which has alpha weigh the misses and beta the false alarms; the paper and later
    Keras have them so. The default (both 0.5) is the same.
    """
    y_true, y_pred = paired(y_true, y_pred)
    axis = tuple(axis) if isinstance(axis, list) else axis
    hit = jnp.sum(y_true * y_pred, axis=axis)
    alarms, misses = jnp.sum((1.0 - y_true) * y_pred, axis=axis), jnp.sum(y_true * (1.0 - y_pred), axis=axis)
    return 1.0 - hit / (hit + alpha * alarms + beta * misses + EPSILON)


# ---- embeddings ---------------------------------------------------------------------------------


def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """log(1 + Σ exp(gamma · a_n · (s_n − margin)) · Σ exp(−gamma · a_p · (s_p − 1 + margin))). Sun et al., 2020.

    Labels (b,), embeddings of length 1 (b, d); s are the cosines to references of the same class (p) and of others
    (n), a_p = 1 + margin − s_p and a_n = s_n + margin. Each example is compared with `ref_embeddings`, or with the
    batch, itself left out by `remove_diagonal`. As in Keras (not the paper) the weights a pass a gradient.
    """
    y_pred = as_float(y_pred)
    embeddings = y_pred if ref_embeddings is None else as_float(ref_embeddings)
    labels = jnp.asarray(y_true).astype(jnp.int32).reshape(-1)
    others = labels if ref_labels is None else jnp.asarray(ref_labels).astype(jnp.int32).reshape(-1)
    if labels.shape[:1] != y_pred.shape[:1] or others.shape[:1] != embeddings.shape[:1]:
        raise DataError(
            "circle takes one label for each embedding",
            saw=f"labels {tuple(jnp.shape(y_true))}, embeddings {y_pred.shape}", want=f"labels ({len(y_pred)},)",
        )  # fmt: skip
    away = jnp.maximum(1.0 - y_pred @ embeddings.T, 0.0)  # 1 − cosine
    same = labels[:, None] == others[None, :]
    pull = -gamma * (margin + away) * (margin - away)
    push = gamma * jnp.maximum(1.0 + margin - away, 0.0) * (1.0 - margin - away)
    like = same & ~jnp.eye(*same.shape, dtype=bool) if remove_diagonal else same
    pulls = jax.nn.logsumexp(jnp.where(like, pull, -jnp.inf), axis=1)
    pushes = jax.nn.logsumexp(jnp.where(same, -jnp.inf, push), axis=1)
    return jax.nn.softplus(pulls + pushes)


# ---- sequences ----------------------------------------------------------------------------------


def ctc(y_true, y_pred):
    """−log of the probability of all ways to spell the label in time, blanks and repeats removed. Graves et al., 2006.

    Labels (b, length) of class numbers, 0 for padding behind them; logits (b, t, classes), class 0 the blank.
    A label that does not fit into t steps costs about 1e5 (there, Keras's value is another large one).
    """
    y_true, y_pred = jnp.asarray(y_true), as_float(y_pred)
    if y_true.ndim != 2 or y_pred.ndim != 3 or len(y_true) != len(y_pred):
        raise DataError(
            "CTC takes a row of class numbers and a row of logits for each example",
            saw=f"labels {y_true.shape}, predictions {y_pred.shape}",
            want="labels (batch, length), predictions (batch, time, classes)",
        )
    labels = y_true.astype(jnp.int32)
    log_p = jax.nn.log_softmax(y_pred.astype(jnp.promote_types(y_pred.dtype, jnp.float32)))
    states = jnp.zeros((len(labels), 2 * labels.shape[1] + 1), jnp.int32).at[:, 1::2].set(labels)  # - a - b - c -
    log_p = jnp.take_along_axis(log_p, states[:, None, :], axis=2, mode="clip")
    apart = jnp.zeros(states.shape, bool).at[:, 3::2].set(labels[:, 1:] != labels[:, :-1])

    def advance(alpha, log_p):
        """Stay, step on, or (between two different letters) skip the blank."""
        before = jnp.pad(alpha, ((0, 0), (2, 0)), constant_values=NEVER)
        skip = jnp.where(apart, before[:, :-2], NEVER)
        return jnp.logaddexp(jnp.logaddexp(alpha, before[:, 1:-1]), skip) + log_p, None

    start = jnp.full(states.shape, NEVER, log_p.dtype).at[:, 0].set(0.0)
    alpha, _ = jax.lax.scan(advance, start, jnp.moveaxis(log_p, 1, 0))
    last = 2 * jnp.sum(y_true != 0, axis=1)
    letter = jnp.where(last > 0, picked(alpha, last - 1, 1), NEVER)
    return -jnp.logaddexp(picked(alpha, last, 1), letter)


COUNTING = (sparse_categorical_crossentropy, categorical_generalized_cross_entropy, circle, ctc)  # class numbers
ONE_HOT = (categorical_crossentropy, categorical_focal_crossentropy, categorical_hinge)
ELEMENTWISE = (
    mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, mean_squared_logarithmic_error, huber,
    log_cosh, cosine_similarity, kl_divergence, poisson, binary_crossentropy, binary_focal_crossentropy, hinge,
    squared_hinge, dice, tversky,
)  # fmt: skip
