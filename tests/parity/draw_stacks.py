"""Random chains: what `stacks` builds twice, here and in Keras. Number n always draws the same chain.

A chain is plain data (`Make`s), so that both libraries build it from the same words and it prints as code. Most layers
fit what comes before them; some, and all in a spoilt chain, do not: then both libraries have to refuse it.

Not drawn, for our docstrings say that we differ: Tversky with alpha ≠ beta; an activity_regularizer on SimpleRNN or
inside TimeDistributed (Keras drops it); layers of pictures on anything but a batch of pictures; labels that only
broadcasting makes as large as the predictions (we refuse them); weights of rows for losses of several axes (Keras
aligns them with the last axis); EinsumDense with an ellipsis of several axes (Keras promises them in reverse);
unroll=True inside Bidirectional (Keras then leaves the outputs of masked steps as they were).
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
    how = {"epsilon": 0.001} if kind == "RMSNormalization" else {}
    return layer(kind, **how, **d.some(0.5, axis=lambda: d.axes(s)))


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
        layer("AutoContrast", value_range=(0, 1)), layer("Equalization", value_range=(0, 1)),
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


def shape_after(one, shape):
    """The sample's shape behind a layer, None where ours refuses it or it is not one array."""
    try:
        after = made(seriatim, one).compute_output_shape((2, *shape))
        return after[1:] if all(isinstance(n, int) for n in after) else None
    except Exception:
        return None


BAD = {
    "units": (0, -2), "filters": (0, -1), "kernel_size": (0, -1, (2, 2, 2, 2)), "strides": (0, -1),
    "padding": ("full",), "activation": ("nothing",), "pool_size": (0, (2, 2, 2, 2)), "axis": (9, -7),
    "kernel_initializer": ("nothing",), "n": (0, -1), "target_shape": ((5, 7), (-1, -1)), "dims": ((1, 3), (0, 1)),
    "dilation_rate": (0,), "groups": (0, 7), "depth_multiplier": (0,), "input_dim": (0, -1), "output_dim": (-1,),
    "rate": (1.5, -0.1), "data_format": ("channels",), "kernel_regularizer": ("nothing",), "size": (0,),
    "cropping": (9, -1), "output_size": (0,), "merge_mode": ("most",), "equation": ("ab,bc", "xyz,zw->xyw"),
    "interpolation": ("nothing",), "shared_axes": ([9],), "layer": (3,), "height": (0,), "wrong_word": (1,),
}  # fmt: skip


def break_one(d, rows):
    """One argument of one layer becomes what it cannot be."""
    row = d.of(*[row for row in rows if row.place == "layers"] or [layer("Dense", units=1)])
    words = [word for word in BAD if word in row.arguments] or ["wrong_word"]
    word = d.of(*words)
    row.arguments[word] = d.of(*BAD[word])


class Stack(NamedTuple):
    """A chain, what flows in, and how it is trained."""

    entry: Make | None
    rows: list
    x: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None
    loss: object
    metrics: list
    optimizer: Make

    @property
    def masked(self):
        """Whether a layer makes a mask, which may reach the end."""
        return any("Masking" in text or "mask_zero" in text for text in map(repr, self.rows))

    def __repr__(self):
        rows = "".join(f"    {row!r},\n" for row in ([self.entry] if self.entry else []) + self.rows)
        w = "" if self.sample_weight is None else ", weighted"
        return (
            f"Sequential([\n{rows}])\n"
            f"x {self.x.dtype} {self.x.shape}, y {self.y.dtype} {self.y.shape}{w}\n"
            f"compile({self.optimizer!r}, loss={self.loss!r}, metrics={self.metrics!r})"
        )


def entry_of(d, shape, batch, dtype):
    """How the chain learns its input shape: Input, with open or fixed sizes, or the first batch (None)."""
    if d.chance(0.15):
        return None
    how = {"dtype": dtype} if dtype != "float32" or d.chance(0.1) else {}
    if d.chance(0.15):
        return layer("Input", batch_shape=(batch, *shape), **how)
    if len(shape) > 1 and d.chance(0.1):
        return layer("Input", shape=(None, *shape[1:]), **how)
    return layer("Input", shape=shape, **how)


def stack(seed):
    """Chain number `seed`."""
    d = Draw(seed)
    spoilt = d.chance(0.1)
    batch = d.of(1, 2, 3, 4, 5)
    rank = d.of(1, 1, 2, 2, 2, 3, 3, 3, 4)
    shape = tuple(d.whole(1, 7 if rank < 4 else 4) for _ in range(rank - 1)) + (d.whole(1, 5),)
    rows, whole_numbers = [], d.chance(0.2)
    if whole_numbers:
        shape = shape[: d.of(1, 1, 2)]
        x = d.rng.integers(0, 7, (batch, *shape)).astype(d.of("int32", "float32"))
        rows.append(ids(d, shape))
    else:
        x = d.rng.normal(0.2, 1.0, (batch, *shape)).astype("float32")
        if rank == 2 and d.chance(0.3):
            x[:, x.shape[1] // 2 :] = 0.0  # steps that Masking masks
            rows.append(masking(d, shape))
    entry = entry_of(d, shape, batch, str(x.dtype))
    now = shape_after(rows[0], shape) if rows else shape
    wanted = len(rows) + d.whole(1, 5)
    while now is not None and len(rows) < wanted:
        kinds, shares = zip(*KINDS.get(len(now), ANY), strict=True)
        draw = kinds[d.rng.choice(len(kinds), p=np.array(shares) / sum(shares))]
        if spoilt and d.chance(0.4):
            draw = ALL[d.rng.integers(len(ALL))]
        try:
            row = draw(d, now) if draw is not picture or len(now) == 3 else repeat(d, now)
        except (IndexError, ValueError, KeyError):  # the drawing itself cannot do with this rank
            continue
        if not hasattr(getattr(seriatim, row.place), row.kind):  # Conv0D
            continue
        after = shape_after(row, now)
        if after is not None and (np.prod(after) > 600 or (0 in after and d.chance(0.9))):
            continue
        if after is None and not spoilt and d.chance(0.8):
            continue
        rows.append(row)
        now = after
    y, loss, metrics, activation = targets(d, batch, now or (1,))
    if activation:
        rows.append(activation)
    if spoilt and rows and d.chance(0.4):
        break_one(d, rows)
    if spoilt and batch > 1 and d.chance(0.2):
        y = np.concatenate([y, y])
    weight = d.rng.uniform(0, 2, (batch, *(now or (1,))[:-1])).astype("float32") if d.chance(0.2) else None
    return Stack(entry, rows, x, y, weight, loss, metrics, optimizer(d))


# ---- training ------------------------------------------------------------------------------------------


def targets(d, batch, shape):
    """(y, loss, metrics, a last activation or None) for an output of this shape."""
    full, last = (batch, *shape), shape[-1] if shape else 1
    real = d.rng.normal(size=full).astype("float32")
    how = d.some(0.2, reduction=lambda: d.of("sum", "sum_over_batch_size", "mean_with_sample_weight", "mean"))
    make = lambda kind, **more: Make("losses", kind, {**more, **how})
    metric = lambda kind, **more: Make("metrics", kind, more)
    family = d.of("real", "real", "binary", "classes", "sparse", "margin", "positive")
    if family == "real":
        loss = d.of(
            "mse", "mae", "log_cosh", make("MeanSquaredError"), make("Huber", delta=0.5), make("LogCosh"),
            make("MeanAbsoluteError"), make("CosineSimilarity"), make("CosineSimilarity", axis=d.axis(shape)),
            make("MeanAbsolutePercentageError"),
        )  # fmt: skip
        found = d.of(
            [], ["mae"], ["mse", "cosine_similarity"], [metric("RootMeanSquaredError")], [metric("R2Score")],
            [metric("LogCoshError"), metric("MeanAbsolutePercentageError")], [metric("PearsonCorrelation")],
            [metric("ConcordanceCorrelation")], ["accuracy"],
        )  # fmt: skip
        if len(shape) > 1 and any(m == metric("R2Score") for m in found):
            found = []
        return real, loss, found, None
    if family == "margin":
        y = np.sign(real) if d.chance(0.5) else (real > 0).astype("float32")
        return y, d.of("hinge", make("SquaredHinge"), make("CategoricalHinge")), d.of([], ["hinge"], ["mse"]), None
    if family == "positive":
        loss = d.of("poisson", "msle", make("KLDivergence"), make("MeanSquaredLogarithmicError"), "kl_divergence")
        return np.abs(real) + 0.1, loss, d.of([], ["msle"], [metric("Poisson")]), layer(
            "Activation", activation=d.of("softplus", "sigmoid", "exponential")
        )  # fmt: skip
    logits = d.chance(0.5)
    if family == "binary":
        y = (real > 0).astype(d.of("float32", "int32"))
        loss = d.of(
            make("BinaryCrossentropy", from_logits=logits, **d.some(0.3, label_smoothing=0.1)),
            make("BinaryFocalCrossentropy", from_logits=logits, **d.some(0.3, apply_class_balancing=True, gamma=1.5)),
            make("Dice") if not logits else make("Tversky", alpha=0.6, beta=0.6), make("MeanSquaredError"),
        )  # fmt: skip
        found = d.of(
            [], ["accuracy"], [metric("BinaryAccuracy", threshold=0.3)], [metric("AUC", num_thresholds=9)],
            [metric("Precision"), metric("Recall", thresholds=0.4)], [metric("TruePositives"), "mae"],
            [metric("BinaryIoU")],
        )  # fmt: skip
        inside = not logits or bool(found)
        return y, loss, found, layer("Activation", activation="sigmoid") if inside else None
    if family == "classes":
        y = np.eye(last, dtype="float32")[d.rng.integers(0, last, full[:-1])]
        loss = d.of(
            make("CategoricalCrossentropy", from_logits=logits, **d.some(0.3, label_smoothing=0.1)),
            make("CategoricalFocalCrossentropy", from_logits=logits), make("KLDivergence"),
            "categorical_crossentropy", "crossentropy",
        )  # fmt: skip
        found = d.of([], ["accuracy"], [metric("TopKCategoricalAccuracy", k=2)], [metric("CategoricalCrossentropy")])
        return y, loss, found, None if logits else layer("Softmax")
    y = d.rng.integers(0, last, full[:-1] + d.of((), (1,))).astype(d.of("int32", "float32"))
    loss = d.of(
        make("SparseCategoricalCrossentropy", from_logits=logits), "sparse_categorical_crossentropy",
        make("SparseCategoricalCrossentropy", from_logits=logits, **d.some(0.5, ignore_class=0)),
    )  # fmt: skip
    found = d.of([], ["accuracy"], [metric("SparseTopKCategoricalAccuracy", k=2)], ["sparse_categorical_accuracy"])
    return y, loss, found, None if logits else layer("Softmax")


def optimizer(d):
    """One of Keras's, with arguments; each ε is wide, so that a gradient of pure rounding moves nothing."""
    rate = d.of(0.01, 0.003, 0.03)
    kind, how = d.of(
        ("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.8, "nesterov": True}),
        ("Adam", {"epsilon": 0.01}), ("Adam", {"epsilon": 0.01, "amsgrad": True}),
        ("AdamW", {"epsilon": 0.01, "weight_decay": 0.1}), ("Adamax", {"epsilon": 0.01}), ("Nadam", {"epsilon": 0.01}),
        ("RMSprop", {"epsilon": 0.01}), ("RMSprop", {"epsilon": 0.01, "momentum": 0.5, "centered": True}),
        ("Adagrad", {"epsilon": 0.01}), ("Adadelta", {"epsilon": 0.01}), ("Ftrl", {"l2_regularization_strength": 0.01}),
        ("Adafactor", {}), ("Lion", {}), ("Lamb", {"epsilon": 0.01}), ("Muon", {}),
        ("ScheduleFreeAdamW", {"epsilon": 0.01}),
    )  # fmt: skip
    more = d.some(
        0.1, weight_decay=0.02, clipnorm=0.5, clipvalue=0.1, global_clipnorm=0.7, use_ema=True,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    if "clipnorm" in more or "global_clipnorm" in more:
        more.pop("clipvalue", None)
    if d.chance(0.1):
        rate = Make("optimizers.schedules", "ExponentialDecay", {
            "initial_learning_rate": rate, "decay_steps": 2, "decay_rate": 0.5,
        })  # fmt: skip
    return Make("optimizers", kind, {"learning_rate": rate, **how, **more})
