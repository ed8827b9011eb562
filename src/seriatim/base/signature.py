"""Axes as a line of text: `"b h w c -> b h w filters"`, read once, matched against shapes.

Floor 0. `...` stands for any number of axes. What a signature says first is how many axes an input has.
"""

from .report import UsageError

WORDS = {
    "b": "batch", "t": "time", "h": "height", "w": "width", "d": "depth",
    "c": "channels", "k": "kernel", "v": "vocabulary",
}  # fmt: skip


def input_axes(signature):
    """`"b t c -> b units"` -> `["b", "t", "c"]`."""
    return signature.split("->")[0].split()


def check_rank(layer, signature, shape):
    """A UsageError in the user's words if `shape` has a number of axes that the layer cannot take."""
    axes = input_axes(signature)
    fixed = [axis for axis in axes if axis != "..."]
    fits = len(shape) >= len(fixed) if "..." in axes else len(shape) == len(fixed)
    if not fits:
        least = "at least " if "..." in axes else ""
        raise UsageError(
            f"{layer.name} ({type(layer).__name__}) cannot take an input of {len(shape)} axes",
            at=getattr(layer, "_birthplace", None),
            saw=f"an input of shape {shape}",
            want=f"{least}{len(fixed)} axes: ({', '.join(WORDS.get(axis, axis) for axis in axes)})",
            fix=rank_fix(layer, len(fixed), shape),
        )


def rank_fix(layer, wanted, shape):
    """One line that mends the usual causes."""
    kind = type(layer).__name__
    if wanted == len(shape) + 1 and kind.startswith("Conv") or "Pooling" in kind:
        return "give the data a channel axis: x = x[..., None]" if len(shape) < wanted else None
    if kind in ("LSTM", "GRU", "SimpleRNN", "Bidirectional") and len(shape) == 2:
        return "return_sequences=True in the recurrent layer before, or a time axis for the data: x = x[..., None]"
    if kind in ("SelfAttention", "TransformerBlock", "PositionalEmbedding") and len(shape) == 2:
        return f"Embedding(…) before {layer.name} for whole numbers; or a time axis: x = x[..., None]"
    if len(shape) > wanted:
        return f"put Flatten() or a Global…Pooling before {layer.name}"
    return None
