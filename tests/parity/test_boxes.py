"""Bounding boxes beside Keras 3.15.1: the functions, and the layers that move them, for the same draw."""

import doctest
import importlib
import itertools

import jax
import keras
import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.base.report import SeriatimErrors
from seriatim.layers import augment_size
from seriatim.utils import bounding_boxes as boxes

from .beside import ours, theirs

REAL = keras.utils.bounding_boxes
HEIGHT, WIDTH = 40, 30
# coordinates up to 40 in float32, through a division and back: a few times 40 · 2⁻²⁴
NEAR = {"rtol": 1e-5, "atol": 1e-4}


def some(*shape, seed=0, form="xyxy"):
    """Boxes (…, 4) of at least one cell inside the picture."""
    rng = np.random.default_rng(seed)
    start, end = (rng.uniform(low, high, (*shape, 2)) for low, high in ((0, 0.6), (0.65, 1)))
    edges = (np.concatenate([start, end], -1) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype("float32")
    return np.array(boxes.convert_format(edges, "xyxy", form, HEIGHT, WIDTH))


def test_formats_and_moves():
    for source, target in itertools.product(boxes.NAMES, repeat=2):
        given = some(3, form=source)
        want = REAL.convert_format(given, source, target, HEIGHT, WIDTH)
        np.testing.assert_allclose(boxes.convert_format(given, source, target.upper(), HEIGHT, WIDTH), want, **NEAR)
    wide, shares = some(2, 5) * 2 - 10, some(2, 5, form="rel_xyxy") * 2 - 0.7
    labels = np.arange(10).reshape(2, 5)
    for given, form, size in ((wide, "xyxy", (HEIGHT, WIDTH)), (shares, "rel_xyxy", ())):
        found = {"boxes": given, "labels": labels}
        mine = boxes.clip_to_image_size(found, *size, bounding_box_format=form)
        want = REAL.clip_to_image_size(dict(found), *size, bounding_box_format=form)
        np.testing.assert_allclose(mine["boxes"], want["boxes"], **NEAR)
        np.testing.assert_array_equal(mine["labels"], want["labels"])
        assert found["boxes"] is given and found["labels"] is labels
    one_hot = boxes.clip_to_image_size(
        {"boxes": wide - 60, "labels": np.ones((2, 5, 3), "uint8")}, HEIGHT, WIDTH, "center_xywh"
    )
    assert np.all(np.asarray(one_hot["labels"]) == -1)
    np.testing.assert_allclose(boxes.crop(wide, 3, 4, 20, 10), REAL.crop(wide, 3, 4, 20, 10), **NEAR)
    np.testing.assert_allclose(boxes.pad(wide, 3, 4), REAL.pad(wide, 3, 4), **NEAR)
    drawn = [np.array(pair, "float32") for pair in ((20, -70), (0.1, -0.3), (0.2, 0), (0.7, 1.5), (0, 0), (10, -20))]
    for shear_x, angle in ((0, 1), (25, 0)):  # in Keras the two do not go together
        turn, *rest = drawn
        rest[-2] = rest[-2] + np.float32(shear_x)
        rest[-1] = rest[-1] * angle
        arguments = (wide, turn * angle, *rest, HEIGHT, WIDTH)
        np.testing.assert_allclose(
            boxes.affine_transform(*arguments), REAL.affine_transform(*arguments), rtol=1e-4, atol=1e-3
        )
    both = boxes.affine_transform(some(1, 1), [30.0], [0.0], [0.0], [2.0], [20.0], [10.0], HEIGHT, WIDTH)
    t, x, y = np.deg2rad([30, 20, 10])
    matrix = 2 * np.array([[1, np.tan(x)], [0, 1]]) @ [[1, 0], [np.tan(y), 1]]
    matrix = matrix @ [[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]
    left, top, right, bottom = some(1, 1)[0, 0]
    middle = np.array([[(WIDTH - 1) / 2], [(HEIGHT - 1) / 2]])
    corners = matrix @ (np.array([[left, left, right, right], [top, bottom, top, bottom]]) - middle) + middle
    np.testing.assert_allclose(both[0, 0], [*corners.min(1), *corners.max(1)], **NEAR)


def test_anchors_and_overlap():
    anchors, given, shape = some(5, seed=1, form="yxyx"), some(2, 5, form="rel_xywh"), (HEIGHT, WIDTH, 3)
    words = ("yxyx", "rel_xywh", "center_xywh", [0.1, 0.1, 0.2, 0.2], shape)
    deltas = boxes.encode_box_to_deltas(anchors, given, *words)
    np.testing.assert_allclose(deltas, REAL.encode_box_to_deltas(anchors, given, *words), rtol=1e-4, atol=1e-4)
    back = boxes.decode_deltas_to_boxes({1: anchors}, {1: deltas}, *words)[1]
    np.testing.assert_allclose(back, given, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, REAL.decode_deltas_to_boxes(anchors, deltas, *words), rtol=1e-4, atol=1e-4)
    few, many, padded = some(2, 3), some(4, seed=2), some(2, 3)
    padded[:, 1] = -1
    for one, two in ((few, many), (many, few)):
        np.testing.assert_allclose(boxes.compute_iou(one, two, "xywh"), REAL.compute_iou(one, two, "xywh"), atol=1e-6)
    masked = boxes.compute_iou(padded, few, "xyxy", use_masking=True, mask_val=-7)
    np.testing.assert_allclose(masked, REAL.compute_iou(padded, few, "xyxy", use_masking=True, mask_val=-7), atol=1e-6)
    assert np.all(np.asarray(masked)[:, 1] == -7)
    for one, two in ((few, few[:, ::-1]), (few + 50, padded * 0)):
        np.testing.assert_allclose(
            boxes.compute_ciou(one, two, "xyxy"), REAL.compute_ciou(one, two, "xyxy"), rtol=1e-4, atol=1e-5
        )
    shares = boxes.compute_ciou(some(2, 3, form="rel_yxyx"), some(2, 3, seed=3, form="rel_yxyx"), "rel_yxyx", shape)
    np.testing.assert_allclose(shares, boxes.compute_ciou(few, some(2, 3, seed=3), "xyxy"), rtol=1e-4, atol=1e-5)


MOVES = [
    ("RandomFlip", {}, "rel_yxyx"),
    ("RandomRotation", {"factor": 0.3}, "xyxy"),
    ("RandomTranslation", {"height_factor": (0.7, 1.0), "width_factor": 0.3}, "center_yxhw"),
    ("RandomZoom", {"height_factor": (-0.6, 0.6), "width_factor": 0.5}, "yxyx"),
    ("RandomPerspective", {"factor": 0.7, "scale": 0.6}, "xyxy"), ("Resizing", {"height": 25, "width": 50}, "rel_xywh"),
    ("Resizing", {"height": 80, "width": 80, "pad_to_aspect_ratio": True}, "center_xywh"),
    ("CenterCrop", {"height": 20, "width": 12}, "xyxy"), ("CenterCrop", {"height": 60, "width": 30}, "xywh"),
    ("RandomBrightness", {"factor": 0.2}, "xywh"),
    ("MaxNumBoundingBoxes", {"max_number": 6, "fill_value": 7}, "xyxy"),
]  # fmt: skip


def test_layers_move_boxes_as_keras_does():
    """What Keras has drawn, done by both; boxes, and the labels of those that are gone."""
    images, labels = np.zeros((6, HEIGHT, WIDTH, 3), "float32"), np.arange(1, 19).reshape(6, 3)
    gone = 0
    for name, arguments, form in MOVES:
        arguments = {**arguments, "bounding_box_format": form}
        real, mine = theirs(name, **arguments), ours(name, **arguments)
        assert mine.get_config()["bounding_box_format"] == form
        found = {"boxes": some(6, 3, seed=5, form=form), "labels": labels}
        if mine.only_in_training:
            drawn = real.get_random_transformation(images, training=True)
            want = real.transform_bounding_boxes(
                {**found, "boxes": keras.ops.array(found["boxes"])}, drawn, training=True
            )
            drawn = {"input_shape": images.shape, **(drawn if isinstance(drawn, dict) else {})}
            done = mine.transform_bounding_boxes(found, drawn)
            rest = mine({"images": images, "bounding_boxes": found}, training=False)["bounding_boxes"]
            np.testing.assert_array_equal(rest["boxes"], found["boxes"])
        else:
            want = real({"images": images, "bounding_boxes": dict(found)})["bounding_boxes"]
            done = mine({"images": images, "bounding_boxes": found})["bounding_boxes"]
        np.testing.assert_allclose(done["boxes"], want["boxes"], rtol=1e-4, atol=2e-3, err_msg=name)
        np.testing.assert_array_equal(done["labels"], want["labels"], err_msg=name)
        gone += np.sum(np.asarray(done["labels"]) == -1)
    assert gone


WITH_PIXELS = [
    ("RandomFlip", {}), ("RandomRotation", {"factor": 0.5, "fill_mode": "constant"}),
    ("RandomTranslation", {"height_factor": 0.6, "width_factor": 0.6, "fill_mode": "constant"}),
    ("RandomZoom", {"height_factor": 0.3, "fill_mode": "constant"}), ("RandomPerspective", {"scale": 0.7}),
    ("RandomShear", {"x_factor": 0.4, "y_factor": 0.3, "fill_mode": "constant"}),
    ("RandomCrop", {"height": 30, "width": 28}),
    ("Resizing", {"height": 50, "width": 40, "crop_to_aspect_ratio": True}), ("Resizing", {"height": 70, "width": 35}),
]  # fmt: skip


def test_boxes_go_with_the_pixels():
    """A bright rectangle in each picture: after the layer its box is around what is bright.

    To two cells: one for where a corner is in its cell, one for a corner of a turned rectangle that is less than half
    bright. A rectangle that is cut off at the edge has lost corners that its box still reaches for.
    """
    rng = np.random.default_rng(0)
    images, given = np.zeros((8, 60, 48, 1), "float32"), []
    for image in images:
        top, left = rng.integers(0, 30, 2)
        image[top : top + 18, left : left + 12] = 1
        given.append([[left, top, 12, 18]])
    found = {"boxes": np.array(given, "float32"), "labels": np.zeros((8, 1), "int32")}
    for first, (name, arguments) in zip(itertools.cycle([True, False]), WITH_PIXELS, strict=False):
        data_format = "channels_first" if first else "channels_last"
        seed = {"seed": 1} if "seed" in ours(name, **arguments).constructor else {}
        layer = ours(name, **arguments, **seed, data_format=data_format, bounding_box_format="xywh")
        done = layer({"images": np.moveaxis(images, -1, 1) if first else images, "bounding_boxes": found})
        pictures = np.asarray(done["images"])[:, 0] if first else np.asarray(done["images"])[..., 0]
        for picture, (x, y, w, h), label in zip(
            pictures, np.asarray(done["bounding_boxes"]["boxes"])[:, 0], done["bounding_boxes"]["labels"], strict=True
        ):
            rows, columns = np.nonzero(picture > 0.5)
            if not len(rows):
                assert label == -1 or min(w, h) < 1.5
                continue
            bright = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            box, (high, wide) = np.array([x, y, x + w, y + h]), picture.shape
            assert np.all((box - bright) * [1, 1, -1, -1] <= 2), name  # around it
            if x > 0 and y > 0 and x + w < wide and y + h < high:
                np.testing.assert_allclose(box, bright, atol=2, err_msg=name)


def test_several_at_once():
    """RandAugment moves the boxes by the layers that it chose; MixUp has those of both pictures; one picture alone."""
    shape, key = (4, HEIGHT, WIDTH, 3), jax.random.key(3)
    found = {"boxes": some(4, 2), "labels": np.ones((4, 2), "int32")}
    layer = layers.RandAugment(num_ops=1, bounding_box_format="xyxy")
    moved = jax.jit(lambda i: layer.rebox(found, {"layer_idxes": i[None], "seed": key}, shape))
    for i, part in list(enumerate(layer.parts.values()))[1:4]:
        want = part.rebox(found, part.draw(jax.random.fold_in(key, 0), shape), shape)
        np.testing.assert_allclose(moved(np.int32(i))["boxes"], want["boxes"], **NEAR)
    images = np.zeros(shape, "float32")
    mixed = layers.MixUp(seed=1)({"images": images, "bounding_boxes": found})["bounding_boxes"]
    assert mixed["boxes"].shape == (4, 4, 4) and mixed["labels"].shape == (4, 4)
    one = {"images": images[0], "bounding_boxes": {name: value[0] for name, value in found.items()}}
    flipped = layers.RandomFlip(bounding_box_format="xyxy")(one)["bounding_boxes"]
    assert flipped["boxes"].shape == (2, 4) and flipped["labels"].shape == (2,)
    assert importlib.import_module("seriatim.utils.bounding_boxes") is seriatim.utils.bounding_boxes is boxes
    assert not any(doctest.testmod(module).failed for module in (boxes, augment_size))


def test_what_cannot_work_says_so():
    images, found = np.zeros((2, 8, 8, 3), "float32"), {"boxes": np.zeros((2, 1, 4)), "labels": np.zeros((2, 1))}

    def on(layer, **entries):
        return lambda: layer({"images": images, "bounding_boxes": {**found, **entries}})

    flip = layers.RandomFlip(bounding_box_format="xyxy")
    for call, word in (
        (on(layers.RandomFlip()), "bounding_box_format"), (on(layers.CutMix()), "CutMix"),
        (on(layers.AugMix()), "RandAugment"), (on(layers.RandomElasticTransform()), "rectangle"),
        (on(flip, boxes=np.zeros((1, 4)), labels=np.zeros(1)), "(b, n, 4)"),
        (on(flip, boxes=[[[0, 0, 1, 1]], []]), "MaxNumBoundingBoxes"),
        (on(flip, boxes=np.zeros((2, 1, 3))), "four numbers"),
        (lambda: flip({"images": images, "bounding_boxes": np.zeros((2, 1, 4))}), "labels"),
        (lambda: flip.transform_bounding_boxes(found, {"flips": np.ones((2, 1))}), "input_shape"),
        (lambda: layers.RandomFlip(bounding_box_format="xyzw"), "xyxy"),
        (lambda: boxes.convert_format(found["boxes"], "xyxy", "rel_xyxy"), "height"),
        (lambda: boxes.convert_format(found["boxes"], "xyxy", "xy"), "rel_xywh"),
        (lambda: boxes.crop(found["boxes"], 0, 0, 1, 1, "rel_xyxy"), "pixels"),
        (lambda: boxes.clip_to_image_size(found), "height"),
        (lambda: boxes.encode_box_to_deltas(found["boxes"], found["boxes"], *["xyxy"] * 3), "center_xywh"),
        (lambda: boxes.decode_deltas_to_boxes(*[found["boxes"]] * 2, *["xyxy"] * 2, variance=[1, 1]), "variance"),
        (lambda: boxes.compute_iou(np.zeros(4), np.zeros((1, 4)), "xyxy"), "(n, 4)"),
    ):  # fmt: skip
        with pytest.raises(SeriatimErrors) as caught:
            call()
        assert word in str(caught.value)
