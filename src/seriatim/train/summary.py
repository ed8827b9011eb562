"""The table of a chain: each layer with its output shape and its number of parameters.

Floor 4. `rows` reads a model once into plain data; the table for a terminal (Keras's, to the letter), the
table for a notebook and the picture are drawn from those rows.
"""

import html
import math
import re
import shutil
import sys
from typing import Any, NamedTuple

from ..base import settings
from ..base.lazy import later
from ..base.report import UsageError

rich = later("rich")

UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


class Row(NamedTuple):
    """One layer, as tables and pictures show it."""

    name: str
    kind: str  # the name of its class
    output: Any = None  # its output shape, a list of shapes, or None while unknown
    params: int | None = None  # None: not built
    trainable: bool | None = None  # None: it has no weights
    depth: int = 0  # how many chains it stands in, below the first
    nested: bool = False  # a chain; the rows after it, one deeper, are its layers
    input: Any = None
    dtype: str | None = None
    activation: str | None = None
    family: str = ""  # the file that its class is from: core, conv, norm, …


class Totals(NamedTuple):
    """How many numbers there are, and how many bytes they take: (count, bytes) of each sort."""

    trainable: tuple
    fixed: tuple
    optimizer: tuple | None = None

    @property
    def all(self):
        parts = [part for part in self if part is not None]
        return sum(n for n, _ in parts), sum(size for _, size in parts)


# ---- reading a model ------------------------------------------------------------------------------


def rows(model, expand_nested=False, depth=0, layers=None):
    """The rows of a model's layers; with `expand_nested`, of the layers of its chains too."""
    shapes = getattr(model, "shapes", None) or []
    found = []
    for i, layer in enumerate(model.layers):
        if layers is not None and not any(layer is one for one in layers):
            continue
        before, after = (shapes[i], shapes[i + 1]) if i + 1 < len(shapes) else (None, None)
        inner = getattr(layer, "layers", None)
        found.append(row(layer, before, after, depth, bool(inner)))
        if expand_nested and inner:
            found += rows(layer, True, depth + 1)
    return found


AT_ONCE = re.compile(
    "|".join((
        "(Global)?(Max|Average)Pooling[123]D", "(Spatial|Gaussian|Alpha)?Dropout([123]D)?", "GaussianNoise",
        "Activation", "ActivityRegularization", "ELU", "ReLU", "LeakyReLU", "Softmax", "Identity", "Masking", "Reshape",
        "UnitNormalization",
    ))
)  # fmt: skip
# Layers that Keras counts as built before they know a shape: their row says 0, not "0 (unbuilt)".


def row(layer, before=None, after=None, depth=0, nested=False):
    built = getattr(layer, "built", True) and (after is not None or bool(layer.weights))
    params = layer.count_params() if built else 0 if AT_ONCE.fullmatch(type(layer).__name__) else None
    activation = getattr(layer, "activation", None)
    return Row(
        name=layer.name, kind=type(layer).__name__, output=after, input=before, depth=depth, nested=nested,
        params=params,
        trainable=bool(layer.trainable) if built and layer.weights else None,
        dtype=str(getattr(layer, "compute_dtype", "")) or None,
        activation=getattr(activation, "__name__", None) or getattr(activation, "name", None),
        family=type(layer).__module__.rpartition(".")[2],
    )  # fmt: skip


def totals(model):
    """The counts under the table; the optimizer's only once it holds arrays."""
    optimizer = getattr(model, "optimizer", None) if getattr(model, "compiled", False) else None
    slots = None
    if optimizer is not None and getattr(optimizer, "built", False):
        slots = optimizer.listed(optimizer.present()) if hasattr(optimizer, "listed") else optimizer.variables
    return Totals(
        weigh(model.trainable_weights), weigh(model.non_trainable_weights), None if slots is None else weigh(slots)
    )


BITS = {"bfloat16": 16, "bool": 8, "int4": 4, "uint4": 4}


def weigh(arrays):
    """(how many numbers, how many bytes) in arrays, or in anything with a shape and a dtype."""
    count = size = 0
    for array in arrays:
        numbers, kind = math.prod(array.shape), str(array.dtype)
        bits = BITS.get(kind) or int(re.sub(r"^\D+", "", kind).split("_")[0] or 32)
        count, size = count + numbers, size + numbers * bits / 8
    return count, size


def readable(size):
    """1536 -> '1.50 KB'"""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} {UNITS[-1]}"


def between(layers, layer_range):
    """The layers from the first whose name matches one expression to the last that matches the other."""
    if layer_range is None:
        return list(layers)
    names = [layer.name for layer in layers]
    if len(layer_range) != 2 or not all(isinstance(word, str) for word in layer_range):
        raise UsageError("layer_range is two names", saw=repr(layer_range), want="[first, last], names or expressions")
    first, last = ([i for i, name in enumerate(names) if re.match(word, name)] for word in layer_range)
    if not first or not last:
        raise UsageError("layer_range matches no layer", saw=repr(layer_range), want=", ".join(names))
    if min(first) > max(last):
        first, last = last, first
    return list(layers)[min(first) : max(last) + 1]


# ---- Keras's table ----------------------------------------------------------------------------------


def print_summary(
    model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None
):
    """Print the table of a model, or hand its text to `print_fn` in one piece, free of control codes.

    The columns, words and numbers are those of Keras 3.15.1.
    """
    chosen = between(model.layers, layer_range)
    table = grid(rows(model, expand_nested, layers=chosen), line_length, positions, show_trainable)
    if print_fn is None and not settings.is_interactive_logging_enabled():
        print_fn = sys.stdout.write
    if print_fn is None:
        show(rich.console.Console(highlight=False), model.name, table, totals(model))
        return
    console = rich.console.Console(highlight=False, force_terminal=False, color_system=None)
    console.begin_capture()
    show(console, model.name, table, totals(model))
    print_fn(console.end_capture())


def show(console, name, table, counts):
    console.print(f'[bold]Model: "{rich.markup.escape(name)}"[/]')
    console.print(table)
    for title, part in named(counts):
        console.print(f"[bold] {title}: [/]{number(f'{part[0]:,}')} ({readable(part[1])})")


def named(counts):
    """(title, (count, bytes)) of each line under the table."""
    lines = [("Total params", counts.all), ("Trainable params", counts.trainable)]
    lines += [("Non-trainable params", counts.fixed)]
    return lines + ([("Optimizer params", counts.optimizer)] if counts.optimizer is not None else [])


def grid(rows, line_length=None, positions=None, show_trainable=False):
    """The rows as a table of rich."""
    header = [("Layer (type)", "left"), ("Output Shape", "left"), ("Param #", "right")]
    positions, usual = list(positions or (0.45, 0.80, 1.0)), 88
    if show_trainable:
        header, usual = [*header, ("Trainable", "center")], usual + 12
        positions = [place * 0.90 for place in positions] + [1.0]
    line_length = line_length or min(usual, shutil.get_terminal_size().columns - 4)
    ends = [int(place * line_length) for place in positions]
    widths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if min(widths) < 4:
        raise UsageError("the table does not fit", saw=f"columns of {widths} characters", fix="a larger line_length")
    columns = [
        rich.table.Column(title, justify=justify, width=width)
        for (title, justify), width in zip(header, widths, strict=True)
    ]
    table = rich.table.Table(*columns, width=line_length, show_lines=True)
    for row in rows:
        table.add_row(*cells(row)[: len(columns)])
    return table


def cells(row):
    indent = "   " * row.depth + "└ " if row.depth else ""
    name = f"{rich.markup.escape(indent + row.name)} ([color(33)]{rich.markup.escape(row.kind)}[/])"
    params = f"{number(0)} (unbuilt)" if row.params is None else number(f"{row.params:,}")
    marks = {None: "[bold]-[/]", True: "[bold][color(34)]Y[/][/]", False: "[bold][color(9)]N[/][/]"}
    return name, shape_text(row.output, number), params, marks[row.trainable]


def number(value):
    return f"[color(45)]{value}[/]" if value is None else f"[color(34)]{value}[/]"


def shape_text(shape, mark=str):
    """`(None, 10)`; a list of shapes in brackets; `?` while it is not known."""
    if shape is None:
        return "?"
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{name}: {shape_text(part, mark)}" for name, part in shape.items()) + "}"
    if all(size is None or isinstance(size, int) for size in shape):
        return f"({', '.join(mark(size) for size in shape)})"
    if len(shape) == 1:
        return shape_text(shape[0], mark)
    return f"[{', '.join(shape_text(part, mark) for part in shape)}]"


# ---- the table in a notebook --------------------------------------------------------------------------

STYLE = {
    "table": "border-collapse:collapse;margin:.4em 0;font:13px/1.5 system-ui,sans-serif;color:inherit",
    "th": "text-align:{};padding:.3em 1em .3em 0;border-bottom:1px solid #8886;font-weight:600",
    "td": "text-align:{};padding:.25em 1em .25em 0;border-bottom:1px solid #8882;white-space:nowrap",
    "code": "font:12px ui-monospace,SFMono-Regular,Menlo,monospace;color:inherit;background:none",
    "kind": "opacity:.65",
}


def summary_html(model, expand_nested=False, show_trainable=False):
    """The table as plain HTML: no script, the colours of the page around it."""
    found = rows(model, expand_nested)
    titles = ["Layer (type)", "Output Shape", "Param #"] + ["Trainable"] * show_trainable
    sides = ["left", "left", "right", "center"]
    head = "".join(f'<th style="{STYLE["th"].format(side)}">{t}</th>' for t, side in zip(titles, sides, strict=False))
    body = "".join(f"<tr>{_html_cells(row, sides, show_trainable)}</tr>" for row in found)
    lines = "<br>".join(
        f"{title}: <b>{count:,}</b> <span style='{STYLE['kind']}'>({readable(size)})</span>"
        for title, (count, size) in named(totals(model))
    )
    return (
        f'<div style="font:13px/1.5 system-ui,sans-serif"><b>Model: &quot;{html.escape(model.name)}&quot;</b>'
        f'<table style="{STYLE["table"]}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{lines}</div>'
    )


def _html_cells(row, sides, show_trainable):
    indent = f"<span style='padding-left:{1.5 * row.depth - 1}em'>└ </span>" if row.depth else ""
    texts = [
        f"{indent}{html.escape(row.name)} <span style='{STYLE['kind']}'>({html.escape(row.kind)})</span>",
        f"<code style='{STYLE['code']}'>{html.escape(shape_text(row.output))}</code>",
        "0 (unbuilt)" if row.params is None else f"{row.params:,}",
    ]
    if show_trainable:
        texts.append({None: "-", True: "Y", False: "N"}[row.trainable])
    return "".join(f'<td style="{STYLE["td"].format(s)}">{t}</td>' for t, s in zip(texts, sides, strict=False))


__all__ = ["Row", "Totals", "between", "grid", "print_summary", "rows", "summary_html", "totals"]
