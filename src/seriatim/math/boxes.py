"""Bounding boxes in pictures: the ways to write them, to move them, to compare them. `seriatim.utils.bounding_boxes`.

Floor 1. Boxes are (…, n, 4). In pixels, 0 is the left (upper) edge of the picture and `width` (`height`) the other
one. Each function takes every format where Keras takes some, and gives a new dict where Keras changes the one given.
"""

import jax.numpy as jnp
import numpy as np

from ..base.report import DataError, UsageError
from ..base.settings import epsilon

# a format: four numbers -> left, top, right, bottom; and back
FORMATS = {
    "xyxy": (lambda x, y, x2, y2: (x, y, x2, y2), lambda x, y, x2, y2: (x, y, x2, y2)),
    "yxyx": (lambda y, x, y2, x2: (x, y, x2, y2), lambda x, y, x2, y2: (y, x, y2, x2)),
    "xywh": (lambda x, y, w, h: (x, y, x + w, y + h), lambda x, y, x2, y2: (x, y, x2 - x, y2 - y)),
    "center_xywh": (
        lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
        lambda x, y, x2, y2: ((x + x2) / 2, (y + y2) / 2, x2 - x, y2 - y),
    ),
    "center_yxhw": (
        lambda y, x, h, w: (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
        lambda x, y, x2, y2: ((y + y2) / 2, (x + x2) / 2, y2 - y, x2 - x),
    ),
}
RELATIVE = tuple(f"rel_{name}" for name in FORMATS if name != "center_yxhw")
NAMES = (*FORMATS, *RELATIVE)


# ---- formats --------------------------------------------------------------------------------------------


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """The same boxes in the format `target`, where they were in `source`; of a dict, its "boxes".

    "xyxy": left, top, right, bottom. "yxyx": top, left, bottom, right. "xywh": left, top, width, height.
    "center_xywh", "center_yxhw": the middle and the size. "rel_…" (not for the last): in shares of the picture, whose
    `height` and `width` are then needed.

    >>> convert_format([[10, 20, 30, 60]], "xyxy", "center_xywh").tolist()
    [[20.0, 40.0, 20.0, 40.0]]
    """
    if isinstance(boxes, dict):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    source, target = checked_format(source), checked_format(target)
    boxes = four(boxes).astype(dtype)
    if source.startswith("rel_") or target.startswith("rel_"):
        check_size(height, width, f"convert_format(source={source!r}, target={target!r})")
    if source == target:
        return boxes
    edges = read(boxes, source)
    if source.startswith("rel_") and not target.startswith("rel_"):
        edges = [edge * side for edge, side in zip(edges, sides(height, width, dtype), strict=True)]
    if target.startswith("rel_") and not source.startswith("rel_"):
        edges = [edge / side for edge, side in zip(edges, sides(height, width, dtype), strict=True)]
    return write(edges, target)


def read(boxes, form):
    """left, top, right, bottom (…, 1) of boxes in a format, relative ones in shares."""
    return FORMATS[form.removeprefix("rel_")][0](*jnp.split(boxes, 4, -1))


def write(edges, form):
    """Boxes (…, 4) in a format, from left, top, right, bottom (…, 1)."""
    return jnp.concatenate(FORMATS[form.removeprefix("rel_")][1](*edges), -1)


def sides(height, width, dtype):
    """What left, top, right, bottom are shares of."""
    return [jnp.asarray(side, dtype) for side in (width, height, width, height)]


def four(boxes):
    """An array (…, 4)."""
    boxes = jnp.asarray(boxes)
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise DataError("a box is four numbers", saw=f"boxes of shape {boxes.shape}", want="(…, 4)")
    return boxes


def checked_format(form):
    """The name of a format, in small letters."""
    known = form.lower() if isinstance(form, str) else None
    if known not in NAMES:
        raise UsageError("the format of the boxes is not known", saw=repr(form), want=", ".join(NAMES))
    return known


def check_size(height, width, who):
    if height is None or width is None:
        raise UsageError(
            f"{who} needs the size of the picture", saw=f"height={height}, width={width}", fix="height=…, width=…"
        )


def in_pixels(form, who):
    """A format that needs no size of a picture."""
    form = checked_format(form)
    if form.startswith("rel_"):
        raise UsageError(f"{who} works in pixels", saw=form, fix="convert_format(boxes, …, 'xyxy', height, width)")
    return form


# ---- moves ----------------------------------------------------------------------------------------------


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """{"boxes", "labels"} with the part of each box that is inside the picture; where there is none, the label is −1.

    boxes (…, n, 4); labels (…, n), or one-hot (…, n, classes). Shares need no size.

    >>> found = {"boxes": jnp.array([[-1.0, 0.0, 3.0, 9.0], [5.0, 0.0, 6.0, 1.0]]), "labels": jnp.array([7, 8])}
    >>> clip_to_image_size(found, height=4, width=4)["labels"].tolist()
    [7, -1]
    """
    form = checked_format(bounding_box_format)
    if form.startswith("rel_"):
        height = width = 1
    check_size(height, width, "clip_to_image_size of boxes in pixels")
    boxes = four(bounding_boxes["boxes"])
    edges = [
        jnp.clip(edge, 0, side) for edge, side in zip(read(boxes, form), sides(height, width, boxes.dtype), strict=True)
    ]
    clipped = {**bounding_boxes, "boxes": write(edges, form)}
    if bounding_boxes.get("labels") is not None:
        labels = jnp.asarray(bounding_boxes["labels"])
        if jnp.issubdtype(labels.dtype, jnp.unsignedinteger):  # −1 must have a place
            labels = labels.astype(jnp.int32)
        seen = (edges[2] > edges[0]) & (edges[3] > edges[1])
        clipped["labels"] = jnp.where(seen if labels.ndim == boxes.ndim else seen[..., 0], labels, -1)
    return clipped


def affine_transform(
    boxes, angle, translate_x, translate_y, scale, shear_x, shear_y, height, width, center_x=None, center_y=None,
    bounding_box_format="xyxy",
):  # fmt: skip
    """The boxes around the corners scale · X · Y · R · (p + t − c) + c.

    boxes (b, n, 4); the others (b,), or numbers. R turns by `angle` degrees anticlockwise, Y and X slide rows by
    tan(shear_y) and columns by tan(shear_x), both in degrees; t are shares of width − 1 and height − 1, and so is the
    middle c, ½ where not given. In Keras a sign is wrong where shear_x and an angle or shear_y come together.
    """
    form = in_pixels(bounding_box_format, "affine_transform")
    turn, slide_x, slide_y = (jnp.asarray(value)[..., None] * (np.pi / 180) for value in (angle, shear_x, shear_y))
    move_x, move_y, scale = (jnp.asarray(value)[..., None] for value in (translate_x, translate_y, scale))
    middle_x = (0.5 if center_x is None else jnp.asarray(center_x)[..., None]) * (width - 1)
    middle_y = (0.5 if center_y is None else jnp.asarray(center_y)[..., None]) * (height - 1)

    def move(x, y):
        x, y = x + move_x * (width - 1) - middle_x, y + move_y * (height - 1) - middle_y
        x, y = jnp.cos(turn) * x + jnp.sin(turn) * y, jnp.cos(turn) * y - jnp.sin(turn) * x
        y = y + jnp.tan(slide_y) * x
        x = x + jnp.tan(slide_x) * y
        return scale * x + middle_x, scale * y + middle_y

    return write(around(read(four(boxes), form), move), form)


def around(edges, move):
    """left, top, right, bottom (…, n, 1) of the rectangle around the corners of a box, each gone where `move` says.

    move: x (…, n), y (…, n) -> x, y.
    """
    left, top, right, bottom = (edge[..., 0] for edge in edges)
    corners = [move(x, y) for x in (left, right) for y in (top, bottom)]
    x, y = (jnp.stack(places, -1) for places in zip(*corners, strict=True))
    return [found[..., None] for found in (x.min(-1), y.min(-1), x.max(-1), y.max(-1))]


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """The boxes in the window of `height` rows and `width` columns at (top, left), cut at its edges.

    >>> crop([[10, 20, 50, 60]], top=10, left=20, height=40, width=30).tolist()
    [[0, 10, 30, 40]]
    """
    form = in_pixels(bounding_box_format, "crop")
    x, y, x2, y2 = read(four(boxes), form)
    x, x2 = (jnp.clip(edge - left, 0, width) for edge in (x, x2))
    y, y2 = (jnp.clip(edge - top, 0, height) for edge in (y, y2))
    return write((x, y, x2, y2), form)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """The boxes after `top` rows and `left` columns were put before the picture; height and width are not read."""
    form = in_pixels(bounding_box_format, "pad")
    x, y, x2, y2 = read(four(boxes), form)
    return write((x + left, y + top, x2 + left, y2 + top), form)


def carried(found, form, before, after, move):
    """{"boxes", "labels"} in a picture of size `after`, where `move` took what was in one of size `before`.

    before, after: (height, width); move: left, top, right, bottom (b, n, 1) in pixels -> the same.
    """
    boxes = convert_format(found["boxes"], form, "xyxy", *before)
    moved = {**found, "boxes": write(move(*read(boxes, "xyxy")), "xyxy")}
    return convert_format(clip_to_image_size(moved, *after), "xyxy", form, *after)


# ---- boxes and anchors ----------------------------------------------------------------------------------


def encode_box_to_deltas(
    anchors, boxes, anchor_format, box_format, encoding_format="center_yxhw", variance=None, image_shape=None
):  # fmt: skip
    """((middle − anchor's middle) / anchor's size, log(size / anchor's size)) / variance. Ren et al., 2015.

    anchors (n, 4); boxes (n, 4) or (b, n, 4); image_shape (height, width, channels) for relative formats.
    """
    variance = checked_encoding(encoding_format, variance)
    size = image_size(image_shape)
    anchors, boxes = (
        jnp.split(convert_format(given, form, encoding_format, *size), 2, -1)
        for given, form in ((anchors, anchor_format), (boxes, box_format))
    )
    extent, anchor_extent = (jnp.maximum(pair[1], epsilon()) for pair in (boxes, anchors))
    return jnp.concatenate([(boxes[0] - anchors[0]) / anchor_extent, jnp.log(extent / anchor_extent)], -1) / variance


def decode_deltas_to_boxes(
    anchors, boxes_delta, anchor_format, box_format, encoded_format="center_yxhw", variance=None, image_shape=None
):  # fmt: skip
    """The boxes in `box_format` of which `encode_box_to_deltas` made these deltas; of dicts, entry by entry."""
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        rest = (anchor_format, box_format, encoded_format, variance, image_shape)
        return {name: decode_deltas_to_boxes(anchors[name], boxes_delta[name], *rest) for name in anchors}
    variance = checked_encoding(encoded_format, variance)
    size = image_size(image_shape)
    middle, extent = jnp.split(convert_format(anchors, anchor_format, encoded_format, *size), 2, -1)
    way, growth = jnp.split(four(boxes_delta) * variance, 2, -1)
    boxes = jnp.concatenate([way * extent + middle, jnp.exp(growth) * extent], -1)
    return convert_format(boxes, encoded_format, box_format, *size)


def checked_encoding(form, variance):
    """The four divisors of the deltas."""
    if form not in ("center_xywh", "center_yxhw"):
        raise UsageError("deltas are told from the middle", saw=repr(form), want="'center_xywh' or 'center_yxhw'")
    variance = jnp.ones(4) if variance is None else jnp.asarray(variance, jnp.float32)
    if variance.shape[-1:] != (4,):
        raise UsageError("variance has a number for each of the four deltas", saw=f"shape {variance.shape}")
    return variance


def image_size(image_shape):
    """(height, width) of a picture (height, width, channels), or of none."""
    return (None, None) if image_shape is None else tuple(image_shape[:2])


# ---- overlap --------------------------------------------------------------------------------------------


def compute_iou(boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1, image_shape=None):
    """|A ∩ B| / |A ∪ B| of each box of boxes1 with each of boxes2: (n, 4), (m, 4) -> (n, m), with or without a batch.

    use_masking: `mask_val` where one of the two lies wholly below 0, as padding does. image_shape (height, width,
    channels) for relative formats.

    >>> compute_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [0, 0, 2, 1], [3, 3, 4, 4]], "xyxy").round(3).tolist()
    [[1.0, 0.5, 0.0]]
    """
    pairs = []
    for boxes in (boxes1, boxes2):
        boxes = convert_format(boxes, bounding_box_format, "xyxy", *image_size(image_shape))
        if boxes.ndim not in (2, 3):
            raise DataError("compute_iou takes boxes with or without a batch", saw=f"boxes of shape {boxes.shape}",
                            want="(n, 4) or (b, n, 4)")  # fmt: skip
        pairs.append(boxes)
    first, second = pairs[0][..., :, None, :], pairs[1][..., None, :, :]
    shared = overlap(first, second)
    iou = shared / (area(first) + area(second) - shared + epsilon())
    if not use_masking:
        return iou
    padding = (first.max(-1) < 0) | (second.max(-1) < 0)
    return jnp.where(padding, jnp.asarray(mask_val, iou.dtype), iou)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """IoU − d² / c² − α v of each box with its counterpart: (…, 4), (…, 4) -> (…). Zheng et al., 2020.

    d: between the middles; c: the diagonal of the rectangle around both; v = (2/π · the difference of
    atan(width / height))², α = v / (1 − IoU + v). Relative formats need image_shape (Keras refuses them).
    """
    first, second = (
        convert_format(boxes, bounding_box_format, "xyxy", *image_size(image_shape)) for boxes in (boxes1, boxes2)
    )
    shared, tiny = overlap(first, second), epsilon()
    iou = shared / (area(first) + area(second) - shared + tiny)
    around_both = jnp.maximum(first[..., 2:], second[..., 2:]) - jnp.minimum(first[..., :2], second[..., :2])
    between = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    slopes = (jnp.arctan(wide / (high + tiny)) for wide, high in (extents(first), extents(second)))
    v = (4 / np.pi**2) * (next(slopes) - next(slopes)) ** 2
    distance = (between**2).sum(-1) / ((around_both**2).sum(-1) + tiny)
    return iou - distance - v * v / (1 - iou + v + tiny)


def extents(boxes):
    """(width, height) of boxes in xyxy."""
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def area(boxes):
    wide, high = extents(boxes)
    return wide * high


def overlap(first, second):
    """The area that two boxes share."""
    sides = jnp.minimum(first[..., 2:], second[..., 2:]) - jnp.maximum(first[..., :2], second[..., :2])
    return jnp.maximum(sides, 0).prod(-1)


__all__ = [
    "affine_transform", "clip_to_image_size", "compute_ciou", "compute_iou", "convert_format", "crop",
    "decode_deltas_to_boxes", "encode_box_to_deltas", "pad",
]  # fmt: skip
