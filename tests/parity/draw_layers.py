"""Random layers: arguments that fit what flows in, as plain data. `draw_stacks` makes chains of them.

Not drawn, for our docstrings say that we differ: an activity_regularizer on SimpleRNN or inside TimeDistributed (Keras
drops it); EinsumDense with an ellipsis of several axes (Keras promises them in reverse); unroll=True inside
Bidirectional (Keras then leaves the outputs of masked steps as they were); Equalization (ours equalizes each picture,
and at rest too); RMSNormalization of other axes than the last ones (Keras lays the scale along those).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

import seriatim


class Make(NamedTuple):
    """`place.kind(**arguments)` of either library, not made yet."""

    place: str
    kind: str
    arguments: dict

    def __repr__(self):
        words = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.place}.{self.kind}({words})"


class Function(NamedTuple):
    """A function of arrays, which prints as its name."""

    name: str
    call: object

    def __repr__(self):
        return self.name


def made(library, value):
    """The value with every Make in it made by `library`."""
    if isinstance(value, Make):
        place = library
        for word in value.place.split("."):
            place = getattr(place, word)
        arguments = {name: made(library, one) for name, one in value.arguments.items()}
        return getattr(place, value.kind)(**arguments)
    if isinstance(value, Function):
        return value.call
    return [made(library, one) for one in value] if isinstance(value, list) else value


def layer(kind, **arguments):
    return Make("layers", kind, arguments)


def shape_after(one, shape):
    """The sample's shape behind a layer, None where ours refuses it or it is not one array."""
    try:
        after = made(seriatim, one).compute_output_shape((2, *shape))
        return after[1:] if all(isinstance(n, int) for n in after) else None
    except Exception:
        return None


ACTIVATIONS = (
    "linear", "relu", "tanh", "sigmoid", "softmax", "gelu", "elu", "selu", "softplus", "softsign", "silu", "swish",
    "mish", "hard_sigmoid", "hard_silu", "leaky_relu", "relu6", "celu", "squareplus", "log_softmax", "hard_tanh",
    "soft_shrink", "tanh_shrink", "sparse_plus", "sparse_sigmoid", "log_sigmoid", "exponential",
)  # fmt: skip
FUNCTIONS = (Function("jnp.abs", jnp.abs), Function("jnp.sin", jnp.sin), Function("jnp.square", jnp.square))


class Draw:
    """The random choices of one chain."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def whole(self, least, most):
        """least … most, both included."""
        return int(self.rng.integers(least, most + 1)) if most > least else int(least)

    def real(self, least, most):
        return round(float(self.rng.uniform(least, most)), 3)

    def of(self, *options):
        return options[self.rng.integers(len(options))]

    def chance(self, share):
        return bool(self.rng.random() < share)

    def some(self, share=0.25, **options):
        """Each argument with that chance; a callable is called for its value."""
        return {k: v() if callable(v) else v for k, v in options.items() if self.chance(share)}

    # ---- arguments that many layers take ---------------------------------------------------------------

    def activation(self):
        if self.chance(0.1):
            return layer("LeakyReLU", negative_slope=0.2)
        return self.of(*ACTIVATIONS)

    def initializer(self):
        return self.of(
            "he_normal", "lecun_uniform", "glorot_normal", "random_uniform", "truncated_normal", "ones", "orthogonal",
            Make("initializers", "VarianceScaling", {"scale": 0.5, "mode": "fan_out", "distribution": "normal"}),
            Make("initializers", "RandomUniform", {"minval": -0.5, "maxval": 0.25, "seed": 3}),
            Make("initializers", "Constant", {"value": 0.2}),
        )  # fmt: skip

    def short_initializer(self):
        return self.of("zeros", "ones", "random_normal", Make("initializers", "Constant", {"value": -0.3}))

    def regularizer(self):
        return self.of(
            "l2", "l1", "l1_l2", Make("regularizers", "L1L2", {"l1": 0.02, "l2": 0.01}),
            Make("regularizers", "L2", {"l2": 0.1}),
        )  # fmt: skip

    def constraint(self):
        return self.of(
            "non_neg", "unit_norm", Make("constraints", "MaxNorm", {"max_value": 0.8, "axis": 0}),
            Make("constraints", "MinMaxNorm", {"min_value": 0.3, "max_value": 0.9, "rate": 0.5, "axis": [0]}),
        )  # fmt: skip

    def weights(self, *stems):
        """use_bias, and an initializer, a regularizer and a constraint for each kind of kernel."""
        found = self.some(
            0.15, use_bias=False, bias_initializer=self.short_initializer, bias_regularizer=self.regularizer,
            bias_constraint="non_neg", activity_regularizer=self.regularizer,
        )  # fmt: skip
        for stem in stems:
            found |= self.some(
                0.15, **{f"{stem}_initializer": self.initializer, f"{stem}_regularizer": self.regularizer},
                **{f"{stem}_constraint": self.constraint},
            )  # fmt: skip
        return found

    def each(self, n, least, most, share=0.5):
        """One number for all axes, or one an axis."""
        return self.whole(least, most) if self.chance(share) else tuple(self.whole(least, most) for _ in range(n))

    def axis(self, shape):
        """An axis of the array, batch not among them, counted from either end."""
        at = self.whole(1, len(shape))
        return at - len(shape) - 1 if self.chance(0.5) else at

    def axes(self, shape):
        if self.chance(0.5):
            return self.axis(shape)
        count = self.whole(1, len(shape))
        return sorted(int(a) + 1 for a in self.rng.choice(len(shape), count, replace=False))

    def first(self):
        """channels_first, rarely."""
        return {"data_format": "channels_first"} if self.chance(0.2) else {}


def space(shape, how):
    """(sizes in space, channels) of a sample."""
    return (shape[1:], shape[0]) if how.get("data_format") == "channels_first" else (shape[:-1], shape[-1])


# ---- for every shape --------------------------------------------------------------------------------------


def dense(d, s):
    return layer("Dense", units=d.whole(1, 6), **d.some(0.6, activation=d.activation), **d.weights("kernel"))


def simple(d, s):
    return d.of(
        layer("Activation", activation=d.activation()), layer("ReLU", **d.some(
            0.5, max_value=lambda: d.real(0.5, 2), negative_slope=lambda: d.real(0, 0.5),
            threshold=lambda: d.real(0, 0.3),
        )), layer("LeakyReLU", **d.some(0.5, negative_slope=0.1)), layer("ELU", **d.some(0.5, alpha=0.7)),
        layer("Softmax", **d.some(0.5, axis=lambda: d.axis(s))), layer("Identity"),
        layer("Rescaling", scale=d.real(-2, 2), **d.some(0.5, offset=lambda: d.real(-1, 1))),
        layer("ActivityRegularization", **d.some(0.5, l1=0.02, l2=0.03)),
        layer("Lambda", function=d.of(*FUNCTIONS)), layer("Dropout", rate=0.0), layer("GaussianDropout", rate=0.0),
        layer("AlphaDropout", rate=0.0), layer("GaussianNoise", stddev=0.0),
    )  # fmt: skip


def prelu(d, s):
    shared = {"shared_axes": sorted(d.rng.choice(len(s), d.whole(1, len(s)), replace=False).tolist())}
    shared = {"shared_axes": [int(a) + 1 for a in shared["shared_axes"]]} if d.chance(0.5) else {}
    return layer("PReLU", **shared, **d.some(
        0.3, alpha_initializer=d.short_initializer, alpha_regularizer=d.regularizer, alpha_constraint="non_neg",
    ))  # fmt: skip


def scale_and_shift(d):
    return d.some(
        0.2, center=False, scale=False, epsilon=0.01, gamma_initializer=d.short_initializer,
        beta_initializer=d.short_initializer, gamma_regularizer=d.regularizer, beta_regularizer=d.regularizer,
        gamma_constraint="non_neg",
    )  # fmt: skip


def normal(d, s):
    kind = d.of(
        "BatchNormalization", "BatchNormalization", "LayerNormalization", "LayerNormalization", "GroupNormalization",
        "RMSNormalization", "UnitNormalization", "Normalization",
    )  # fmt: skip
    if kind == "BatchNormalization":
        more = d.some(0.3, axis=lambda: d.axis(s), momentum=lambda: d.real(0.5, 0.99)) | d.some(0.1, trainable=False)
        return layer(kind, **{"epsilon": 0.01, **more, **scale_and_shift(d)})
    if kind == "LayerNormalization":
        return layer(kind, **{"epsilon": 0.01, **d.some(0.5, axis=lambda: d.axes(s)), **scale_and_shift(d)})
    if kind == "GroupNormalization":
        axis = d.axis(s) if d.chance(0.3) else -1
        size = s[axis - 1 if axis > 0 else axis]
        groups = d.of(-1, 1, size, *(g for g in (2, 3) if size % g == 0), *([2] if d.chance(0.1) else []))
        return layer(kind, **{"epsilon": 0.01, "groups": groups, "axis": axis, **scale_and_shift(d)})
    if kind == "Normalization":
        return layer(kind, **d.of(
            {"mean": 0.5, "variance": 2.0, "axis": None}, {"mean": 0.2, "variance": 0.5},
            {"mean": [d.real(-1, 1) for _ in range(s[-1])], "variance": [d.real(0.5, 2) for _ in range(s[-1])]},
            {"mean": 1.0, "variance": 1.5, "invert": True},
        ))  # fmt: skip
    how = d.some(0.5, axis=lambda: d.axes(s))
    if kind == "RMSNormalization":
        how["epsilon"] = 0.001
        last = [axis % (len(s) + 1) for axis in np.ravel(how.get("axis", -1))]
        if last != [*range(len(s) + 1 - len(last), len(s) + 1)]:
            how.pop("axis")
    return layer(kind, **how)


def reshape(d, s):
    kind = d.of("Flatten", "Flatten", "Reshape", "Permute")
    if kind == "Flatten":
        return layer(kind, **d.first())
    if kind == "Permute":
        return layer(kind, dims=tuple(int(a) + 1 for a in d.rng.permutation(len(s))))
    size, target = int(np.prod(s)), []
    while d.chance(0.7) and len(target) < 3:
        part = d.of(*(n for n in range(1, 9) if size % n == 0))
        target.append(part)
        size //= part
    target.append(-1 if d.chance(0.4) else size)
    return layer(kind, target_shape=tuple(int(target[i]) for i in d.rng.permutation(len(target))))


def einsum(d, s):
    units = d.whole(1, 4)
    if len(s) == 1:
        how = {"equation": "ab,bc->ac", "output_shape": units}
    elif len(s) == 2:
        how = d.of(
            {"equation": "abc,cd->abd", "output_shape": (s[0], units)},
            {"equation": "abc,cde->abde", "output_shape": (s[0], units, 2)},
        )
    else:
        axes = "abcde"[: len(s)]
        how = {"equation": f"{axes}x,xz->{axes}z", "output_shape": (*s[:-1], units)}
    letter = how["equation"][-1]
    return layer(
        "EinsumDense", **how, **d.some(0.5, bias_axes=letter, activation=d.activation),
        **{k: v for k, v in d.weights("kernel").items() if k != "use_bias"},
    )  # fmt: skip


def spectral(d, s):
    inner = dense(d, s)
    if len(s) == 3 and d.chance(0.5):
        inner = layer("Conv2D", filters=2, kernel_size=2, padding="same")
    inner.arguments.pop("kernel_constraint", None)
    return layer("SpectralNormalization", layer=inner, **d.some(0.3, power_iterations=2))


def nested(d, s):
    """A chain in the chain."""
    rows, shape = [], s
    for _ in range(d.whole(1, 2)):
        rows.append(d.of(dense, simple, normal)(d, shape))
        shape = shape_after(rows[-1], shape) or shape
    if d.chance(0.3):
        rows.insert(0, layer("Input", shape=s))
    return Make("models", "Sequential", {"layers": rows})


def augment_nothing(d, s):
    """Layers of random pictures with nothing left to chance; most want pictures."""
    return d.of(
        layer("RandomBrightness", factor=0.0), layer("RandomContrast", factor=0.0), layer("RandomRotation", factor=0.0),
        layer("RandomZoom", height_factor=0.0), layer("RandomTranslation", height_factor=0.0, width_factor=0.0),
        layer("Solarization", addition_factor=0.0, threshold_factor=0.0, value_range=(-9, 9)),
        layer("AutoContrast", value_range=(0, 1)), layer("RandomSharpness", factor=0.0),
    )  # fmt: skip


# ---- windows over space -----------------------------------------------------------------------------------


def windows(d, n, sizes, kernel, causal=True):
    """kernel_size or pool_size, strides, padding; the kernel mostly fits."""
    most = [min(m, 3) + (1 if d.chance(0.03) else 0) for m in sizes]
    how = {kernel: min(most) if d.chance(0.4) else tuple(d.whole(1, m) for m in most)}
    if kernel == "pool_size" and n == 1 and isinstance(how[kernel], tuple) and d.chance(0.5):
        how[kernel] = how[kernel][0]
    return how | d.some(
        0.4, strides=lambda: d.each(n, 1, 3), padding=lambda: d.of("same", "same", "valid", *(["causal"] * causal))
    )


def conv(d, s):
    n = len(s) - 1
    how = d.first()
    sizes, channels = space(s, how)
    how |= windows(d, n, sizes, "kernel_size", causal=n == 1)
    if "strides" not in how or d.chance(0.03):
        how |= d.some(0.3, dilation_rate=lambda: d.each(n, 1, 2))
    groups = d.of(1, *(g for g in (2, 3, channels) if channels % g == 0 and d.chance(0.5)))
    if groups > 1:
        how["groups"] = groups
    return layer(
        f"Conv{n}D", filters=groups * d.whole(1, 3), **how, **d.some(0.4, activation=d.activation),
        **d.weights("kernel"),
    )  # fmt: skip


def conv_kinds(d, s):
    n = len(s) - 1
    kind = d.of("transpose", "depthwise", "separable") if n < 3 else "transpose"
    how = d.first()
    sizes, _ = space(s, how)
    how |= windows(d, n, sizes, "kernel_size", causal=kind == "separable" and n == 1)
    how |= d.some(0.4, activation=d.activation)
    if kind == "transpose":
        if "strides" in how and d.chance(0.3):
            how["output_padding"] = d.whole(0, 1)
        elif "strides" not in how:
            how |= d.some(0.2, dilation_rate=lambda: d.each(n, 1, 2))
        return layer(f"Conv{n}DTranspose", filters=d.whole(1, 3), **how, **d.weights("kernel"))
    if n == 2 and "strides" in how and d.chance(0.9):
        how["strides"] = d.whole(1, 2)
    how |= d.some(0.3, depth_multiplier=lambda: d.whole(1, 3))
    if "strides" not in how:
        how |= d.some(0.2, dilation_rate=lambda: d.each(n, 1, 2))
    if kind == "depthwise":
        return layer(f"DepthwiseConv{n}D", **how, **d.weights("depthwise"))
    return layer(f"SeparableConv{n}D", filters=d.whole(1, 3), **how, **d.weights("depthwise", "pointwise"))


def pool(d, s):
    n = len(s) - 1
    how = d.first()
    sizes, _ = space(s, how)
    family = d.of("window", "window", "global", "adaptive")
    if family == "window":
        kind = d.of("Max", "Average")
        return layer(f"{kind}Pooling{n}D", **how, **windows(d, n, sizes, "pool_size", causal=False))
    if family == "global":
        return layer(f"Global{d.of('Max', 'Average')}Pooling{n}D", **how, **d.some(0.4, keepdims=True))
    size = d.whole(1, 4) if d.chance(0.5) else tuple(d.whole(1, 4) for _ in range(n))
    return layer(f"Adaptive{d.of('Max', 'Average')}Pooling{n}D", output_size=size, **how)


def resize(d, s):
    n = len(s) - 1
    how = d.first() if n > 1 else {}
    sizes, _ = space(s, how)
    kind = d.of("Cropping", "ZeroPadding", "UpSampling", "SpatialDropout")
    if kind == "SpatialDropout":
        return layer(f"SpatialDropout{n}D", rate=0.0, **how)
    if kind == "UpSampling":
        size = d.each(n, 1, 2) if n > 1 else d.whole(1, 3)
        smooth = d.some(0.3, interpolation=lambda: d.of("bilinear", "bicubic", "lanczos3", "lanczos5"))
        return layer(f"UpSampling{n}D", size=size, **how, **(smooth if n == 2 else {}))
    if kind == "ZeroPadding" and n == 1:
        how |= d.first()
    word = kind.removeprefix("Zero").lower()
    most = [2 if kind == "ZeroPadding" else max(0, (m - 1) // 2) + d.chance(0.03) for m in sizes]
    pairs = tuple((d.whole(0, m), d.whole(0, m)) for m in most)
    amount = d.of(pairs[0] if n == 1 else pairs, min(most), *([tuple(most)] if n > 1 else []))
    return layer(f"{kind}{n}D", **{word: amount}, **how)


def picture(d, s):
    """Layers of pictures that leave nothing to chance."""
    how = d.first()
    height, width, smooth = d.whole(1, 6), d.whole(1, 6), d.of("bilinear", "nearest", "bicubic", "lanczos3")
    return d.of(
        layer("Resizing", height=height, width=width, interpolation=smooth, **how, **d.of(
            {}, {}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}, {"antialias": True}
        )), layer("CenterCrop", height=height, width=width, **how), augment_nothing(d, s),
    )  # fmt: skip


# ---- time ----------------------------------------------------------------------------------------------


def recurrent(d, s, sequences=0.6):
    kind = d.of("SimpleRNN", "LSTM", "GRU")
    how = d.some(
        0.2, activation=d.activation, go_backwards=True, unroll=True,
        recurrent_initializer=lambda: d.of("orthogonal", "glorot_uniform"), recurrent_regularizer=d.regularizer,
        recurrent_constraint=d.constraint,
    ) | d.weights("kernel")  # fmt: skip
    if kind != "SimpleRNN":
        how |= d.some(0.2, recurrent_activation=lambda: d.of("hard_sigmoid", "tanh"))
    if kind == "GRU":
        how |= d.some(0.4, reset_after=False)
    if kind == "LSTM":
        how |= d.some(0.2, unit_forget_bias=False)
    if kind == "SimpleRNN":
        how.pop("activity_regularizer", None)
    return layer(kind, units=d.whole(1, 4), **how, **d.some(sequences, return_sequences=True))


def cells(d, s):
    cell = lambda: layer(d.of("SimpleRNNCell", "LSTMCell", "GRUCell"), units=d.whole(1, 3))
    return layer("RNN", cell=d.of(cell(), [cell(), cell()]), **d.some(
        0.4, return_sequences=True, go_backwards=True, unroll=True, zero_output_for_mask=True
    ))  # fmt: skip


def bidirectional(d, s):
    inner = recurrent(d, s) if d.chance(0.8) else cells(d, s)
    inner.arguments.pop("unroll", None)
    return layer("Bidirectional", layer=inner, **d.some(0.5, merge_mode=lambda: d.of("sum", "mul", "ave", "concat")))


def distributed(d, s):
    inner = d.of(dense, dense, simple, normal)(d, s[1:])
    if len(s) == 3 and d.chance(0.4):
        inner = d.of(conv, pool, recurrent, resize)(d, s[1:])
    if len(s) == 4 and d.chance(0.4):
        inner = d.of(conv, pool, conv_kinds)(d, s[1:])
    inner.arguments.pop("activity_regularizer", None)
    if inner.kind == "ActivityRegularization":
        inner = layer("Identity")
    return layer("TimeDistributed", layer=inner)


def conv_lstm(d, s):
    n = len(s) - 2
    sizes, _ = s[1:-1], s[-1]
    how = windows(d, n, sizes, "kernel_size", causal=False)
    how |= d.some(0.3, activation=d.activation, return_sequences=True, go_backwards=True, use_bias=False)
    return layer(f"ConvLSTM{n}D", filters=d.whole(1, 2), **how)


def masking(d, s):
    return layer("Masking", **d.some(0.3, mask_value=1.0))


def repeat(d, s):
    return layer("RepeatVector", n=d.whole(1, 4))


def discretization(d, s):
    return layer("Discretization", bin_boundaries=[-0.5, 0.0, 0.7], **d.some(
        0.6, output_mode=lambda: d.of("one_hot", "multi_hot", "count")
    ))  # fmt: skip


def ids(d, s):
    """What takes whole numbers below 7."""
    if d.chance(0.15):
        return layer("CategoryEncoding", num_tokens=7, output_mode=d.of("one_hot", "multi_hot", "count"))
    kind = d.of("Embedding", "Embedding", "Embedding", "ReversibleEmbedding")
    how = d.some(
        0.3, mask_zero=True, embeddings_initializer=d.initializer, embeddings_regularizer=d.regularizer,
        embeddings_constraint=d.constraint,
    )  # fmt: skip
    more = d.some(0.4, tie_weights=False) if kind == "ReversibleEmbedding" else {}
    return layer(kind, input_dim=d.whole(7, 9), output_dim=d.whole(1, 5), **how, **more)


def spectrogram(d, s):
    return layer("STFTSpectrogram", mode=d.of("log", "magnitude", "psd", "real", "imag"), frame_length=4, **d.some(
        0.4, frame_step=2, fft_length=8, padding="same", expand_dims=True
    ))  # fmt: skip


# How often each is drawn where samples have so many axes.
ANY = [(dense, 5), (simple, 4), (prelu, 1), (normal, 3), (reshape, 2), (einsum, 1), (spectral, 1), (nested, 1)]
KINDS = {
    1: [*ANY, (dense, 3), (repeat, 1), (discretization, 0.3)],
    2: [*ANY, (conv, 3), (conv_kinds, 3), (pool, 3), (resize, 2), (recurrent, 4), (cells, 1), (bidirectional, 2),
        (distributed, 1), (masking, 2), (spectrogram, 0.3)],
    3: [*ANY, (conv, 5), (conv_kinds, 4), (pool, 4), (resize, 3), (picture, 2), (conv_lstm, 1), (distributed, 1)],
    4: [*ANY, (conv, 4), (conv_kinds, 2), (pool, 4), (resize, 3), (conv_lstm, 2), (distributed, 2)],
    5: [*ANY, (conv_lstm, 1), (distributed, 2)],
}  # fmt: skip
ALL = [kind for kinds in KINDS.values() for kind, _ in kinds] + [ids]
