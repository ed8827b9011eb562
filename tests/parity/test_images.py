"""The layers for pictures beside Keras 3.15.1: the same change for the same draw, and draws of the same spread."""

import jax
import keras
import numpy as np
import pytest
import scipy.ndimage

import seriatim
from seriatim import layers
from seriatim.base.report import SeriatimErrors
from seriatim.layers.augment import ImageLayer
from seriatim.math import images as pictures
from seriatim.math import warps

from .beside import ours, same_places, same_shapes, same_words, theirs

# coordinates of float32 are exact to about 1e-5 of a cell, and neighbouring cells differ by up to 255
NEAR = {"rtol": 1e-5, "atol": 0.02}

DRAWN = {  # arguments of the layers that draw, for pictures of 0 to 255
    "RandomFlip": {}, "RandomRotation": {"factor": 0.3}, "RandomBrightness": {"factor": (-0.3, 0.5)},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.2}, "RandomInvert": {"factor": 0.4},
    "RandomZoom": {"height_factor": (-0.4, 0.3), "width_factor": 0.2}, "RandomColorDegeneration": {"factor": 0.6},
    "RandomShear": {"x_factor": 0.3, "y_factor": (0.1, 0.5)}, "RandomContrast": {"factor": (0.4, 0.7)},
    "RandomPerspective": {"factor": 0.8, "scale": 0.6}, "RandomHue": {"factor": 0.7},
    "RandomErasing": {"factor": (0.4, 0.9), "fill_value": 7.0}, "RandomSaturation": {"factor": (0.1, 0.5)},
    "RandomSharpness": {"factor": 0.9}, "RandomPosterization": {"factor": (2, 7)}, "MixUp": {"alpha": 0.6},
    "RandomGaussianBlur": {"kernel_size": (5, 3), "sigma": (0.3, 1.0)}, "CutMix": {"factor": (0.7, 0.7)},
    "Solarization": {"addition_factor": (0.0, 0.3), "threshold_factor": (0.0, 0.8)},
}  # fmt: skip
OTHERS = {
    "Resizing": {"height": 4, "width": 6}, "CenterCrop": {"height": 4, "width": 6}, "AutoContrast": {},
    "RandomCrop": {"height": 4, "width": 6, "seed": 3}, "RandomGrayscale": {}, "RandAugment": {"factor": (0.1, 0.4)},
    "ContrastLimitedAdaptiveHistogramEqualization": {}, "RandomElasticTransform": {"scale": 0.7}, "Equalization": {},
    "RandomColorJitter": {"hue_factor": 0.2, "contrast_factor": (0, 0.5)}, "AugMix": {"all_ops": False, "alpha": 0.5},
    "MaxNumBoundingBoxes": {"max_number": 5},
}  # fmt: skip
EVERY = {**DRAWN, **OTHERS}


def picture(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def test_every_layer_for_pictures_is_here():
    public = (getattr(layers, name) for name in layers.__all__)
    assert {kind.__name__ for kind in public if isinstance(kind, type) and issubclass(kind, ImageLayer)} == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_words_places_shapes(name):
    arguments = EVERY[name]
    same_places(name)
    symmetric = name != "RandomShear"  # Keras does not read what it writes for a number
    same_words(name, arguments if symmetric else {"x_factor": (0.1, 0.3)})
    same_words(name, {**arguments, "data_format": "channels_first", "dtype": "mixed_bfloat16"})
    for shape in ((None, 8, 9, 3), (8, 9, 3)):
        same_shapes(name, arguments, shape)


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_change_for_the_same_draw(name):
    """What Keras has drawn, done by both, channels last or first in turn; three ways to fill and look."""
    data_format = ("channels_last", "channels_first")[list(DRAWN).index(name) % 2]
    shape = (5, 12, 9, 3) if data_format == "channels_last" else (5, 3, 12, 9)
    x = picture(*shape)
    for turn in range(3 if name in ("RandomRotation", "RandomTranslation", "RandomZoom", "RandomShear") else 1):
        arguments = {**DRAWN[name], "data_format": data_format}
        if turn:
            arguments["fill_mode"] = ("nearest", "wrap", "constant")[turn]
        if turn == 2:
            arguments |= {"interpolation": "nearest", "fill_value": 9.0}
        mine, real = ours(name, **arguments), theirs(name, **arguments, seed=turn)
        drawn = real.get_random_transformation(x, training=True)
        want = np.asarray(real.transform_images(x, drawn, training=True))
        flat = {"batch_masks": np.moveaxis(np.asarray(drawn["batch_masks"]), 1, -1)} if "batch_masks" in drawn else {}
        drawn |= flat if data_format == "channels_first" else {}
        if name == "RandomErasing":
            drawn["fill_value"] = 7.0
        np.testing.assert_allclose(mine.transform_images(x, drawn), want, **NEAR)
        labels = np.eye(5, dtype="float32")
        np.testing.assert_allclose(
            mine.transform_labels(labels, drawn), real.transform_labels(labels, drawn, training=True), atol=1e-6
        )


SPREAD = (
    "RandomRotation", "RandomTranslation", "RandomZoom", "RandomShear", "RandomPerspective", "RandomErasing",
    "RandomContrast", "RandomHue", "RandomPosterization", "CutMix",
)  # fmt: skip


@pytest.mark.parametrize("name", SPREAD)
def test_draws_of_the_same_spread(name):
    """Two samples of 4000: their distributions differ by less than 2.2 · √(2 / 4000), which 1 of 10⁴ would exceed."""
    n, shape = 4000, (4000, 12, 9, 3)
    if name in ("RandomErasing", "CutMix"):
        n, shape = 1000, (1000, 12, 9, 1)
    drawn = ours(name, **DRAWN[name], seed=1).get_random_transformation(np.broadcast_to(np.float32(0), shape))
    real = theirs(name, **DRAWN[name], seed=1).get_random_transformation(np.zeros(shape, "float32"), training=True)
    compared = 0
    fixed = {"start_points", "permutation_order", "rotation_matrix", "fill_value", "input_shape"}
    for key in set(drawn) & set(real) - fixed:
        a, b = (np.asarray(one[key], "float64") for one in (drawn, real))
        if key == "batch_masks":
            a, b = (np.sum(one[..., :1], (1, 2, 3)) for one in (a, b))  # areas
        if key == "blur_factor":
            continue  # two numbers for a batch
        a, b = (one.reshape(n, -1)[:, -1] for one in (a, b))
        places = np.concatenate([a, b])
        apart = np.abs(np.mean(a[:, None] <= places, 0) - np.mean(b[:, None] <= places, 0)) if n < 2000 else ks(a, b)
        assert np.max(apart) < 2.2 * np.sqrt(2 / n), key
        compared += 1
    assert compared


def ks(a, b):
    """How far the two empirical distribution functions are apart."""
    places = np.sort(np.concatenate([a, b]))
    return np.abs(
        np.searchsorted(np.sort(a), places, "right") / len(a) - np.searchsorted(np.sort(b), places, "right") / len(b)
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"])
def test_resizing(interpolation):
    whole = np.random.default_rng(0).integers(0, 256, (2, 7, 11, 3)).astype("uint8")
    for height, width, more in (
        (3, 14, {}), (4, 5, {"antialias": True}), (9, 5, {"crop_to_aspect_ratio": True}),
        (3, 4, {"pad_to_aspect_ratio": True, "fill_value": 3}),
    ):  # fmt: skip
        arguments = {"height": height, "width": width, "interpolation": interpolation, **more}
        mine, real = ours("Resizing", **arguments), theirs("Resizing", **arguments)
        np.testing.assert_allclose(mine(whole.astype("float32")), real(whole.astype("float32")), **NEAR)
        if interpolation == "bilinear":
            assert mine(whole).dtype == np.uint8
            if not more.get("pad_to_aspect_ratio"):  # there Keras makes floats of whole numbers
                np.testing.assert_array_equal(mine(whole), real(whole))
    first = {"height": 3, "width": 4, "data_format": "channels_first", "pad_to_aspect_ratio": True}
    x = picture(3, 9, 5)
    np.testing.assert_allclose(ours("Resizing", **first)(x), theirs("Resizing", **first)(x), **NEAR)


def test_layers_that_draw_nothing():
    x = picture(3, 13, 10, 3)
    x[0, ..., 1] = 40.0  # one value everywhere
    for height, width in ((4, 5), (5, 4), (13, 10), (20, 6)):
        arguments = {"height": height, "width": width}
        np.testing.assert_allclose(ours("CenterCrop", **arguments)(x), theirs("CenterCrop", **arguments)(x), **NEAR)
    np.testing.assert_allclose(ours("AutoContrast")(x), theirs("AutoContrast")(x), **NEAR)
    grey = {"factor": 1.0}
    np.testing.assert_allclose(ours("RandomGrayscale", **grey)(x), theirs("RandomGrayscale", **grey)(x), **NEAR)
    for bins, scale in ((16, 255), (8, 1)):  # few bins, one channel: Keras's work grows with both
        arguments = {"value_range": (0, 255 // scale), "bins": bins}
        mine, real = ours("Equalization", **arguments), theirs("Equalization", **arguments)
        want = [real(one[None, ..., 1:2] / scale)[0] for one in x[:2]]  # Keras takes a batch for one picture
        np.testing.assert_allclose(mine(x[:2, ..., 1:2] / scale), want, rtol=1e-5, atol=0.02 / scale)
    for arguments in ({"tile_grid_size": (3, 2), "clip_limit": 2.0}, {"clip_limit": 0.0, "tile_grid_size": (1, 4)}):
        name = "ContrastLimitedAdaptiveHistogramEqualization"
        mine, real = ours(name, **arguments), theirs(name, **arguments)
        np.testing.assert_allclose(mine(x), real(x), **NEAR)
    assert ours(name)(x.astype("uint8")).dtype == np.uint8


def test_elastic_transform():
    """Each cell moves by alpha · sigma · noise under a bell cut at about three sigma, in SciPy's words."""
    x, noise, alpha, sigma = picture(2, 20, 17, 2), np.random.default_rng(1).normal(size=(2, 20, 17, 2)), 6.0, 1.7
    noise = noise.astype("float32")
    for largest in (None, 4.0):
        got = warps.elastic_transform(x, noise, alpha, np.float32(sigma), largest)
        for i in range(2):
            cut = int(6 * sigma) // 2
            bell = [scipy.ndimage.gaussian_filter(noise[i, ..., k], sigma, mode="constant", radius=cut) for k in (0, 1)]
            rows, columns = np.mgrid[:20, :17]
            places = [rows + alpha * sigma * bell[0], columns + alpha * sigma * bell[1]]
            want = [scipy.ndimage.map_coordinates(x[i, ..., c], places, order=1, mode="reflect") for c in (0, 1)]
            np.testing.assert_allclose(got[i], np.stack(want, -1), rtol=1e-4, atol=0.2)


def test_functions_beside_keras_ops():
    x = picture(2, 11, 8, 3) / 255
    for name in ("rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb"):
        np.testing.assert_allclose(getattr(pictures, name)(x), getattr(keras.ops.image, name)(x), rtol=1e-5, atol=1e-6)
    for size, sigma in (((3, 5), (0.7, 1.2)), ((11, 13), (2.0, 3.0))):
        want = keras.ops.image.gaussian_blur(x, size, sigma, data_format="channels_last")
        np.testing.assert_allclose(pictures.blurred(x, sigma, (size[0] // 2, size[1] // 2)), want, atol=1e-6)
    for size, strides, dilation, padding in (
        ((3, 2), (2, 3), 1, "valid"),
        ((3, 3), None, 1, "same"),
        ((2, 3), (1, 1), 2, "valid"),
    ):
        want = keras.ops.image.extract_patches(x, size, strides, dilation, padding)
        np.testing.assert_allclose(pictures.extract_patches(x, size, strides, dilation, padding), want, atol=1e-6)
    for fill in warps.FILLS:
        transform = np.array([[0.8, 0.3, 2.1, -0.4, 1.3, -3.7, 0, 0], [1.5, 0, -9.2, 0.1, 0.6, 12.3, 0, 0]], "float32")
        look = "nearest" if fill == "mirror" else "bilinear"
        want = keras.ops.image.affine_transform(x, transform, look, fill, 0.3)
        np.testing.assert_allclose(warps.affine_transform(x, transform, look, fill, 0.3), want, atol=2e-5)


def test_drawn_layers_stay_in_range_and_choose_evenly():
    x = picture(8, 16, 16, 3)
    flips = layers.RandomFlip("vertical", seed=5).get_random_transformation(np.zeros((4000, 2, 2, 1)))["flips"]
    assert abs(np.mean(flips) - 0.5) < 4 * np.sqrt(0.25 / 4000)
    which = layers.RandAugment(num_ops=3000, seed=1).get_random_transformation(x)["layer_idxes"]
    assert np.all(np.abs(np.bincount(which, minlength=11) / 3000 - 1 / 11) < 4 * np.sqrt(1 / 11 / 3000))
    layer = layers.RandAugment(num_ops=1, seed=1)
    drawn = layer.get_random_transformation(x)
    once = jax.jit(lambda place: layer.change(x, {**drawn, "layer_idxes": place[None]}))
    for place, part in enumerate(layer.parts.values()):
        y = np.asarray(once(np.int32(place)))
        assert y.min() >= -1e-3 and y.max() <= 255 + 1e-3 and not np.array_equal(x, y)
        if part.name in ("auto_contrast", "equalization"):
            np.testing.assert_allclose(y, part(x), **NEAR)
    starts = layers.RandomCrop(3, 16, seed=1).get_random_transformation(np.zeros((4000, 16, 16, 1)))
    assert set(np.asarray(starts["h_start"])) == set(range(14)) and set(np.asarray(starts["w_start"])) == {0}
    crop = layers.RandomCrop(4, 5, seed=1)
    np.testing.assert_allclose(crop(x, training=False), theirs("CenterCrop", height=4, width=5)(np.asarray(
        pictures.resize(pictures.crop_to_ratio(x, 4, 5), 4, 5))), **NEAR)  # fmt: skip
    drawn = crop.get_random_transformation(x)
    top, left = int(drawn["h_start"][3]), int(drawn["w_start"][3])
    np.testing.assert_array_equal(crop.transform_images(x, drawn)[3], x[3, top : top + 4, left : left + 5])


@pytest.mark.parametrize("name", ["RandomFlip", "RandomZoom", "RandomHue", "RandomCrop", "Resizing", "AutoContrast"])
def test_seeds_single_pictures_rest(name):
    """One seed, one sequence of draws; a picture alone; nothing at rest, unless the layer draws nothing."""
    x = picture(4, 16, 12, 3)
    whole, arguments = x.astype("uint8"), {k: v for k, v in EVERY[name].items() if k != "seed"}
    seeded = "seed" in ours(name, **arguments).constructor
    one, two = (ours(name, **arguments, **({"seed": 9} if seeded else {})) for _ in range(2))
    first, second = one(whole), one(whole)
    np.testing.assert_array_equal(first, two(whole))
    np.testing.assert_array_equal(second, two(whole, training=True))
    if one.only_in_training:
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(one(whole, training=False), whole)
    assert first.dtype == (np.uint8 if name == "Resizing" else np.float32)
    assert one(x[0]).shape == first.shape[1:]
    assert two.compute_output_shape((16, 12, 3)) == first.shape[1:]


def test_dicts():
    """Images, labels and masks go together; what the layer does not know stays."""
    x = picture(4, 16, 12, 3)
    masks = (x[..., :1] > 128).astype("int32") * 3
    data = {"images": x, "labels": np.eye(4), "segmentation_masks": masks, "names": list("abcd")}
    for name in ("RandomFlip", "RandomZoom", "RandomErasing", "RandomCrop", "Resizing", "RandomBrightness", "MixUp"):
        got = ours(name, **EVERY[name])(data)
        assert got["names"] is data["names"] and set(got) == set(data)
        assert got["segmentation_masks"].shape[:3] == got["images"].shape[:3]
        if name != "MixUp":
            assert set(np.unique(got["segmentation_masks"])) <= {0, 3}
        np.testing.assert_allclose(np.sum(got["labels"], 1), 1, rtol=1e-5)
    flipped = layers.RandomFlip("horizontal", seed=0)({"images": masks, "segmentation_masks": masks})
    np.testing.assert_array_equal(flipped["images"], flipped["segmentation_masks"])
    assert flipped["segmentation_masks"].dtype == np.int32
    one = layers.RandomRotation(0.2)({"images": x[0], "labels": np.eye(4)[0], "segmentation_masks": masks[0]})
    assert one["images"].shape == (16, 12, 3) and one["labels"].shape == (4,)


def test_what_cannot_work_says_so():
    x, y = picture(4, 8, 8, 3), np.arange(4)
    boxes = {"images": x, "bounding_boxes": {"boxes": np.zeros((4, 1, 4)), "labels": np.zeros((4, 1))}}
    for call, word in (
        (lambda: layers.RandomFlip()(boxes), "bounding boxes"), (lambda: layers.RandomFlip()({"labels": y}), "images"),
        (lambda: layers.MixUp()({"images": x, "labels": y}), "one-hot"),
        (lambda: layers.RandomHue(0.1)(x[..., :2]), "3 channels"),
        (lambda: layers.AugMix()({"images": x, "segmentation_masks": x}), "RandAugment"),
        (lambda: layers.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "at most one"),
        (lambda: layers.RandomZoom(-1.0), "from -1 to 1"), (lambda: layers.RandomGaussianBlur(kernel_size=4), "odd"),
        (lambda: layers.RandomRotation(0.1)(x[0, 0]), "4 axes"),
    ):  # fmt: skip
        with pytest.raises(SeriatimErrors) as caught:
            call()
        assert word in str(caught.value)
    model = seriatim.Sequential([seriatim.Input((8, 8, 3)), layers.MixUp(), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    assert model.predict(x, verbose=0).shape == (4, 1)
    with pytest.raises(SeriatimErrors, match="mixes the labels"):
        model.fit(x, y.astype("float32"), verbose=0)


def test_in_a_chain(tmp_path):
    """Augmented in training, still at rest; the same seeds give the same fit; a file keeps the arguments."""

    def fitted():
        seriatim.utils.set_random_seed(3)
        model = seriatim.Sequential([
            seriatim.Input((12, 12, 3)), layers.Rescaling(1 / 255), layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1), layers.RandAugment((0, 1), factor=0.2), layers.RandomCrop(10, 10, seed=4),
            layers.Flatten(), layers.Dense(2, activation="softmax"),
        ])  # fmt: skip
        model.compile("adam", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (16, 12, 12, 3)).astype("uint8"), rng.integers(0, 2, 16)
        history = model.fit(x, y, epochs=2, batch_size=8, verbose=0)
        return model, x, history.history["loss"]

    model, x, losses = fitted()
    assert losses == fitted()[2]
    first = model.predict(x, verbose=0)
    np.testing.assert_array_equal(first, model.predict(x, verbose=0))
    flip = seriatim.Sequential([layers.RandomFlip()])  # called without a word about training: as in Keras, it augments
    assert not np.array_equal(flip(x), x) and np.array_equal(flip(x, training=False), x)
    model.save(tmp_path / "pictures.keras")
    again = seriatim.models.load_model(tmp_path / "pictures.keras")
    np.testing.assert_array_equal(first, again.predict(x, verbose=0))
    assert [one.get_config() for one in again.layers] == [one.get_config() for one in model.layers]
