"""One table: every layer that a chain can hold, with random arguments, on random shapes, beside Keras 3.15.1.

For each drawing: the names, shapes and order of the weights, the config, the promised output shape, the output at rest
and in training, what the layer moves, the gradients of the input and of every weight, the mask handed on, and half
precision. `make layers COUNT=20` draws twenty times for each layer; `make test` once.
"""

import inspect
import zlib

import jax
import keras
import numpy as np

import seriatim

from . import draw_layers as draw
from .beside import QUICK, plain

# name of the drawing function -> (axes of a sample, layers). A 1D … 3D layer has the axes of its own name.
TABLE = {
    "dense": ((1, 2, 3), "Dense"), "prelu": ((1, 2, 3), "PReLU"), "einsum": ((1, 2, 3), "EinsumDense"),
    "simple": ((1, 2, 3), "Activation ReLU LeakyReLU ELU Softmax Identity Rescaling ActivityRegularization Lambda"),
    "noise": ((1, 2, 3), "Dropout GaussianDropout AlphaDropout GaussianNoise SpatialDropout1D SpatialDropout2D "
              "SpatialDropout3D"),
    "normal": ((1, 2, 3, 4), "BatchNormalization LayerNormalization GroupNormalization RMSNormalization "
               "UnitNormalization Normalization"),
    "reshape": ((1, 2, 3, 4), "Flatten Reshape Permute"), "repeat": ((1,), "RepeatVector"),
    "spectral": ((1, 2, 3), "SpectralNormalization"), "nested": ((1, 2, 3), "Sequential"),
    "conv": ((), "Conv1D Conv2D Conv3D"),
    "conv_kinds": ((), "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D Conv1DTranspose "
                   "Conv2DTranspose Conv3DTranspose"),
    "pool": ((), " ".join(f"{kind}Pooling{n}D" for n in (1, 2, 3) for kind in (
        "Max", "Average", "GlobalMax", "GlobalAverage", "AdaptiveMax", "AdaptiveAverage"))),
    "resize": ((), " ".join(f"{kind}{n}D" for n in (1, 2, 3) for kind in ("Cropping", "ZeroPadding", "UpSampling"))),
    "recurrent": ((2,), "SimpleRNN LSTM GRU"), "cells": ((2,), "RNN"), "bidirectional": ((2,), "Bidirectional"),
    "distributed": ((2, 3, 4), "TimeDistributed"), "conv_lstm": ((), "ConvLSTM1D ConvLSTM2D ConvLSTM3D"),
    "masking": ((2,), "Masking"), "discretization": ((1,), "Discretization"),
    "spectrogram": ((2,), "STFTSpectrogram"), "mel": ((1,), "MelSpectrogram"),
    "ids": ((1, 2), "Embedding ReversibleEmbedding CategoryEncoding"),
    "picture": ((3,), "Resizing CenterCrop AutoContrast"),
    "augment": ((3,), "ContrastLimitedAdaptiveHistogramEqualization CutMix MixUp RandomBrightness "
                "RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform "
                "RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
                "RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
                "RandomTranslation RandomZoom Solarization"),
}  # fmt: skip
ELSEWHERE = {  # where Keras needs TensorFlow, the layer does not take one array, or we promise another thing
    "Equalization": "test_images.py", "RandomCrop": "test_images.py", "AugMix": "test_images.py",
    "RandAugment": "test_images.py",  # the latter two compile a dozen layers to do nothing at rest
    "Hashing": "test_text.py", "IntegerLookup": "test_text.py", "StringLookup": "test_text.py",
    "TextVectorization": "test_text.py", "GRUCell": "test_cells.py", "LSTMCell": "test_cells.py",
    "SimpleRNNCell": "test_cells.py", "StackedRNNCells": "test_cells.py", "MaxNumBoundingBoxes": "test_boxes.py",
    "Pipeline": "test_text.py", "InputLayer": "test_plain_layers.py", "Layer": "a class of layers",
    "Wrapper": "a class of layers",
}  # fmt: skip
KINDS = {kind: (name, axes) for name, (axes, kinds) in TABLE.items() for kind in kinds.split()}
RANDOM = {kind for kind, (name, _) in KINDS.items() if name in ("noise", "augment")} - {
    "ContrastLimitedAdaptiveHistogramEqualization", "Solarization"
}  # fmt: skip
DECOMPOSE = ("recurrent", "cells", "bidirectional", "conv_lstm", "distributed")  # Keras has no orthogonal in 16 bits
PICTURES = ("picture", "augment")
# Not in 16 bits: what has no such type in Keras, counts in the type of the variables there, or computes inside in the
# type of the wrapper (ours: of the layer).
WHOLE = ("nested", "mel", "spectrogram", "discretization", "distributed", "spectral")
# Sums of up to some 500 products, taken in another order: sqrt(500) · 2⁻²⁴ ≈ 1.4e-6 of the largest, and a chain of a
# few such operations; a gradient is one more.
NEAR = 2e-5


def test_every_layer_is_in_the_table():
    mine = [getattr(seriatim.layers, name, None) for name in dir(keras.layers)]
    names = {kind.__name__ for kind in mine if inspect.isclass(kind)}
    assert names == {*KINDS, *ELSEWHERE} - {"Sequential"}


# ---- what only this table draws -------------------------------------------------------------------------


def noise(d, s, kind):
    if kind == "GaussianNoise":
        return draw.layer(kind, stddev=d.real(0.1, 0.9))
    return draw.layer(kind, rate=d.real(0.1, 0.9), **d.some(0.3, seed=4))


def mel(d, s):  # in decibels: test_signal.py; Keras's loudest place is that of the batch
    return draw.layer("MelSpectrogram", sequence_length=8, fft_length=16, power_to_db=False, **d.some(
        0.4, sequence_stride=4, sampling_rate=8000, num_mel_bins=5, mag_exp=1.0, min_freq=50.0, window="hamming",
    ))  # fmt: skip


AUGMENT = {
    "CutMix": {"factor": 0.7}, "MixUp": {"alpha": 0.3}, "RandomBrightness": {"factor": (-0.3, 0.2)},
    "RandomContrast": {"factor": 0.3}, "RandomColorDegeneration": {"factor": 0.4},
    "RandomColorJitter": {"hue_factor": 0.3}, "RandomElasticTransform": {"factor": 0.8},
    "RandomErasing": {"factor": 0.5}, "RandomFlip": {"mode": "vertical"}, "RandomGaussianBlur": {"factor": 0.5},
    "RandomGrayscale": {"factor": 0.2}, "RandomHue": {"factor": 0.2}, "RandomInvert": {"factor": 0.9},
    "RandomPerspective": {"factor": 0.5}, "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": (-0.1, 0.3)}, "RandomSharpness": {"factor": 0.3}, "RandomSaturation": {"factor": 0.3},
    "RandomShear": {"x_factor": (0.1, 0.2)}, "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.2},
}  # fmt: skip


def augment(d, s, kind):
    how = {**AUGMENT.get(kind, {}), **d.first()}
    if kind == "Solarization":
        return draw.layer(kind, addition_factor=0.0, threshold_factor=0.0, value_range=(-1, 2), **how)
    if "value_range" in inspect.signature(getattr(keras.layers, kind)).parameters:
        how |= d.some(0.5, value_range=(0, 1))
    return draw.layer(kind, **how, **d.some(0.3, seed=7))


def drawn(kind, seed):
    """(the layer, an input) of this drawing: arguments that fit, sizes odd, even and one."""
    name, axes = KINDS[kind]
    d = draw.Draw((zlib.crc32(kind.encode()), seed))
    if kind[-1] == "D" and kind[-2].isdigit():
        axes = (int(kind[-2]) + (2 if kind.startswith("ConvLSTM") else 1),)
    elif kind.endswith("Transpose"):
        axes = (int(kind[4]) + 1,)
    for _ in range(2000):
        rank = d.of(*axes)
        shape = tuple(d.of(1, 2, 3, 4, 5, 7) if rank < 4 else d.of(1, 2, 3) for _ in range(rank - 1))
        shape = (*shape, d.whole(1, 5)) if name not in PICTURES else (*(n + 1 for n in shape), 3)
        if name in ("noise", "augment"):
            row = globals()[name](d, shape, kind)
        elif name == "mel":
            shape, row = (d.whole(16, 30),), mel(d, shape)
        else:
            row = getattr(draw, name)(d, shape)
        if row.arguments.get("data_format") == "channels_first" and name in PICTURES:
            shape = (shape[-1], *shape[:-1])
        if row.kind == kind and hasattr(seriatim, row.place) and fits(row, shape):
            return row, sample(d, name, shape)
    raise AssertionError(f"no {kind} was drawn")


def fits(row, shape):
    after = draw.shape_after(row, shape)
    return after is not None and 0 < np.prod(after) <= 600


def sample(d, name, shape):
    batch = (d.of(2, 3, 5), *shape)
    if name == "ids":
        return d.rng.integers(0, 7, batch).astype(d.of("int32", "float32"))
    if name in PICTURES:
        return d.rng.uniform(0, 1, batch).astype("float32")
    return d.rng.normal(0.2, 1.0, batch).astype("float32")


# ---- both sides, as pure functions ----------------------------------------------------------------------


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--draws")
        rows = [(kind, seed) for kind in KINDS for seed in range(count)]
        metafunc.parametrize("kind, seed", rows)


def sides(row, x, dtype=None):
    """Our layer and Keras's, built, with the same weights."""
    pair, values = [], None
    for library in (seriatim, keras):
        library.backend.clear_session(free_memory=False)
        how = {**row.arguments, "name": "same"} if dtype is None else {**row.arguments, "name": "same", "dtype": dtype}
        one = draw.made(library, row._replace(arguments=how))
        if not one.built:
            one.build(x.shape)
        rng = np.random.default_rng(1)
        values = [rng.uniform(0.2, 1.0, w.shape).astype("float32") for w in one.get_weights()]
        one.set_weights(values)
        pair.append(one)
    return pair


def ours(layer, values, x, training, mask):
    """(output, the arrays that are not trained as the layer leaves them)"""
    trained, kept = ([a for v, a in zip(layer.weights, values) if v.trainable is which] for which in (True, False))
    return layer.stateless_call(trained, kept, x, training, mask)


def theirs(layer, values, x, training, mask):
    """The same of Keras's layer, called as users call it."""
    how = {"training": training} if layer._call_has_training_arg else {}
    if mask is not None:
        how["mask"] = mask
    with keras.StatelessScope(state_mapping=[*zip(layer.weights, values, strict=True)]) as scope:
        y = layer(x, **how)
    return y, [scope.get_current_value(v) for v in layer.weights if not v.trainable]


def course(apply, layer, half, x, mask, what):
    """All numbers of one side in one compiled program: {what: array}."""

    def everything(values, x, mask):
        found = {"at rest": apply(layer, values, x, False, mask)[0]}
        if half is not None:
            low = [v.astype(str(w.dtype)) for v, w in zip(values, half.weights, strict=True)]
            found["half"] = apply(half, low, x, False, mask)[0]
        if "in training" in what:
            found["in training"], found["moved"] = apply(layer, values, x, True, mask)
        if "gradients" in what:
            over = (0, 1) if x.dtype == "float32" and "ids" not in what else (0,)
            found["gradients"] = jax.grad(total, over)(values, x, mask)
        return found

    def total(values, x, mask):
        y, _ = apply(layer, values, x, "in training" in what, mask)
        return sum((one * turn(one.shape)).sum() for one in jax.tree.leaves(y))

    run = jax.jit(everything, compiler_options=QUICK)
    return jax.tree.map(np.asarray, run([np.asarray(w) for w in layer.get_weights()], x, mask))


def turn(shape):
    return np.random.default_rng(2).normal(size=shape).astype("float32")


def far(a, b):
    """How far two arrays are apart, in parts of the largest number (or of one)."""
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    a, b = (np.where(np.isfinite(one), one, 0) for one in (a, b))
    return float(np.abs(a - b).max(initial=0)) / max(1.0, float(np.abs(b).max(initial=0)))


def unbuilt(config):
    """Without the shapes that layers inside were built for: Keras keeps those of layers with a `build` of their own."""
    if isinstance(config, dict):
        return {key: unbuilt(value) for key, value in config.items() if key != "build_config"}
    return config


def test_as_keras_has_it(kind, seed):
    row, x = drawn(kind, seed)
    mine, real = sides(row, x)
    same_words(row, mine, real)
    same_shapes(row, mine, real, x)
    d = draw.Draw((zlib.crc32(kind.encode()), seed, 1))
    mask = same_mask(row, mine, real, x, d)

    name, dtypes = KINDS[kind][0], ("mixed_float16", "mixed_bfloat16")
    if name not in DECOMPOSE and "orthogonal" not in repr(row):
        dtypes += ("float16", "bfloat16")
    whole = name in WHOLE or kind == "CategoryEncoding"
    if name in DECOMPOSE and ("use_bias" in repr(row) or "activation=layers." in repr(row)):
        whole = True  # the carry of Keras's loop changes its type there, and JAX refuses
    half = (None, None) if whole else sides(row, x, d.of(*dtypes))
    what = {"ids"} if name == "ids" else set()
    what |= set() if kind in RANDOM else {"in training"}
    what |= set() if name in ("discretization", "augment") or kind == "CategoryEncoding" else {"gradients"}
    same_numbers(row, course(ours, mine, half[0], x, mask, what), course(theirs, real, half[1], x, mask, what))


def same_words(row, mine, real):
    """The weights by name, and the config."""
    weights = [[(v.name, v.shape, v.trainable) for v in side.weights] for side in (mine, real)]
    assert weights[0] == weights[1], row
    if row.kind not in ("Sequential", "Lambda"):
        config, want = unbuilt(plain(mine.get_config())), unbuilt(plain(real.get_config()))
        if row.kind == "RandomGrayscale":  # Keras forgets its seed
            config.pop("seed", None)
        assert config == want, row


def same_shapes(row, mine, real, x):
    """The promised shape is that of Keras's output; with an open batch it is what Keras promises, if that keeps it."""
    promised = mine.compute_output_shape(x.shape)
    rest = {"training": False} if real._call_has_training_arg else {}
    assert promised == real(x, **rest).shape, row
    if promised == tuple(real.compute_output_shape(x.shape)):
        shape = (None, *x.shape[1:])
        assert mine.compute_output_shape(shape) == tuple(real.compute_output_shape(shape)), row


def same_mask(row, mine, real, x, d):
    """A mask that both hand on alike, if the layer takes one, half of the time."""
    if x.ndim != 3 or row.kind == "Softmax" or "channels_first" in repr(row) or d.chance(0.5):
        return None
    mask = d.rng.random(x.shape[:2]) < 0.7
    mask[:, 0] = True
    if real.supports_masking and row.kind != "ReversibleEmbedding":  # Keras's hangs its mask on the output itself
        handed, want = mine.next_mask(x, mask), real.compute_mask(x, mask)
        assert (handed is None) == (want is None), row
        assert want is None or np.array_equal(handed, want), row
    return mask if real._call_has_mask_arg else None


def same_numbers(row, got, want):
    """In float32 to its rounding; in 16 bits as near to those numbers as Keras's, or to one rounding."""
    low = got.pop("half", None), want.pop("half", None)
    assert jax.tree.structure(got) == jax.tree.structure(want), row
    for (what, a), b in zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, (what, row)
        assert far(a, b) <= NEAR, (what, row)
    for a, b, exact in zip(*map(jax.tree.leaves, (*low, want["at rest"]))):
        assert a.dtype == b.dtype and a.shape == b.shape, row
        rounding = 2.0**-7 if a.dtype.name == "bfloat16" else 2.0**-10
        assert far(a, exact) <= 3 * far(b, exact) + rounding, (a.dtype, row)
