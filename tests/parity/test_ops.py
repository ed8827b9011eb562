# ruff: noqa: E501  the table of calls reads better in long lines
"""`seriatim.ops` beside `keras.ops`: the same calls, the same numbers and types."""

import keras
import numpy as np
import pytest

from seriatim import ops, tree
from seriatim.base.report import UsageError

RNG = np.random.default_rng(7)
NAMES = {
    "np": np,
    "x": RNG.normal(size=(3, 4)).astype("float32"), "y": RNG.normal(size=(3, 4)).astype("float32"),
    "p": RNG.uniform(0.1, 0.9, (3, 4)).astype("float32"), "v": RNG.normal(size=6).astype("float32"),
    "n": np.array([[3, 0, 2], [1, 1, 5]]), "m": np.array([[6, 4, 2], [2, 1, 3]]), "b": np.array([True, False, True]),
    "s": np.cov(RNG.normal(size=(4, 9))).astype("float32"), "holes": np.array([[1.0, np.nan, 3], [4, 5, 6]], "float32"),
    "image": RNG.normal(size=(2, 6, 6, 4)).astype("float32"), "kernel": RNG.normal(size=(3, 3, 4, 5)).astype("float32"),
    "one": RNG.normal(size=(1, 1, 8, 5)).astype("float32"), "deep": RNG.normal(size=(3, 3, 4, 2)).astype("float32"),
    "back": RNG.normal(size=(3, 3, 5, 4)).astype("float32"), "cube": RNG.normal(size=(2, 4, 6)).astype("float32"),
    "heads": RNG.normal(size=(2, 5, 3, 4)).astype("float32"), "wave": RNG.normal(size=(2, 64)).astype("float32"),
    "z": (np.array([1.0, 2], "float32") + 1j * np.array([3.0, -1], "float32")).astype("complex64"),
    "classes": np.array([1, 0, 3]), "ids": np.array([0, 1, 1, 0, 2, 2]),
}  # fmt: skip

SINGLE = ["abs", "absolute", "all", "amax", "amin", "any", "arcsinh", "arctan", "argmax", "argmin", "argsort", "average", "cbrt", "ceil", "conj", "conjugate", "copy", "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "deg2rad", "diagonal", "diff", "exp", "exp2", "expm1", "fabs", "fliplr", "flipud", "floor", "imag", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "max", "mean", "median", "min", "ndim", "negative", "nonzero", "ones_like", "prod", "ptp", "rad2deg", "ravel", "real", "reciprocal", "round", "shape", "sign", "signbit", "sin", "sinc", "sinh", "size", "sort", "sqrt", "square", "std", "sum", "tan", "tanh", "trace", "transpose", "tril", "triu", "trunc", "var", "zeros_like", "logical_not", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "i0", "angle", "celu", "elu", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "swish", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh_shrink", "normalize", "rms_normalization", "layer_normalization", "erf", "erfc", "logsumexp", "stop_gradient", "corrcoef", "rot90", "glu"]  # fmt: skip
PAIRS = [
    "add",
    "arctan2",
    "cross",
    "divide",
    "divide_no_nan",
    "equal",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "inner",
    "isclose",
    "less",
    "less_equal",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nextafter",
    "not_equal",
    "outer",
    "subtract",
    "true_divide",
    "vdot",
    "allclose",
    "append",
    "cdist",
]
WHOLE = [
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "gcd",
    "lcm",
    "left_shift",
    "right_shift",
    "add",
    "divide",
    "power",
    "mod",
    "maximum",
]
CALLS = """
arccos(p); arccosh(1 + p); arcsin(p); arctanh(p); log(p); log10(p); log1p(p); log2(p); rsqrt(p); erfinv(p)
all(x > 0, axis=0); any(x > 0, axis=1, keepdims=True); arange(3); arange(1, 7, 2, dtype="float32"); argmax(x, axis=1)
argpartition(v, 2)[2]; array([1, 2], dtype="int32"); array_split(v, 4); average(x, axis=1, weights=p); bartlett(5)
bincount(ids); bincount(ids, weights=v, minlength=5); bincount(n, minlength=7); bitwise_invert(n); bitwise_not(n)
blackman(5); broadcast_to(v, (2, 6)); clip(x, -0.5, 0.5); concatenate([x, y], axis=1); concatenate((x, y))
correlate(v, v[:3]); correlate(v, v[:3], mode="same"); cumsum(x, axis=1); diag(v); diagflat(v, k=1); diff(v, n=2)
digitize(x, np.array([-1.0, 0, 1])); dot(x, y.T); dsplit(cube, 2); dstack([x, y]); einsum("ij,kj->ik", x, y); empty((2,)).shape
empty_like(x).shape; expand_dims(x, 1); eye(3, 4, k=1); flip(x, axis=1); full((2, 2), 3.0); full_like(x, 2)
geomspace(1.0, 8.0, 4); get_item(x, np.s_[0, :]); hamming(5); hanning(5); histogram(v, bins=4); hsplit(x, 2); hstack([x, y])
identity(3); isin(n, [1, 2]); kaiser(5, 2.0); kron(x, y); ldexp(x, n[:1, :1]); linspace(0, 1, 5); linspace(0.0, 1.0, 5, endpoint=False)
logspace(0.0, 1.0, 3); matmul(x, y.T); max(x, axis=1, initial=0.5); mean(n); mean(x, axis=(0, 1)); median(x, axis=1, keepdims=True)
meshgrid(v, v[:2]); meshgrid(v, v[:2], indexing="ij"); moveaxis(cube, 0, -1); nan_to_num(holes, nan=2.0); nanargmax(holes)
nanargmin(holes, axis=1); nanmean(holes, axis=0); nanpercentile(holes, 40, axis=1); nanquantile(holes, 0.4); nansum(holes, axis=1)
ones((2, 3), dtype="int32"); pad(x, ((1, 0), (0, 2))); pad(x, 1, mode="reflect"); pad(x, 1, constant_values=4.0)
percentile(x, 30, axis=0); power(p, 2.0); prod(x, axis=1); quantile(x, [0.2, 0.7], axis=1); repeat(x, 2, axis=1)
reshape(x, (2, -1)); roll(x, 1, axis=1); searchsorted(np.sort(v), x[0]); select([x > 1, x > 0], [x, y], 0.0); slogdet(s)
sort(x, axis=0); split(x, 2, axis=1); squeeze(x[:, :1]); stack([x, y], axis=1); sum(x, axis=1, keepdims=True); swapaxes(cube, 0, 2)
take(x, [0, 2], axis=0); take(v, n); take_along_axis(x, n[:1], axis=1); tensordot(x, y, axes=[[1], [1]]); tile(x, (2, 1))
trapezoid(v); tri(3, 4, k=1); unique(n); unravel_index(5, (2, 3)); vander(v, 3); vectorize(lambda a: a + 1)(x); view(x, "int32")
vsplit(x, 3); vstack([x, y]); where(x > 0, x, y); where(x > 0); zeros((2, 2)); std(x, axis=1); var(n); sum(n); sum([1.0, 2.0])
cholesky(s); cholesky(s, upper=True); cholesky_inverse(np.linalg.cholesky(s)); det(s); eigh(s)[0]; inv(s); lstsq(x.T, v[:4])
lu_factor(s); matrix_rank(s); norm(x); norm(x, ord=1, axis=1); pinv(x); qr(x)[1].shape; solve(s, x.T); solve(s, v[:4])
solve_triangular(s, v[:4], lower=True); svd(x, compute_uv=False); svd(x, full_matrices=False)[1]; logdet(s)
conv(image, kernel); conv(image, kernel, strides=2, padding="same"); conv(image, kernel, dilation_rate=2)
depthwise_conv(image, deep, padding="same"); separable_conv(image, deep, one); conv_transpose(image, back, strides=2, padding="same")
conv_transpose(image, back, strides=2, output_padding=1); max_pool(image, 2, strides=2); max_pool(image, 3, strides=1, padding="same")
average_pool(image, 2, strides=2); average_pool(image, 3, strides=2, padding="same"); adaptive_max_pool(image, 4); adaptive_average_pool(image, (3, 2))
unfold(image, 3, padding=1, stride=2); fold(unfold(image, 3), (6, 4), 3); space_to_depth(image, 2); depth_to_space(image, 2)
batch_normalization(x, v[:4], p[0], -1, offset=p[1], scale=p[2]); moments(x, (0,)); moments(x, (0, 1), keepdims=True)
layer_normalization(x, gamma=v[:4], beta=v[2:], axis=-1, epsilon=1e-3); rms_normalization(x, scale=v[:4]); normalize(x, order=3)
binary_crossentropy(p, p * 0.9); binary_crossentropy(p, x, from_logits=True); categorical_crossentropy(p, p)
categorical_crossentropy(p, x, from_logits=True); sparse_categorical_crossentropy(classes, p); psnr(x, y, 2.0); polar(p, x)
sparse_categorical_crossentropy(classes, x, from_logits=True); ctc_loss(n, heads[..., 0] * 2, np.array([1, 2]), np.array([5, 4]))
dot_product_attention(heads, heads, heads); dot_product_attention(heads, heads, heads, is_causal=True)
gelu(x, approximate=False); glu(x, axis=1); leaky_relu(x, negative_slope=0.1); threshold(x, 0.1, -3.0); softmax(x, axis=0)
multi_hot(n, 6); one_hot(classes, 5); one_hot(classes, 5, axis=0); elu(x, alpha=0.5); squareplus(x, b=2)
cross(x[:, :3], y[:, :3]); associative_scan(lambda a, b: a + b, v); cast(x, "int32"); cond(True, lambda: 1.0, lambda: 2.0); convert_to_numpy(x)
convert_to_tensor([1, 2], dtype="float32"); dtype(x); fori_loop(0, 3, lambda i, a: a + i, 1); is_tensor(x); map(lambda a: a + 1, v)
saturate_cast(100 * x, "uint8"); scan(lambda c, a: (c + a, c), 0.0, v); scatter(n[..., :1], v[:2], (4,)); shape(x)
scatter_update(x, [[0, 1], [2, 3]], [9.0, 8.0]); scatter_update(x, [[0, 1]], [9.0], reduction="add"); slice(x, (1, 1), (2, 2))
slice_update(x, (1, 1), y[:2, :2]); switch(1, [lambda a: a, lambda a: 2 * a], v); unstack(x, axis=1); vectorized_map(lambda a: a * 2, x)
while_loop(lambda i: i < 5, lambda i: i + 2, 0); while_loop(lambda i, a: i < 9, lambda i, a: (i + 1, a * 2), (0, 1), maximum_iterations=3)
extract_sequences(wave, 16, 8); fft((wave, wave)); fft2((image, image)); ifft2((image, image)); rfft(wave); irfft(rfft(wave)); in_top_k(classes, p, 2)
irfft(rfft(wave), fft_length=64); logsumexp(x, axis=1, keepdims=True); segment_max(v, ids, num_segments=3); segment_min(v, ids, num_segments=3); segment_prod(v, ids, num_segments=3); segment_sum(v, ids, num_segments=4)
stft(wave, 16, 8, 16); stft(wave, 12, 4, 16, window="hamming", center=False); istft(stft(wave, 16, 4, 16), 16, 4, 16)
rearrange(cube, "b h w -> (w b) h"); rearrange(image, "b (i h) (w j) c -> (b i) h w (c j)", i=2, j=3)
rearrange(cube, "b (h i) w -> b h (w i)", i=2); rearrange(cube, "b h w -> b (h w)"); rearrange(x, "a b -> b a")
istft(stft(wave, 16, 4, 16), 16, 4, 16, length=50); top_k(x, 2); view_as_complex(x[:, :2]); view_as_real(z)
"""
TESTS = [f"{name}(x)" for name in SINGLE] + [f"{name}(x, y)" for name in PAIRS if name not in ("cross",)]
TESTS += [f"{name}(n, m)" for name in WHOLE]
TESTS += [call.strip() for line in CALLS.strip().splitlines() for call in line.split("; ")]


def leaves(place, call):
    """The arrays that a call gives, or what it says if it fails."""
    scope = {name: getattr(place, name) for name in dir(place) if name[0] != "_"}
    try:
        result = eval(call, {**scope, **NAMES})
    except Exception as error:
        return repr(error)
    return [np.asarray(leaf) for leaf in tree.flatten(result)]


def same(a, b):
    if a.dtype.kind == "U":
        return a == b
    close = a.shape == b.shape and np.allclose(a, b, rtol=2e-5, atol=2e-5, equal_nan=True)
    return close and a.dtype == b.dtype


@pytest.mark.parametrize("part", range(4))
def test_the_same_numbers_and_types(part):
    wrong = []
    for call in TESTS[part::4]:
        mine, real = leaves(ops, call), leaves(keras.ops, call)
        if isinstance(mine, str) or isinstance(real, str):
            wrong.append(f"{call}: {str(mine)[:200]} beside {str(real)[:200]}")
        elif len(mine) != len(real) or not all(map(same, mine, real)):
            wrong.append(f"{call}: {[(a.dtype, a.shape) for a in mine]} beside {[(b.dtype, b.shape) for b in real]}")
    assert not wrong, "\n".join(wrong)


def test_wrong_patterns():
    for pattern, words in (
        ("a b", "two lists"), ("a b c -> a b c", "3 axes"), ("a b -> a", "once on each side"), ("a (b c) -> a b c", "3"),
        ("a a -> a a", "once"), ("a ... -> ... a", "two lists"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            ops.rearrange(NAMES["x"], pattern)
    with pytest.raises(UsageError, match="does not make 4"):
        ops.rearrange(NAMES["x"], "a (b c) -> a b c", b=3)


def test_every_name_is_called():
    called = " ".join(TESTS)
    silent = {"custom_gradient", "eig", "jvp"} | {
        "sparsemax",
        "ctc_decode",
        "image",
    }  # the latter have tests of their own
    assert not [name for name in ops.__all__ if f"{name}(" not in called and name not in silent]


def test_ctc_decode():
    logits = np.random.default_rng(5).normal(size=(3, 7, 4)).astype("float32") * 2
    lengths = np.array([7, 4, 1])
    for how in ({}, {"merge_repeated": False, "mask_index": 2}, {"mask_index": None}):
        for got, want in zip(ops.ctc_decode(logits, lengths, **how), keras.ops.ctc_decode(logits, lengths, **how)):
            assert got.shape == want.shape and got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-5)
    for width, top, mask in ((9, 3, 0), (6, 2, 3)):
        how = {"strategy": "beam_search", "beam_width": width, "top_paths": top, "mask_index": mask}
        (paths, scores), (want, best) = (
            ops.ctc_decode(logits, lengths, **how),
            keras.ops.ctc_decode(logits, lengths, **how),
        )
        assert paths.shape == want.shape and paths.dtype == want.dtype
        np.testing.assert_array_equal(paths, want)
        np.testing.assert_allclose(scores, best, rtol=1e-4)
    paths, scores = ops.ctc_decode(logits, lengths, "beam_search", beam_width=400)
    all_ways = -ops.ctc_loss(np.maximum(paths[0], 0), logits, np.sum(paths[0] >= 0, 1), lengths)  # every way to say it
    np.testing.assert_allclose(scores[:, 0], all_ways, rtol=1e-4)
    with pytest.raises(UsageError, match="strategy"):
        ops.ctc_decode(logits, lengths, strategy="best")
