"""The story of a training as a picture: one panel a quantity, training and validation in each.

Floor 4. Plain SVG from a dict of lists, as `History.history` is; no plotting library is needed.
"""

import html
import math

from ..base.report import UsageError
from .picture import MONO, QUIET, SANS, sheet, words

TRAIN, VALIDATION = "#3f7bf2", "#ef6c3a"
WIDE, HIGH, ACROSS = 330, 190, 3  # the inside of a panel, and how many stand side by side
LEFT, RIGHT, ABOVE, BELOW = 52, 58, 34, 36
FALLING = ("loss", "error", "mse", "mae", "rmse", "mape", "msle", "perplexity", "divergence", "entropy")


def history_svg(history, title=None, log="auto"):
    """The curves of a training as the text of an SVG file.

    history: {name: [one number an epoch]}, or a History; `val_` before a name means validation.
    log: True or False for the scale of all panels; "auto" takes a log scale where values span 1 : 100.

    >>> history_svg({"loss": [2.0, 1.0]}).startswith("<svg")
    True
    """
    history = getattr(history, "history", history)
    names = [name for name in history if not name.startswith("val_") or name[4:] not in history]
    names = [name for name in names if len(history[name])]
    if not names:
        raise UsageError("there is nothing to draw", saw=f"a history of {list(history)}", want="{'loss': [0.7, …]}")
    parts = []
    for i, name in enumerate(names):
        x, y = (i % ACROSS) * (LEFT + WIDE + RIGHT + 12), (i // ACROSS) * (ABOVE + HIGH + BELOW + 18)
        inside = panel(name, history[name], history.get(f"val_{name}"), log)
        parts.append(f'<g transform="translate({x + LEFT} {y + ABOVE})">{inside}</g>')
    across, down = min(len(names), ACROSS), -(-len(names) // ACROSS)
    wide = across * (LEFT + WIDE + RIGHT + 12) - 12
    return sheet(parts, wide, down * (ABOVE + HIGH + BELOW + 18) - 18, title)


def panel(name, train, validation, log):
    """One quantity: the frame with its scales, the curves, the best epoch."""
    curves = [("train", TRAIN, list(map(float, train)))]
    if validation is not None and len(validation):
        curves.append(("val", VALIDATION, list(map(float, validation))))
    values = [v for _, _, curve in curves for v in curve if math.isfinite(v)]
    epochs = max(len(curve) for _, _, curve in curves)
    axis = Axis(values, log)

    def across(i):
        return WIDE * (i / (epochs - 1) if epochs > 1 else 0.5)

    parts = [words(0, -14, name.replace("_", " "), "label"), grid(axis, epochs, across)]
    ends = spread([axis.at(last(curve)) for _, _, curve in curves])
    for (label, shade, curve), end in zip(curves, ends, strict=True):
        parts.append(line(curve, across, axis, shade))
        parts.append(small(WIDE + 9, end + 4, label, shade, "start", 600))
    parts.append(best(name, curves[-1], across, axis))
    return "".join(parts)


class Axis:
    """The vertical scale of a panel: linear or logarithmic, with a little air above and below."""

    def __init__(self, values, log):
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        self.log = low > 0 and (high / low > 100 if log == "auto" else bool(log))
        low, high = (math.log10(low), math.log10(high)) if self.log else (low, high)
        room = (high - low or abs(high) or 1.0) * 0.06
        self.low, self.high = low - room, high + room

    def at(self, value):
        """How far below the upper edge a value stands; None if it cannot be shown."""
        if value is None or not math.isfinite(value) or (self.log and value <= 0):
            return None
        value = math.log10(value) if self.log else value
        return HIGH * (1 - (value - self.low) / (self.high - self.low))

    def marks(self):
        """Values for the grid: round numbers, or powers of ten."""
        if self.log and self.high - self.low >= 1:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            return [10.0**p for p in powers][:: max(1, len(powers) // 5)]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        step = round_step((high - low) / 4)
        return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def round_step(step, firsts=(1, 2, 2.5, 5, 10)):
    """The next of 1, 2, 2.5, 5, 10, 20, … above `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * k for k in firsts if power * k >= step * 0.999)


def short(value):
    """A number for an axis: 0.25, 1200, 1e-05."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def grid(axis, epochs, across):
    parts = []
    for mark in axis.marks():
        y = axis.at(mark)
        parts.append(f'<path d="M0 {y:.1f}H{WIDE}" stroke="#8794a8" stroke-opacity=".25"/>')
        parts.append(small(-9, y + 4, short(mark), QUIET, "end"))
    step = max(1, int(round_step(max(epochs - 1, 1) / 6, (1, 2, 5, 10))))
    inner = [i for i in range(step - 1, epochs, step) if step * 0.6 <= i < epochs - max(step // 2, 1)]
    for i in sorted({0, epochs - 1, *inner}):
        parts.append(small(across(i), HIGH + 18, str(i + 1), QUIET, "middle"))
    parts.append(f'<path d="M0 {HIGH}H{WIDE}" stroke="#8794a8" stroke-opacity=".7"/>')
    parts.append(small(WIDE / 2, HIGH + 33, "epoch", QUIET, "middle"))
    return "".join(parts)


def line(curve, across, axis, shade):
    """The curve; a value that is not finite leaves a gap."""
    path, pen = "", "M"
    for i, value in enumerate(curve):
        y = axis.at(value)
        path += f"{pen}{across(i):.1f} {y:.1f}" if y is not None else ""
        pen = "M" if y is None else "L"
    dots = ""
    if len(curve) <= 12:
        points = [(across(i), axis.at(value)) for i, value in enumerate(curve) if axis.at(value) is not None]
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{shade}"/>' for x, y in points)
    return (
        f'<path d="{path}" fill="none" stroke="{shade}" stroke-width="2" stroke-linejoin="round" '
        f'stroke-linecap="round"/>{dots}'
    )


def best(name, curve, across, axis):
    """A ring around the best epoch of the last curve, with its value."""
    label, shade, values = curve
    finite = [(value, i) for i, value in enumerate(values) if axis.at(value) is not None]
    if not finite or name in ("learning_rate", "lr"):
        return ""
    falling = any(word in name for word in FALLING)
    value, i = min(finite) if falling else max(finite, key=lambda item: (item[0], -item[1]))
    x, y = across(i), axis.at(value)
    anchor = "end" if x > WIDE - 60 else "start" if x < 40 else "middle"
    above = y > 26 and not (falling and y < HIGH - 30)
    text = f"{value:.4g}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="none" stroke="{shade}" stroke-width="1.6">'
        f"<title>best {html.escape(label)} {html.escape(name)}: {value:.6g} in epoch {i + 1}</title></circle>"
        + small(x, y - 10 if above else y + 19, text, shade, anchor, 600)
    )


def spread(ends, least=13):
    """The heights of the labels at the right, moved apart where they would overlap."""
    ends = [HIGH / 2 if end is None else end for end in ends]
    if len(ends) == 2 and abs(ends[0] - ends[1]) < least:
        middle, sign = sum(ends) / 2, 1 if ends[0] >= ends[1] else -1
        return [middle + sign * least / 2, middle - sign * least / 2]
    return ends


def last(curve):
    return next((value for value in reversed(curve) if math.isfinite(value)), None)


def small(x, y, text, shade, anchor, weight=400):
    font = MONO if text[:1].isdigit() or text[:1] == "-" else SANS
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="{font}" font-size="11" font-weight="{weight}" fill="{shade}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )


__all__ = ["history_svg"]
