"""`seriatim.ops.image` beside `keras.ops.image`: single pictures and batches, channels last and first."""

import keras
import numpy as np
import pytest

from seriatim import ops
from seriatim.base.report import UsageError

RNG = np.random.default_rng(3)
PICTURE = RNG.uniform(0, 1, (2, 9, 7, 3)).astype("float32")
BYTES = RNG.integers(0, 256, (2, 9, 7, 3)).astype("uint8")
TURN = np.array([0.8, 0.3, 2.1, -0.4, 1.3, -1.7, 0, 0], "float32")
CORNERS = np.array([[0, 0], [6, 1], [1, 8], [6, 8]], "float32")
SQUARE = np.array([[0, 0], [6, 0], [0, 8], [6, 8]], "float32")
COLOURS = [("rgb_to_grayscale", {}), ("rgb_to_hsv", {}), ("hsv_to_rgb", {})]
SIZES = [
    ("resize", {"size": (5, 10)}), ("resize", {"size": (12, 3), "interpolation": "bicubic", "antialias": True}),
    ("resize", {"size": (4, 6), "crop_to_aspect_ratio": True, "interpolation": "nearest"}),
    ("resize", {"size": (4, 6), "pad_to_aspect_ratio": True, "fill_value": 0.5, "interpolation": "lanczos3"}),
    ("pad_images", {"top_padding": 2, "bottom_padding": 1, "left_padding": 3, "target_width": 15}),
    ("pad_images", {"bottom_padding": 2, "target_height": 12, "right_padding": 0, "left_padding": 1}),
    ("crop_images", {"top_cropping": 2, "target_height": 4, "left_cropping": 1, "right_cropping": 2}),
    ("crop_images", {"bottom_cropping": 2, "top_cropping": 0, "right_cropping": 2, "target_width": 3}),
    ("extract_patches", {"size": 3, "strides": 2, "padding": "same"}),
    ("extract_patches", {"size": (2, 3), "strides": (1, 1), "dilation_rate": 2}), ("extract_patches", {"size": (4, 2)}),
]  # fmt: skip
WARPS = [
    ("affine_transform", {"transform": TURN}),
    ("affine_transform", {"transform": TURN, "interpolation": "nearest", "fill_mode": "wrap"}),
    ("affine_transform", {"transform": TURN, "fill_mode": "reflect"}),
    ("perspective_transform", {"start_points": CORNERS, "end_points": SQUARE, "fill_value": 0.3}),
    # without data_format Keras's blur takes any picture for one with channels first
    ("gaussian_blur", {"data_format": "channels_last"}),
    ("gaussian_blur", {"kernel_size": (4, 5), "sigma": (0.7, 1.4), "data_format": "channels_last"}),
]  # fmt: skip


@pytest.mark.parametrize("name, how", COLOURS + SIZES + WARPS, ids=lambda v: v if isinstance(v, str) else "")
def test_pictures(name, how):
    mine, theirs = getattr(ops.image, name), getattr(keras.ops.image, name)
    batched = {k: np.stack([v, v * 1.1]) if isinstance(v, np.ndarray) else v for k, v in how.items()}
    first = PICTURE.transpose(0, 3, 1, 2)
    cases = [(PICTURE, batched), (PICTURE[1], how), (first, batched | {"data_format": "channels_first"})]
    for x, options in cases:
        got, want = mine(x, **options), theirs(x, **options)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=2e-5)
    if name in ("resize", "rgb_to_grayscale", "pad_images", "crop_images"):
        got, want = np.asarray(mine(BYTES, **how)), np.asarray(theirs(BYTES, **how))
        assert got.dtype == want.dtype
        assert np.abs(got.astype(int) - want.astype(int)).max() <= 1  # .5 rounds either way


def test_measures_volumes_and_coordinates():
    other, volume = PICTURE[::-1], RNG.normal(size=(2, 5, 6, 4, 2)).astype("float32")
    mine, theirs = ops.image, keras.ops.image
    calls = [
        lambda image: image.sobel_edges(PICTURE),
        lambda image: image.sobel_edges(PICTURE.transpose(0, 3, 1, 2), "channels_first"),
        lambda image: image.ssim(PICTURE, other, filter_size=5),
        lambda image: image.ssim(PICTURE[0] * 255, other[0] * 255, max_val=255.0, filter_size=7, filter_sigma=1.0),
        lambda image: image.extract_patches_3d(volume, (2, 3, 1), strides=(1, 2, 2)),
        lambda image: image.extract_patches(volume[0], (2, 2, 2), padding="same", dilation_rate=1),
        lambda image: image.scale_and_translate(
            PICTURE[0], (12, 8, 3), np.array([1.5, 0.7], "float32"), np.array([0.5, -1.0], "float32"), (0, 1), "linear"
        ),
        *(
            lambda image, order=order, fill=fill: image.map_coordinates(
                PICTURE[0, ..., 0], RNG_PLACES, order, fill, 0.4
            )
            for order, fill in ((0, "constant"), (1, "constant"), (1, "reflect"), (1, "mirror"), (0, "wrap"))
        ),
    ]
    for call in calls:
        got, want = call(mine), call(theirs)
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=3e-5)


RNG_PLACES = np.random.default_rng(4).uniform(-2, 10, (2, 6, 5)).astype("float32")


def test_elastic_transform_moves_a_little_and_by_its_seed():
    image = ops.image.elastic_transform
    np.testing.assert_allclose(image(PICTURE, alpha=0.0, seed=1), PICTURE, atol=1e-6)
    one, same, two = (image(PICTURE, alpha=5.0, sigma=1.0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - two).max() > 0.01 and one.min() >= 0 and one.max() <= 1


def test_what_keras_refuses():
    for name, x, how in [
        ("resize", PICTURE, {"size": (2, 2), "interpolation": "cubic"}),
        ("resize", PICTURE[0, 0], {"size": (2, 2)}),
        ("resize", PICTURE, {"size": (2, 2), "crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}),
        ("rgb_to_hsv", BYTES, {}), ("rgb_to_grayscale", PICTURE[..., :2], {}),
        ("pad_images", PICTURE, {"top_padding": 1, "left_padding": 1, "right_padding": 1}),
        ("pad_images", PICTURE, {"top_padding": 1, "target_height": 3, "left_padding": 1, "right_padding": 1}),
        ("crop_images", PICTURE, {"top_cropping": 8, "bottom_cropping": 8, "left_cropping": 1, "right_cropping": 1}),
        ("affine_transform", PICTURE, {"transform": TURN, "fill_mode": "edge"}),
        ("map_coordinates", PICTURE[0], {"coordinates": RNG_PLACES, "order": 1}),
        ("map_coordinates", PICTURE[0, 0], {"coordinates": RNG_PLACES, "order": 3}),
        ("perspective_transform", PICTURE, {"start_points": CORNERS, "end_points": SQUARE[:3]}),
        ("scale_and_translate", PICTURE, {
            "output_shape": (2, 4, 4, 3), "scale": TURN[:2], "translation": TURN[:2], "spatial_dims": (1, 2),
            "method": "nearest",
        }),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            getattr(ops.image, name)(x, **how)
        with pytest.raises(ValueError):
            getattr(keras.ops.image, name)(x, **how)
