"""What a model looks like: Keras's table to the letter, and pictures that are well-formed SVG."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import math
import xml.etree.ElementTree as ET

import keras
import numpy as np
import pytest

import seriatim.sequential  # noqa: F401  (puts Sequential into the registry)
from seriatim import files as saving
from seriatim import layers
from seriatim.base import settings
from seriatim.base.report import UsageError
from seriatim.train import curves, picture, summary

K = keras.layers


def build(*chain, shape=None, name=None):
    return keras.Sequential([*([K.Input(shape)] if shape else []), *chain], name=name)


MODELS = {
    "image": lambda: build(
        K.Conv2D(4, 3, activation="relu"), K.BatchNormalization(), K.MaxPooling2D(), K.Flatten(), K.Dropout(0.2),
        K.LayerNormalization(), K.Dense(300, activation="softmax"), shape=(8, 8, 2),
    ),
    "nested": lambda: build(
        K.Dense(4), build(K.Dense(5), build(K.Dense(3, name="[bold]"), name="deep"), K.ReLU(), name="inner"),
        K.Dense(1, name="a_very_long_name_that_will_have_to_be_broken_over_lines"), shape=(3,),
    ),
    "unbuilt": lambda: build(K.Flatten(), K.Dense(3), K.Dropout(0.1), K.MaxPooling1D(), K.Dense(1)),
    "half": lambda: build(K.Dense(4, dtype="float16"), K.Dense(3, dtype="mixed_bfloat16"), shape=(None, 5), name="[h]"),
    "empty": lambda: build(),
}  # fmt: skip
OPTIONS = [
    {}, {"expand_nested": True}, {"show_trainable": True}, {"line_length": 100}, {"positions": [0.3, 0.6, 1.0]},
    {"show_trainable": True, "expand_nested": True, "line_length": 120},
]  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    theirs = MODELS[request.param]()
    if request.param == "image":
        theirs.layers[0].trainable = False
    path = tmp_path_factory.mktemp("show") / "m.keras"
    theirs.save(path)
    return theirs, saving.load_model(path, compile=False)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "plain")
def test_table_is_that_of_keras(pair, options):
    theirs, ours, seen = *pair, {"theirs": [], "ours": []}
    theirs.summary(print_fn=seen["theirs"].append, **options)
    summary.print_summary(ours, print_fn=seen["ours"].append, **options)
    assert seen["ours"] == seen["theirs"]
    assert "\x1b" not in seen["ours"][0]


def test_ranges_of_layers():
    theirs = build(
        K.Dense(2, name="a1"), K.Dense(2, name="b1"), K.Dense(2, name="a2"), K.Dense(2, name="c"), shape=(2,)
    )
    ours = saving.model_from_json(theirs.to_json())
    for chosen in (["a1", "b1"], ["c", "b1"], ["a", "a"], ["a.*", "c"]):
        seen = [[], []]
        theirs.summary(print_fn=seen[0].append, layer_range=chosen)
        summary.print_summary(ours, print_fn=seen[1].append, layer_range=chosen)
        assert seen[0] == seen[1]
    for wrong in (["x", "c"], ["a"], [1, 2]):
        with pytest.raises(UsageError, match="layer_range"):
            summary.print_summary(ours, layer_range=wrong)


def test_where_the_table_goes(capsys):
    model = saving.model_from_json(build(K.Dense(2), shape=(3,)).to_json())
    summary.print_summary(model)
    assert "Total params: 8 (32.00 B)" in capsys.readouterr().out
    settings.disable_interactive_logging()
    try:
        summary.print_summary(model)
    finally:
        settings.enable_interactive_logging()
    assert "Total params: 8 (32.00 B)" in capsys.readouterr().out
    with pytest.raises(UsageError, match="line_length"):
        summary.print_summary(model, line_length=10)


class Made:
    """An optimizer that holds arrays already."""

    built = True

    def __init__(self, variables):
        self.variables = variables


def test_line_of_the_optimizer():
    theirs = build(K.Dense(2), shape=(3,))
    theirs.compile("adam", "mse")
    theirs.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    ours = saving.model_from_json(theirs.to_json())
    ours.compiled, ours.optimizer = True, Made(theirs.optimizer.variables)
    seen = [[], []]
    theirs.summary(print_fn=seen[0].append)
    summary.print_summary(ours, print_fn=seen[1].append)
    assert "Optimizer params: 18" in seen[1][0] and seen[0] == seen[1]


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1536, 1 << 20, 5e9, 1e16])
def test_sizes_in_words(size):
    assert summary.readable(size) == keras.src.utils.summary_utils.readable_memory_size(size)


def test_table_in_a_notebook(pair):
    text = summary.summary_html(pair[1], expand_nested=True, show_trainable=True)
    ET.fromstring(text.replace("<br>", "<br/>"))
    assert "script" not in text and f"{pair[0].count_params() if pair[0].built else 0:,}" in text


# ---- pictures ---------------------------------------------------------------------------------------------

NS = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{NS}text")]


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("options", [{}, {"show_dtype": True, "show_trainable": True}, {"show_shapes": False}])
def test_picture_is_well_formed_and_inside_its_sheet(pair, rankdir, options):
    model = pair[1]
    svg = picture.chain_svg(
        summary.rows(model, expand_nested=True), model.name, summary.totals(model), rankdir=rankdir, **options
    )
    root = ET.fromstring(svg)
    wide, high = float(root.get("width")), float(root.get("height"))
    for box in root.iter(f"{NS}rect"):
        x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        assert min(x, y) >= -20 and x + w <= wide and y + h <= high and min(w, h) > 0
    for name in (row.name for row in summary.rows(model)):
        assert any(name in text for text in texts(svg))
    assert "script" not in svg and "http" not in svg.replace(NS[1:-1], "")


def test_picture_says_what_was_asked():
    rows = [
        summary.Row("first <&>", "Dense", (None, 4), 20, False, input=(None, 3), dtype="float32", activation="relu")
    ]
    plain = texts(picture.chain_svg(rows))
    assert plain[1:] == ["first <&>", "Dense · relu", "(None, 4)", "20 params"]
    assert texts(picture.chain_svg(rows, show_layer_names=False, show_shapes=False, show_layer_activations=False)) == [
        "Dense"
    ]
    more = texts(picture.chain_svg(rows, show_dtype=True, show_trainable=True))
    assert "float32" in more and "frozen" in more
    assert picture.chain_svg([]).startswith("<svg")
    with pytest.raises(UsageError, match="rankdir"):
        picture.chain_svg(rows, rankdir="BT")


def test_images_are_to_scale():
    """The front of a block is as wide and as high, in proportion, as the image it stands for."""
    scale = picture.Scale([(None, 40, 20, 3), (None, 20, 10, 3)])
    for shape in ((None, 40, 20, 3), (None, 20, 10, 3)):
        wide, high = (side - scale.depth(3, 20) for side in scale.size(shape))
        assert math.isclose(high, picture.GLYPH * shape[1] / 40) and math.isclose(wide, picture.GLYPH * shape[2] / 40)
    assert picture.Scale([]).draw(None, 0, 0, "#000") == ""


def test_every_layer_has_a_colour():
    shown = {picture.family(name) for name in layers.__all__ if name[0].isupper()}
    assert {"conv", "core", "pool", "norm", "noise", "shape"} <= shown
    assert picture.family("Dense") == "core" and picture.family("MyOwn") == "own" and picture.family("ConvLSTM2D")


HISTORIES = {
    "usual": {
        "loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.2, 1.3], "accuracy": [0.1, 0.5, 0.9],
        "val_accuracy": [0.1, 0.4, 0.5],
    },
    "one epoch": {"loss": [0.5], "val_loss": [0.6]}, "constant": {"loss": [1.0, 1.0]}, "zero": {"loss": [0.0, 0.0]},
    "gaps": {"loss": [math.nan, math.inf, 1.0, -math.inf, 0.5]}, "nothing finite": {"loss": [math.nan, math.nan]},
    "wide": {"loss": [1e6, 1.0, 1e-6]}, "negative": {"loss": [-1.0, -200.0]},
    "many": {f"m{i}": [1.0, 2.0] for i in range(7)},
    "long": {"loss": list(np.exp(-np.arange(5000) / 900))}, "only validation": {"val_loss": [1.0, 2.0]},
    "uneven": {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [2.0, 1.5]}, "tiny steps": {"loss": [1.0, 1.0 + 1e-15]},
    "numpy": {"loss": np.array([1.0, 0.5], "float32")},
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("log", ["auto", True, False])
def test_curves_are_well_formed(name, log):
    svg = curves.history_svg(HISTORIES[name], title="a <b>", log=log)
    root = ET.fromstring(svg)
    assert "nan" not in svg and "inf" not in svg.replace("infinity", "")
    panels = {key for key in HISTORIES[name] if not key.startswith("val_") or key[4:] not in HISTORIES[name]}
    assert texts(svg).count("epoch") == len(panels) and float(root.get("width")) > 300


def test_curves_mark_the_best_epoch():
    svg = curves.history_svg(HISTORIES["usual"])
    assert "best val loss: 1.2 in epoch 2" in svg and "best val accuracy: 0.5 in epoch 3" in svg
    with pytest.raises(UsageError, match="nothing to draw"):
        curves.history_svg({})
