"""Spectrograms and pipelines beside Keras: outputs, gradients, shapes, configs, refusals."""

import jax
import keras
import numpy as np
import pytest

import seriatim.layers
from seriatim.layers import MelSpectrogram, Normalization, Pipeline, Rescaling

from .beside import QUICK, both_refuse, compare, ours, pair, plain, same_places, same_shapes, same_words, theirs

SOUND = np.random.default_rng(5).normal(size=(2, 700)).astype("float32")


def run(layer, x):
    """The output of a layer, ours or Keras's, from one small compiled program."""
    return np.asarray(jax.jit(layer, compiler_options=QUICK)(x))


@pytest.mark.parametrize(
    "options",
    [
        {"sequence_stride": 100, "sequence_length": 101, "power_to_db": False, "max_freq": 3000},
        {"window": None, "mag_exp": 1.0, "ref_power": 4.0, "top_db": 20.0, "sampling_rate": 8000},
    ],
    ids=str,
)
def test_mel_spectrogram(options):
    """Keras has its bands in float32: next to the edges of narrow ones, 1e-4 of the power is rounding."""
    options = {"fft_length": 128, "num_mel_bins": 12, "min_freq": 60.0, **options}
    mine, real = ours("MelSpectrogram", **options), theirs("MelSpectrogram", **options)
    y = run(mine, SOUND)
    np.testing.assert_allclose(y[1:], run(real, SOUND[1:]), rtol=2e-4, atol=2e-3)  # Keras's cut-off sees all rows
    np.testing.assert_allclose(y[0], run(mine, SOUND[0]), rtol=1e-4, atol=1e-3)  # a signal without a batch axis
    assert mine.compute_output_shape((None, 700)) == (None, *y.shape[1:])
    assert mine.compute_output_shape((700,)) == y.shape[1:]


STFT = [
    ("log", {"frame_length": 16, "padding": "same", "expand_dims": True}),
    ("magnitude", {"frame_length": 12, "frame_step": 5, "fft_length": 32, "window": "hamming", "scaling": "spectrum"}),
    ("psd", {"frame_length": 8, "scaling": None, "periodic": True, "data_format": "channels_first"}),
    ("real", {"frame_length": 8, "window": None, "data_format": "channels_first", "expand_dims": True}),
    ("imag", {"frame_length": 8}), ("angle", {"frame_length": 8}), ("stft", {"frame_length": 16, "padding": "same"}),
]  # fmt: skip


@pytest.mark.parametrize("mode, options", STFT, ids=str)
def test_stft_spectrogram(mode, options):
    """In channels_first Keras wants a kernel of another layout from its CPU: there its other format is turned."""
    x = np.random.default_rng(3).normal(size=(2, 40, 3)).astype("float32")
    if mode == "stft":
        compare(*pair("STFTSpectrogram", {"mode": mode, **options}, x.shape), x)
        return
    first = options.pop("data_format", None) == "channels_first"
    want = run(theirs("STFTSpectrogram", mode=mode, **options), x)
    if not first:
        y = run(ours("STFTSpectrogram", mode=mode, **options), x)
    else:
        y = run(ours("STFTSpectrogram", mode=mode, data_format="channels_first", **options), x.swapaxes(1, 2))
        want = want.transpose(0, 3, 1, 2) if want.ndim == 4 else want.swapaxes(1, 2)
    assert y.shape == want.shape
    if mode == "angle":  # π and −π are the same angle, and where both parts vanish it is noise
        assert np.mean(np.abs(np.exp(1j * y) - np.exp(1j * want)) < 1e-3) > 0.99
    else:
        np.testing.assert_allclose(y, want, rtol=2e-4, atol=2e-4)


def test_words():
    same_places("MelSpectrogram")
    same_places("STFTSpectrogram")
    same_places("Pipeline")
    same_words("MelSpectrogram", {"sequence_stride": 100, "num_mel_bins": 7})
    same_words("STFTSpectrogram", {"frame_length": 16, "mode": "psd", "expand_dims": True})
    same_shapes("STFTSpectrogram", {"frame_length": 16}, (None, 40, 3))
    both_refuse("STFTSpectrogram", {"frame_length": 8, "frame_step": 9}, (None, 40, 1), "frame_step")
    both_refuse("STFTSpectrogram", {"frame_length": 8, "fft_length": 4}, (None, 40, 1), "fft_length")
    both_refuse("MelSpectrogram", {"fft_length": 64, "sequence_length": 65}, (None, 400), "fft_length")
    both_refuse("STFTSpectrogram", {"mode": "loud"}, (None, 400, 1), "mode")


def test_a_pipeline_is_its_layers_in_training():
    x = np.arange(6.0).reshape(3, 2).astype("float32")
    norm = Normalization()
    norm.adapt(x)
    mine = Pipeline([norm, Rescaling(2.0), seriatim.layers.Dropout(0.5)])
    y = np.asarray(mine(x))
    assert np.any(y == 0) and np.array_equal(mine(x, training=False), 2 * np.asarray(norm(x)))
    real = keras.layers.Pipeline([keras.layers.Rescaling(2.0, name="two")], name="it")
    twin = Pipeline([Rescaling(2.0, name="two")], name="it")
    twin(x)
    theirs_config, ours_config = plain(real.get_config()), plain(twin.get_config())
    assert [one["config"] for one in ours_config["layers"]] == [one["config"] for one in theirs_config["layers"]]
    assert ours_config.keys() == theirs_config.keys()
    np.testing.assert_array_equal(Pipeline.from_config(theirs_config)(x), 2 * x)
    words = Pipeline([seriatim.layers.StringLookup(vocabulary=["a"]), seriatim.layers.CategoryEncoding(2, "one_hot")])
    assert np.asarray(words(["a", "b"])).tolist() == [[0, 1], [1, 0]]
    model = seriatim.Sequential([words, seriatim.layers.Dense(1)])
    assert model.predict(["a", "b"], verbose=0).shape == (2, 1)
    assert isinstance(MelSpectrogram().get_config()["sequence_length"], int)
