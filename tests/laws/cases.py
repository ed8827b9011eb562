"""The table of layer cases: what every layer is tried on, by every law. A new layer is a new row.

A shape is that of one sample. `holds` says what the input is made of: "real" numbers, or "ids" below 7.
"""

from typing import NamedTuple

import numpy as np

from seriatim import layers
from seriatim.base import registry
from seriatim.layers import Layer
from seriatim.math import activations, constraints, initializers, regularizers  # noqa: F401  fill the registry


class Case(NamedTuple):
    """A layer and an input for it; `free_of` names the laws that it need not keep, and why."""

    kind: str
    options: dict
    shape: tuple
    holds: str = "real"
    free_of: dict = {}

    def layer(self, **more):
        """A fresh layer; layers among its options are cloned, and take the same dtype."""
        options = {name: clone(value, more.get("dtype")) for name, value in self.options.items()}
        return registry.find("layer", self.kind)(**{**options, **more})

    def input(self, batch=4, seed=0):
        rng = np.random.default_rng(seed)
        if self.holds == "ids":
            return rng.integers(0, 7, (batch, *self.shape))
        return rng.normal(0.3, 1.0, (batch, *self.shape)).astype("float32")

    def __str__(self):
        options = ",".join(f"{name}={getattr(value, '__name__', value)}" for name, value in self.options.items())
        return f"{self.kind}({options})-{self.shape}".replace(" ", "")


def clone(layer, dtype):
    """A layer like this one, or a list of them; anything else as it is."""
    if isinstance(layer, list):
        return [clone(one, dtype) for one in layer]
    if not isinstance(layer, Layer):
        return layer
    config = layer.get_config()
    return type(layer).from_config({**config, "dtype": dtype or config["dtype"]})


BN, LN = "BatchNormalization", "LayerNormalization"
OVER_TIME = {"padding": "its statistics are of all steps together"}
CONSTANT = {"gradient": "r and d of renorm, u and v of σ are constants by definition: the gradient is not the slope"}

CORE = [
    Case("InputLayer", {"shape": (4, 3)}, (4, 3)), Case("Identity", {}, (4, 3)), Case("Dense", {"units": 2}, (4, 3)),
    Case("Dense", {"units": 2, "activation": "tanh", "use_bias": False, "kernel_regularizer": "l2"}, (3,)),
    Case("Activation", {"activation": "sigmoid"}, (4, 3)),
    Case("ActivityRegularization", {"l1": 0.1, "l2": 0.1}, (4, 3)),
    Case("Lambda", {"function": activations.softplus}, (4, 3)),
    Case("EinsumDense", {"equation": "...b,bc->...c", "output_shape": 2, "bias_axes": "c"}, (4, 3)),
    Case("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "activation": "tanh"}, (4, 3)),
]  # fmt: skip
ACTIVATION = [
    Case("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (4, 3)), Case("LeakyReLU", {}, (4, 3)),
    Case("ELU", {"alpha": 0.5}, (4, 3)), Case("PReLU", {"alpha_initializer": "ones"}, (4, 3)),
    Case("PReLU", {"shared_axes": [1, 2]}, (4, 4, 3)), Case("Softmax", {}, (4, 3)),
    Case("Softmax", {"axis": 1}, (4, 3)),
    Case("Softmax", {"axis": (1, 2)}, (4, 3)),
]  # fmt: skip
SHAPE = [
    Case("Flatten", {}, (4, 3)), Case("Flatten", {}, ()), Case("Flatten", {"data_format": "channels_first"}, (2, 3, 4)),
    Case("Reshape", {"target_shape": (2, -1)}, (4, 3)), Case("Reshape", {"target_shape": (2, 6)}, (4, 3), "ids"),
    Case("Permute", {"dims": (2, 1)}, (4, 3)), Case("RepeatVector", {"n": 3}, (4,)),
    Case("Cropping1D", {"cropping": (1, 2)}, (6, 3)), Case("Cropping2D", {"cropping": (1, 2)}, (5, 6, 3)),
    Case("Cropping3D", {"data_format": "channels_first"}, (2, 4, 3, 5)), Case("ZeroPadding1D", {}, (4, 3), "ids"),
    Case("ZeroPadding2D", {"padding": ((1, 2), (0, 1))}, (4, 3, 2)), Case("ZeroPadding3D", {}, (2, 3, 2, 2)),
    Case("UpSampling1D", {"size": 3}, (4, 3)), Case("UpSampling2D", {"interpolation": "bicubic"}, (4, 3, 2)),
    Case("UpSampling2D", {"size": (2, 3)}, (4, 3, 2)), Case("UpSampling3D", {}, (2, 3, 2, 2)),
]  # fmt: skip
NORM = [
    Case(BN, {}, (4, 3)), Case(BN, {}, (3,)), Case(BN, {"axis": 1, "scale": False, "momentum": 0.5}, (2, 4, 4)),
    Case(BN, {"trainable": False, "center": False}, (4, 3)), Case(BN, {"renorm": True}, (4, 3), free_of=CONSTANT),
    Case(BN, {"renorm": True, "renorm_clipping": {"rmax": 2.0, "rmin": 0.5, "dmax": 1.0}}, (3,), free_of=CONSTANT),
    Case(LN, {}, (4, 3)), Case(LN, {"axis": [1, 2]}, (4, 3), free_of=OVER_TIME),
    Case(LN, {"rms_scaling": True}, (4, 3)),
    Case("GroupNormalization", {"groups": 2}, (4, 4), free_of=OVER_TIME),
    Case("GroupNormalization", {"groups": -1, "axis": 1}, (2, 4, 4)), Case("RMSNormalization", {}, (4, 3)),
    Case("RMSNormalization", {"axis": (1, 3)}, (2, 4, 3)), Case("UnitNormalization", {}, (4, 3)),
    Case("UnitNormalization", {"axis": [1, 2]}, (4, 3), free_of=OVER_TIME),
    Case("SpectralNormalization", {"layer": layers.Dense(2)}, (4, 3), free_of=CONSTANT),
]  # fmt: skip
NOISE = [
    Case("Dropout", {"rate": 0.4}, (4, 3)), Case("Dropout", {"rate": 0.4, "noise_shape": (None, 1, None)}, (4, 3)),
    Case("Dropout", {"rate": 1.0}, (3,)), Case("Dropout", {"rate": 0.0, "seed": 3}, (3,)),
    Case("SpatialDropout1D", {"rate": 0.4}, (4, 3)), Case("SpatialDropout2D", {"rate": 0.4}, (4, 4, 3)),
    Case("SpatialDropout3D", {"rate": 0.4, "data_format": "channels_first"}, (3, 2, 2, 2)),
    Case("GaussianNoise", {"stddev": 0.4, "seed": 1}, (4, 3)), Case("GaussianDropout", {"rate": 0.4}, (4, 3)),
    Case("AlphaDropout", {"rate": 0.4, "noise_shape": [None, 1, None]}, (4, 3)),
]  # fmt: skip
EMBED = [
    Case("Embedding", {"input_dim": 7, "output_dim": 3}, (4,), "ids"),
    Case("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": True}, (4, 2), "ids"),
    Case("ReversibleEmbedding", {"input_dim": 7, "output_dim": 3, "tie_weights": False}, (4,), "ids"),
    Case("Masking", {"mask_value": 2.0}, (4, 3)),
]
ADAPT = [
    Case("Rescaling", {"scale": 0.5, "offset": [1.0, 2.0, 3.0]}, (4, 3)), Case("Normalization", {}, (4, 3)),
    Case("Normalization", {"axis": None, "invert": True}, (4, 3)),
    Case("Normalization", {"mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]}, (4, 3)),
]  # fmt: skip
CONV = [
    Case("Conv1D", {"filters": 2, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, (8, 3)),
    Case("Conv1D", {"filters": 2, "kernel_size": 3, "strides": 2, "activation": "tanh"}, (8, 3)),
    Case("Conv2D", {"filters": 4, "kernel_size": (3, 2), "padding": "same", "groups": 2}, (5, 5, 2)),
    Case("Conv2D", {"filters": 2, "kernel_size": 3, "strides": (2, 1), "use_bias": False}, (6, 5, 3)),
    Case("Conv3D", {"filters": 2, "kernel_size": 2}, (3, 3, 3, 2)),
    Case("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "activation": "tanh"}, (8, 3)),
    Case("DepthwiseConv2D", {"kernel_size": (3, 2), "strides": 2, "padding": "same"}, (6, 5, 2)),
    Case("SeparableConv1D", {"filters": 2, "kernel_size": 3, "use_bias": False}, (8, 3)),
    Case("SeparableConv2D", {"filters": 2, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, (5, 5, 2)),
    Case("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}, (4, 3)),
    Case("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1}, (3, 3, 2)),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "padding": "same"}, (3, 3, 3, 2)),
]
POOL = [
    Case("MaxPooling1D", {"pool_size": 2}, (8, 3)), Case("MaxPooling2D", {"strides": 1, "padding": "same"}, (5, 5, 2)),
    Case("MaxPooling3D", {}, (4, 4, 4, 2)), Case("AveragePooling1D", {"pool_size": 3, "padding": "same"}, (8, 3)),
    Case("AveragePooling2D", {"pool_size": 2}, (5, 5, 2)), Case("AveragePooling3D", {"pool_size": 2}, (4, 4, 4, 2)),
    Case("GlobalMaxPooling1D", {}, (8, 3)), Case("GlobalMaxPooling2D", {"keepdims": True}, (4, 4, 3)),
    Case("GlobalMaxPooling3D", {}, (3, 3, 3, 2)), Case("GlobalAveragePooling1D", {}, (8, 3)),
    Case("GlobalAveragePooling2D", {}, (4, 4, 3)), Case("GlobalAveragePooling3D", {"keepdims": True}, (3, 3, 3, 2)),
    Case("AdaptiveAveragePooling1D", {"output_size": 3}, (8, 3)),
    Case("AdaptiveAveragePooling2D", {"output_size": (2, 7)}, (5, 4, 3)),
    Case("AdaptiveAveragePooling3D", {"output_size": 2}, (3, 4, 5, 2)),
    Case("AdaptiveMaxPooling1D", {"output_size": 5}, (8, 3)),
    Case("AdaptiveMaxPooling2D", {"output_size": 2}, (5, 4, 3)),
    Case("AdaptiveMaxPooling3D", {"output_size": (1, 2, 3)}, (3, 4, 5, 2)),
]  # fmt: skip
RECURRENT = [
    Case("SimpleRNN", {"units": 2}, (5, 3)), Case("SimpleRNN", {"units": 2, "return_sequences": True}, (5, 3)),
    Case("LSTM", {"units": 2}, (5, 3)), Case("LSTM", {"units": 2, "return_sequences": True, "dropout": 0.3}, (5, 3)),
    Case("LSTM", {"units": 2, "go_backwards": True, "recurrent_dropout": 0.3, "unroll": True}, (5, 3)),
    Case("GRU", {"units": 2}, (5, 3)),
    Case("GRU", {"units": 2, "reset_after": False, "return_sequences": True}, (5, 3)),
    Case("Bidirectional", {"layer": layers.LSTM(2)}, (5, 3)),
    Case("Bidirectional", {"layer": layers.GRU(2, return_sequences=True), "merge_mode": "ave"}, (5, 3)),
    Case("TimeDistributed", {"layer": layers.Dense(2, activation="tanh")}, (5, 3)),
    Case("TimeDistributed", {"layer": layers.BatchNormalization()}, (5, 3)),
    Case("RNN", {"cell": layers.LSTMCell(2, recurrent_dropout=0.3)}, (5, 3)),
    Case("RNN", {"cell": [layers.GRUCell(2), layers.SimpleRNNCell(3)], "go_backwards": True,
                 "return_sequences": True}, (5, 3), free_of={"repr": "the stack of a list gets a fresh name"}),
    Case("ConvLSTM1D", {"filters": 2, "kernel_size": 3, "padding": "same", "dropout": 0.3}, (3, 4, 2)),
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "return_sequences": True, "strides": 2}, (3, 4, 5, 2)),
    Case("ConvLSTM3D", {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, (2, 1, 3, 2, 3)),
]  # fmt: skip

BLOCKS = [
    Case("SelfAttention", {"num_heads": 2, "key_dim": 3, "value_dim": 2, "output_shape": 5}, (4, 3)),
    Case("SelfAttention", {"num_heads": 3, "dropout": 0.3, "use_causal_mask": True, "use_bias": False}, (4, 3)),
    Case("TransformerBlock", {"num_heads": 2, "intermediate_dim": 5, "dropout": 0.3, "activation": "gelu"}, (4, 4)),
    Case("TransformerBlock", {"num_heads": 1, "intermediate_dim": 5, "norm_first": True, "use_causal_mask": True,
                              "activation": "tanh"}, (4, 3)),
    Case("PositionalEmbedding", {"sequence_length": 6}, (4, 3)), Case("PositionalEmbedding", {"kind": "sine"}, (4, 3)),
    Case("Residual", {"layers": [layers.Dense(5, "tanh"), layers.Dropout(0.3), layers.Dense(3)]}, (4, 3)),
    Case("Residual", {"layers": [layers.Dense(5), layers.BatchNormalization()], "shortcut": [layers.Dense(5)]}, (3,)),
    Case("Concat", {"chains": [[], [layers.Dense(5), layers.Dropout(0.3)], [layers.Masking()]]}, (4, 3)),
]  # fmt: skip

UNIT = {"value_range": (0, 1)}
PLAIN = {
    "half": "one place casts for all layers for pictures; four of them show it",
    "gradient": "the slope is not what these are for; those that a network may stand before show it",
}
PICTURES = [
    Case("Resizing", {"height": 3, "width": 7, "antialias": True}, (5, 6, 3)),
    Case("Resizing", {"height": 4, "width": 8, "crop_to_aspect_ratio": True}, (5, 6, 2), "ids"),
    Case("CenterCrop", {"height": 3, "width": 4}, (5, 6, 3), free_of=PLAIN),
    Case("CenterCrop", {"height": 7, "width": 4}, (5, 6, 3), free_of=PLAIN),
    Case("RandomCrop", {"height": 3, "width": 4}, (5, 6, 3)), Case("RandomFlip", {"seed": 3}, (4, 5, 3), free_of=PLAIN),
    Case("RandomRotation", {"factor": 0.2}, (4, 5, 3), free_of=PLAIN),
    Case("RandomTranslation", {"height_factor": 0.2, "width_factor": (-0.1, 0.3)}, (4, 5, 3), free_of=PLAIN),
    Case("RandomZoom", {"height_factor": 0.3, "data_format": "channels_first"}, (3, 4, 5)),
    Case("RandomShear", {"x_factor": 0.2, "fill_mode": "constant"}, (4, 5, 3), free_of=PLAIN),
    Case("RandomPerspective", {"scale": 0.5}, (4, 5, 3), free_of=PLAIN),
    Case("RandomElasticTransform", {}, (8, 9, 3), free_of=PLAIN),
    Case("RandomErasing", {"fill_value": [0.1, 0.2, 0.3]}, (8, 9, 3), free_of=PLAIN),
    Case("RandomBrightness", {"factor": 0.2, **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("RandomContrast", {"factor": 0.2}, (4, 5, 3), free_of=PLAIN), Case("AutoContrast", UNIT, (4, 5, 3)),
    Case("Equalization", {"bins": 16, **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 3), **UNIT}, (6, 5, 3), free_of=PLAIN),
    Case("Solarization", {"threshold_factor": (0.2, 0.6), **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("RandomPosterization", {"factor": (3, 6), **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("RandomInvert", {"factor": 0.5, "value_range": (-1, 1)}, (4, 5, 3), free_of=PLAIN),
    Case("RandomGrayscale", {}, (4, 5, 3), free_of=PLAIN),
    Case("RandomColorDegeneration", {"factor": 0.5}, (4, 5, 3), free_of=PLAIN),
    Case("RandomHue", {"factor": 0.5, **UNIT}, (4, 5, 3)),
    Case("RandomSaturation", {"factor": (0.3, 0.6), **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("RandomColorJitter", {"brightness_factor": 0.2, "hue_factor": 0.3}, (4, 5, 3), free_of=PLAIN),
    Case("RandomSharpness", {"factor": 0.7}, (4, 5, 3), free_of=PLAIN),
    Case("RandomGaussianBlur", {"kernel_size": (3, 11)}, (12, 5, 3), free_of=PLAIN),
    Case("RandAugment", UNIT, (4, 5, 3), free_of=PLAIN), Case("MixUp", {"alpha": 0.5}, (4, 5, 3), free_of=PLAIN),
    Case("AugMix", {"all_ops": False, **UNIT}, (4, 5, 3), free_of=PLAIN),
    Case("CutMix", {"factor": (0.5, 1.0)}, (4, 5, 3), free_of=PLAIN),
    Case("MaxNumBoundingBoxes", {"max_number": 3}, (4, 5, 3), free_of=PLAIN),
]  # fmt: skip

COUNTED = {
    "half": "numbers of categories and counts leave in types of their own",
    "gradient": "there is no slope through a category",
}
STEEP = {"gradient": "near silence a modulus bends within the difference: beside Keras in tests/parity/test_signal.py"}
CATEGORIES = [
    Case("CategoryEncoding", {"num_tokens": 7}, (4,), "ids", free_of=COUNTED),
    Case("CategoryEncoding", {"num_tokens": 7, "output_mode": "count"}, (4,), "ids", free_of=COUNTED),
    Case("CategoryEncoding", {"num_tokens": 7, "output_mode": "one_hot"}, (1,), "ids", free_of=COUNTED),
    Case("Discretization", {"bin_boundaries": [0.0, 0.5, 1.0]}, (4,), free_of=COUNTED),
    Case("Discretization", {"bin_boundaries": [0.0, 0.5], "output_mode": "multi_hot"}, (4,)),
    Case("Hashing", {"num_bins": 3}, (4,), "ids", free_of=COUNTED),
    Case("Hashing", {"num_bins": 3, "output_mode": "count"}, (4,), "ids", free_of=COUNTED),
    Case("IntegerLookup", {"vocabulary": [1, 3, 5]}, (4,), "ids", free_of=COUNTED),
    Case("IntegerLookup", {"vocabulary": [1, 3, 5], "output_mode": "multi_hot"}, (4,), "ids", free_of=COUNTED),
    Case("StringLookup", {"vocabulary": ["a", "b"], "invert": True}, (4,), "ids", free_of=COUNTED),
]
SIGNALS = [
    Case("MelSpectrogram", {"fft_length": 16, "sequence_stride": 8, "num_mel_bins": 4}, (64,)),
    Case("STFTSpectrogram", {"frame_length": 16, "frame_step": 8, "padding": "same"}, (40, 2), free_of=STEEP),
    Case("STFTSpectrogram", {"mode": "stft", "frame_length": 8, "expand_dims": True}, (40, 2)),
]

CASES = CORE + ACTIVATION + SHAPE + NORM + NOISE + EMBED + ADAPT + CONV + POOL + RECURRENT + PICTURES + CATEGORIES
CASES += SIGNALS + BLOCKS
