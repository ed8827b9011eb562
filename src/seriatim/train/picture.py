"""A chain as a picture: one card a layer, arrows between, and beside them what flows, drawn to scale.

Floor 4. Plain SVG written here, so nothing need be installed: no script, no image, readable on light and
on dark pages. Everything is drawn from the rows of `summary.rows`.
"""

import html
import math
import re
from typing import NamedTuple

from ..base.report import UsageError
from .summary import readable, shape_text

SANS = "system-ui,-apple-system,'Segoe UI',Inter,Roboto,'Helvetica Neue',Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
QUIET = "#707d95"  # legible on white and on black
FAMILIES = (  # the first that matches the class name gives the colour
    ("pool", "Pool", "#e09f2d"), ("conv", "Conv", "#14a08f"), ("norm", "Norm", "#8b6cf0"),
    ("noise", "Drop|Noise|Regulari", "#8794a8"), ("recurrent", "LSTM|GRU|RNN|Bidirectional|TimeDistributed", "#ef6c3a"),
    ("activation", r"ReLU|ELU|Softmax|Activation|Swish|Sigmoid", "#e4568b"),
    ("augment", "Random|Mix|Resizing|Rescaling|Crop|Hash|Lookup|Encod|Discret|Vectoriz|Spectro|Contrast", "#6ba539"),
    ("shape", "Flatten|Reshape|Permute|Repeat|Padding|Sampling|Masking|Identity|InputLayer", "#3fa3cf"),
    ("attention", "Attention|TransformerBlock", "#b0417e"), ("embed", "Embedding", "#5b5fe0"),
    ("core", "Dense", "#3f7bf2"), ("chain", "Sequential|Pipeline|Residual|Concat|Chain", "#64748b"),
    ("own", "", "#c158d6"),
)  # fmt: skip
DARK = (
    "@media (prefers-color-scheme:dark){.s-card{fill:#1b2230;stroke:#38445a}.s-name{fill:#f1f4f9}"
    ".s-text{fill:#a9b4c6}.s-mono{fill:#d5dcea}.s-group{fill:#ffffff;fill-opacity:.03}}"
)
GAP, GLYPH, PAD = 28, 76, 16


class Card(NamedTuple):
    """One box: its lines of text, each (left, right), and its size."""

    row: object
    left: list  # [(text, class)]
    right: list
    wide: float
    high: float


def family(kind):
    """The group of layers that a class belongs to, for its colour."""
    return next(name for name, pattern, _ in FAMILIES if re.search(pattern, kind))


def color(kind):
    return next(shade for _, pattern, shade in FAMILIES if re.search(pattern, kind))


def chain_svg(
    rows, title=None, counts=None, show_shapes=True, show_dtype=False, show_layer_names=True, rankdir="TB",
    show_layer_activations=True, show_trainable=False,
):  # fmt: skip
    """The picture of a chain as the text of an SVG file.

    rows: from `summary.rows(model, expand_nested)`; rows one deeper than a chain's stand in a frame.
    title: the model's name. counts: from `summary.totals(model)`. The options are those of Keras's `plot_model`.
    """
    if rankdir not in ("TB", "LR"):
        raise UsageError("rankdir is not known", saw=repr(rankdir), want="'TB' (top to bottom) or 'LR' (left to right)")
    rows = list(rows)
    options = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    scale = Scale([rows[0].input, *(row.output for row in rows)] if rows and show_shapes else [])
    total = sum(row.params or 0 for row in rows if not row.depth)
    draw = Column if rankdir == "TB" else Line
    cards = [card(row, *options, stacked=rankdir == "LR") for row in rows]
    board = draw(rows, cards, scale, total if show_shapes else 0)
    parts = board.run(entry(rows, show_shapes))
    return sheet(parts, board.width, board.height, title, counts, len([row for row in rows if not row.depth]))


def entry(rows, show_shapes):
    return rows[0].input if rows and show_shapes else None


# ---- text -----------------------------------------------------------------------------------------


def card(row, shapes, dtype, names, activations, trainable, stacked=False):
    """What a layer's box says: names at the left, numbers at the right, or all in one column."""
    left = [(row.name, "name"), (row.kind, "text")] if names else [(row.kind, "name")]
    if activations and row.activation and row.activation != "linear":
        word, style = left[-1]
        left[-1:] = [(f"{word} · {row.activation}", style)] if names else [(word, style), (row.activation, "text")]
    right = []
    if shapes:
        params = "not built" if row.params is None else f"{row.params:,} params" if row.params else ""
        right = [(shape_text(row.output), "mono"), (params, "text")]
    if dtype:
        right.append((row.dtype or "?", "text"))
    if trainable and row.trainable is not None:
        left.append(("trainable" if row.trainable else "frozen", "yes" if row.trainable else "no"))
    right = [item for item in right if item[0]]
    if stacked:
        left, right = [*left[:2], *right, *left[2:]], []
    lines = max(len(left), len(right), 1)
    gap = 28 if right else 0
    wide = 2 * PAD + 6 + max(measure(*item) for item in left) + gap + max((measure(*item) for item in right), default=0)
    return Card(row, left, right, max(wide, 120), 22 + 19 * lines)


def measure(text, style):
    """How wide a text will be, roughly: fonts differ, so a little more than they need."""
    each = {"mono": 7.4, "name": 8.3}.get(style, 6.9)
    return each * len(text)


def words(x, y, text, style, anchor="start"):
    if not text:
        return ""
    size, weight, fill, font = {
        "name": (14, 600, "#16202e", SANS), "text": (12, 400, "#5d6a7e", SANS), "mono": (12, 400, "#2c3a4f", MONO),
        "title": (17, 650, QUIET, SANS), "note": (12, 400, QUIET, SANS), "yes": (11, 600, "#1d9a5b", SANS),
        "no": (11, 600, "#d64545", SANS), "label": (12, 600, QUIET, SANS),
    }[style]  # fmt: skip
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="s-{style}" font-family="{font}" font-size="{size}" '
        f'font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">{html.escape(text)}</text>'
    )


def box(place, x, y, wide, high, share):
    """A card at (x, y): a stripe in the colour of its family, the text, and its share of all parameters."""
    shade = color(place.row.kind)
    parts = [
        f'<rect class="s-card" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="9" fill="#ffffff" '
        f'stroke="#d5dbe5"/>',
        f'<rect x="{x + 7:.1f}" y="{y + 9:.1f}" width="4" height="{high - 18:.1f}" rx="2" fill="{shade}"/>',
    ]
    for side, items in (("start", place.left), ("end", place.right)):
        top = y + high / 2 - 9.5 * len(items)
        at = x + PAD + 4 if side == "start" else x + wide - PAD + 2
        for i, (text, style) in enumerate(items):
            parts.append(words(at, top + 19 * i + 14, text, style, side))
    if share > 0.01:
        length = share * (wide - 2 * PAD - 2)
        parts.append(
            f'<rect x="{x + PAD + 4:.1f}" y="{y + high - 6:.1f}" width="{length:.1f}" height="2" rx="1" '
            f'fill="{shade}" opacity=".55"><title>{share:.1%} of all parameters</title></rect>'
        )
    return "".join(parts)


def arrow(x1, y1, x2, y2):
    """A line from one box to the next, with its head."""
    dx, dy = (0, 1) if x1 == x2 else (1, 0)
    tip = f"{x2:.1f},{y2:.1f} {x2 - 7 * dx - 4 * dy:.1f},{y2 - 7 * dy - 4 * dx:.1f} "
    tip += f"{x2 - 7 * dx + 4 * dy:.1f},{y2 - 7 * dy + 4 * dx:.1f}"
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2 - 6 * dx:.1f}" y2="{y2 - 6 * dy:.1f}" stroke="#93a0b4" '
        f'stroke-width="1.5"/><polygon points="{tip}" fill="#93a0b4"/>'
    )


# ---- what flows, to scale ---------------------------------------------------------------------------


class Scale:
    """One scale for all shapes of a chain: sides of images and lengths of series in proportion, depth by log."""

    def __init__(self, shapes):
        known = [sizes(shape) for shape in shapes]
        self.any = any(known)
        self.side = max((max(found[:-1]) for found in known if len(found) > 2), default=1)
        self.time = max((found[0] for found in known if len(found) == 2), default=1)
        self.deep = max((found[-1] for found in known if found), default=1)

    def depth(self, n, most):
        return most * math.log2(n + 1) / math.log2(self.deep + 1)

    def size(self, shape):
        """(width, height) of the drawing of `shape`."""
        found = sizes(shape)
        if len(found) > 2:
            off = self.depth(found[-1], 20)
            return max(3.0, GLYPH * found[-2] / self.side) + off, max(3.0, GLYPH * found[-3] / self.side) + off
        if len(found) == 2:
            return max(4.0, 96 * found[0] / self.time), max(4.0, self.depth(found[1], 34))
        return (max(5.0, self.depth(found[0], 96)), 8.0) if found else (0.0, 0.0)

    def draw(self, shape, x, y, shade):
        """The drawing of one sample of `shape`, its upper left corner at (x, y)."""
        found, (wide, high) = sizes(shape), self.size(shape)
        if not found:
            return ""
        label = f"<title>{html.escape(shape_text(shape))}</title>"
        if len(found) > 2:
            return f"<g>{label}{solid(x, y, wide, high, self.depth(found[-1], 20), shade)}</g>"
        lines = ticks(x, y, wide, high, found[0])
        radius = 2 if len(found) == 1 else 1.5
        face = f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="{radius}" fill="{shade}" '
        return f'<g>{label}{face}fill-opacity=".28" stroke="{shade}" stroke-width="1"/>{lines.format(shade)}</g>'


def sizes(shape):
    """The sizes of one sample, without the batch axis; open axes count as 1. () if it cannot be drawn."""
    if not isinstance(shape, (tuple, list)) or len(shape) < 2:
        return ()
    if not all(n is None or isinstance(n, int) for n in shape):
        return ()
    return tuple(max(n or 1, 1) for n in shape[1:])


def solid(x, y, wide, high, off, shade):
    """A block seen from the front, from above and from the right; `off` is how deep it looks."""
    w, h = wide - off, high - off
    front = f"{x},{y + off} {x + w},{y + off} {x + w},{y + high} {x},{y + high}"
    top = f"{x},{y + off} {x + off},{y} {x + wide},{y} {x + w},{y + off}"
    side = f"{x + w},{y + off} {x + wide},{y} {x + wide},{y + h} {x + w},{y + high}"
    faces = ((front, 0.34), (top, 0.2), (side, 0.5))
    return "".join(
        f'<polygon points="{" ".join(f"{float(a):.1f},{float(b):.1f}" for a, b in pairs(face))}" fill="{shade}" '
        f'fill-opacity="{alpha}" stroke="{shade}" stroke-width=".9" stroke-linejoin="round"/>'
        for face, alpha in faces
    )


def pairs(points):
    return [point.split(",") for point in points.split()]


def ticks(x, y, wide, high, count):
    """Marks between the cells of a short series or vector."""
    if not 1 < count <= 24 or wide / count < 3:
        return ""
    marks = "".join(f"M{x + wide * i / count:.1f} {y:.1f}v{high:.1f}" for i in range(1, count))
    return f'<path d="{marks}" stroke="{{}}" stroke-width=".8" stroke-opacity=".7" fill="none"/>'


# ---- the two directions -----------------------------------------------------------------------------


class Board:
    """Where the cards go. Subclasses say in which direction; frames around inner chains come from the depths."""

    def __init__(self, rows, cards, scale, total):
        self.rows, self.cards, self.scale, self.total = rows, cards, scale, total
        self.open = []  # [(row, start along the chain, number of parts drawn when it opened)]
        self.deepest = max((row.depth for row in rows), default=0)
        self.width = self.height = 0.0

    def framed(self, i):
        """True for a chain whose layers follow as rows of their own."""
        return i + 1 < len(self.rows) and self.rows[i + 1].depth > self.rows[i].depth

    def share(self, row):
        return (row.params or 0) / self.total if self.total else 0

    def run(self, entry):
        """The parts of the drawing; sets `width` and `height`."""
        parts, place = self.start(entry)
        for i, row in enumerate(self.rows):
            while self.open and row.depth <= self.open[-1][0].depth:
                place = self.close(parts, place)
            if self.open and self.open[-1][0].kind == "Concat":
                self.last = None  # its chains all get the same input: nothing flows from one to the next
            if self.framed(i):
                self.open.append((row, place, len(parts)))
                place += 34
                continue
            place = self.put(parts, i, place)
        while self.open:
            place = self.close(parts, place)
        self.finish(place)
        return parts


class Column(Board):
    """From top to bottom, what flows at the right."""

    def start(self, entry):
        self.inset = 14 * self.deepest
        self.wide = max((one.wide for one in self.cards), default=160)
        self.middle = self.inset + self.wide / 2
        self.last = None
        parts = []
        if entry is None:
            return parts, 0.0
        text = f"input  {shape_text(entry)}"
        wide, high = measure(text, "mono") + 28, 28
        glyph = self.scale.size(entry)
        room = max(high, glyph[1])
        top = (room - high) / 2
        parts.append(
            f'<rect x="{self.middle - wide / 2:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high}" rx="14" '
            f'fill="none" stroke="#93a0b4" stroke-dasharray="4 3"/>'
        )
        parts.append(words(self.middle, top + 18.5, text, "note", "middle"))
        parts.append(self.flow(entry, room / 2, "#8794a8"))
        self.last = top + high
        return parts, room + GAP

    def flow(self, shape, middle, shade):
        wide, high = self.scale.size(shape)
        self.beside = max(getattr(self, "beside", 0.0), wide)
        return self.scale.draw(shape, self.inset * 2 + self.wide + 26, middle - high / 2, shade)

    def put(self, parts, i, place):
        one, row = self.cards[i], self.rows[i]
        room = max(one.high, self.scale.size(row.output)[1] if self.scale.any else 0)
        top = place + (room - one.high) / 2
        if self.last is not None:
            parts.append(arrow(self.middle, self.last + 2, self.middle, top - 2))
        parts.append(box(one, self.inset, top, self.wide, one.high, self.share(row)))
        if self.scale.any:
            parts.append(self.flow(row.output, place + room / 2, color(row.kind)))
        self.last = top + one.high
        return place + room + GAP

    def close(self, parts, place):
        row, top, index = self.open.pop()
        edge = self.inset - 14 * (self.deepest - row.depth)
        left, wide = max(edge, 14 * row.depth), self.wide + 2 * (self.inset - max(edge, 14 * row.depth))
        high = place - GAP + 12 - top
        parts.insert(index, frame(left, top, wide, high, row))
        self.last = top + high
        return top + high + GAP

    def finish(self, place):
        self.width = self.wide + 2 * self.inset + (26 + getattr(self, "beside", 0) if self.scale.any else 0)
        self.height = max(place - GAP, 0)


class Line(Board):
    """From left to right, what flows above."""

    def start(self, entry):
        self.inset = 14 * self.deepest
        self.high = max((one.high for one in self.cards), default=40)
        tall = [self.scale.size(row.output)[1] for row in self.rows] + [self.scale.size(entry)[1]]
        self.above = max(tall) + 18 if self.scale.any else 0
        self.top = self.above + self.inset + 22 * self.deepest
        self.middle = self.top + self.high / 2
        self.last = None
        if entry is None:
            return [], self.inset
        text = shape_text(entry)
        wide = measure(text, "mono") + 28
        parts = [
            f'<rect x="0.5" y="{self.middle - 14:.1f}" width="{wide:.1f}" height="28" rx="14" fill="none" '
            f'stroke="#93a0b4" stroke-dasharray="4 3"/>',
            words(wide / 2, self.middle + 4.5, text, "note", "middle"), self.flow(entry, wide / 2, "#8794a8"),
        ]  # fmt: skip
        self.last = wide
        return parts, wide + GAP + 6

    def flow(self, shape, middle, shade):
        wide, high = self.scale.size(shape)
        return self.scale.draw(shape, middle - wide / 2, self.above - 18 - high, shade)

    def put(self, parts, i, place):
        one, row = self.cards[i], self.rows[i]
        flow = self.scale.size(row.output)[0] if self.scale.any else 0
        wide = max(one.wide, flow)
        if self.last is not None:
            parts.append(arrow(self.last + 2, self.middle, place - 2, self.middle))
        parts.append(box(one, place, self.top, wide, self.high, self.share(row)))
        if self.scale.any:
            parts.append(self.flow(row.output, place + wide / 2, color(row.kind)))
        self.last = place + wide
        return place + wide + GAP + 6

    def close(self, parts, place):
        row, left, index = self.open.pop()
        under = 12 + 14 * (self.deepest - row.depth - 1)
        top, right = self.top - under - 22, place - GAP - 6 + 12
        parts.insert(index, frame(left, top, right - left, self.high + 2 * under + 22, row))
        self.last = right
        return right + GAP + 6

    def finish(self, place):
        self.width, self.height = max(place - GAP - 6, 0) + self.inset, self.top + self.high + self.inset + 1


def frame(x, y, wide, high, row):
    """The frame around the layers of an inner chain, with its name."""
    label = f"{row.name}  ({row.kind})" + {"Residual": " · x is added", "Concat": " · side by side"}.get(row.kind, "")
    return (
        f'<rect class="s-group" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="12" fill="#64748b" '
        f'fill-opacity=".07" stroke="#93a0b4" stroke-dasharray="5 4"/>' + words(x + 14, y + 20, label, "label")
    )


# ---- the sheet --------------------------------------------------------------------------------------


def sheet(parts, wide, high, title=None, counts=None, layers=None):
    """The whole SVG: a heading, then the parts, with a margin."""
    margin, head, top = 20, [], 0
    if title:
        note = f"{layers} layer{'s' * (layers != 1)}" if layers is not None else ""
        if counts is not None:
            count, size = counts.trainable[0] + counts.fixed[0], counts.trainable[1] + counts.fixed[1]
            note += f" · {count:,} parameters · {readable(size)}"
        head, top = [words(0, 16, title, "title"), words(0, 36, note, "note")], 58 if note else 34
        wide = max(wide, measure(note, "note"), 10 * len(title))
    width, height = math.ceil(wide + 2 * margin), math.ceil(high + top + 2 * margin)
    name = html.escape(title or "chain")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{name}"><title>{name}</title><style>{DARK}</style>'
        f'<g transform="translate({margin} {margin})">{"".join(head)}'
        f'<g transform="translate(0 {top})">{"".join(parts)}</g></g></svg>\n'
    )


__all__ = ["chain_svg", "family", "sheet"]
