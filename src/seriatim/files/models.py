"""Saving and loading a model: a Record out of it, a file; a file, a Record, a model.

Floor 2 (no JAX). A model is known by what it offers: `name`, `layers`, `weights`, `children`, `get_config`,
`get_compile_config`, `compile_from_config`, `optimizer`. Its class is found in the registry, like a layer's.
"""

import os
import warnings

from ..base import registry
from ..base.report import FileError, UsageError
from . import door, layout
from .legacy import modern
from .record import parse
from .restore import restore


def save_model(model, filepath, overwrite=True, zipped=None, include_optimizer=True, **unknown):
    """Write architecture, weights, compile arguments and optimizer state.

    The suffix says how: `.keras` (a folder with `zipped=False`), the older `.h5`, `.safetensors`. Where the
    file exists and `overwrite` is False, nothing is written (Keras asks at the terminal).
    """
    refuse("save_model", unknown)
    vacant(filepath, overwrite)
    compiled = getattr(model, "compiled", False) and include_optimizer
    optimizer = model.optimizer if compiled else None
    config = model_config(model, compiled)
    path = str(filepath)
    old = path.endswith((".h5", ".hdf5")) and zipped is not False
    if path.endswith(".weights.h5"):
        raise FileError(
            f"{path} is a name for weights alone", saw="save() with the suffix .weights.h5", want=".keras",
            fix="save_weights(path), or save('model.keras')",
        )  # fmt: skip
    take = layout.take_legacy if old else layout.take
    named = isinstance(filepath, (str, os.PathLike))
    beside = next((group for group in layout.groups(model) if layout.assets(group.owner)), None)
    if beside and named and zipped is not False and not path.endswith(".keras"):
        raise FileError(
            f"{path}: this format has no room for the vocabulary of {beside.name}", saw=path, want=".keras",
            fix="model.save('model.keras'), or vocabulary=layer.get_vocabulary() where the layer is made",
        )  # fmt: skip
    door.write(filepath, take(model, config, optimizer), zipped=zipped is not False)


def model_config(model, compiled=True):
    """The configuration of a model with what building and compiling were told."""
    config = registry.to_config(model)
    shape = config["config"].get("build_input_shape")
    config["build_config"] = {"input_shape": shape} if shape else None
    if compiled:
        config["compile_config"] = model.get_compile_config()
    return {key: value for key, value in config.items() if value is not None or key == "registered_name"}


def save_weights(model, filepath, overwrite=True, max_shard_size=None, objects_to_skip=None):
    """Write the weights alone: `.weights.h5`, `.safetensors`, or `.weights.json` and shards of so many gigabytes.

    The arrays of the layers in `objects_to_skip` are left out.
    """
    if not model.built:
        raise unbuilt(model, "save")
    path = str(filepath)
    if not path.endswith((".weights.h5", ".safetensors")) and not (max_shard_size and path.endswith(".weights.json")):
        raise UsageError(
            "a file of weights has a suffix of its own", saw=path, want="….weights.h5 or ….safetensors",
            fix=f"{path.removesuffix('.h5')}.weights.h5",
        )  # fmt: skip
    vacant(filepath, overwrite)
    optimizer = model.optimizer if getattr(model, "compiled", False) else None
    door.write(filepath, layout.take(model, None, optimizer, objects_to_skip or ()), max_shard_size=max_shard_size)


def load_weights(model, filepath, skip_mismatch=False, by_name=False, objects_to_skip=None, **unknown):
    """Read weights, ours or Keras's, from any format that holds arrays; all of them, or none if one does not fit.

    `by_name` pairs the layers of an older `.h5` file by their names; elsewhere, the layers in `objects_to_skip`
    keep what they have.
    """
    refuse("load_weights", unknown)
    if objects_to_skip is not None and str(filepath).endswith((".keras", ".hdf5", ".h5")) and not is_weights(filepath):
        raise UsageError(
            "objects_to_skip is for files of weights alone", saw=str(filepath), want="….weights.h5 or ….weights.json"
        )
    if not model.built:
        raise unbuilt(model, "load")
    record = door.read(filepath, config=False)
    if not record.arrays:
        raise FileError(f"{filepath} holds no weights", saw=record.meta.get("format"), want=".weights.h5")
    optimizer = model.optimizer if getattr(model, "compiled", False) and model.optimizer.built else None
    report(restore(model, record, filepath, optimizer, skip_mismatch, by_name, objects_to_skip or ()))


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """The model in a file of ours or of Keras 2 or 3, with its weights and, if `compile`, its optimizer's state.

    Classes are found by name among the library's own, the registered ones, and `custom_objects`; nothing is
    imported and no code in a file is run, whatever `safe_mode` says.
    """
    record = door.read(filepath, allowed=tuple(custom_objects or ()))
    if record.config is None:
        raise FileError(
            f"{filepath} holds weights, and no model", saw=record.meta.get("format"), want="a file that save() wrote",
            fix="build the model, then model.load_weights(path)",
        )  # fmt: skip
    with registry.custom_object_scope(custom_objects):
        model = revive(record.config, filepath)
        settings = record.config.get("compile_config")
        optimizer = None
        if compile and settings and settings.get("optimizer"):
            model.compile_from_config(settings)
            optimizer = model.optimizer
            if has_slots(record) and model.built and hasattr(model, "build_optimizer"):
                model.build_optimizer()
    if record.arrays or record.meta.get("assets"):
        report(restore(model, record, filepath, optimizer))
    return model


def has_slots(record):
    return "optimizer/vars/0" in record.arrays or bool(record.meta.get("legacy", {}).get("optimizer"))


def model_from_json(json_string, custom_objects=None):
    """The model that `to_json` described, with fresh weights."""
    config = parse(json_string, "the JSON text", "it")
    config = modern(config, config.get("keras_version") or "3")
    door.refuse_code(config, "the JSON text", tuple(custom_objects or ()))
    with registry.custom_object_scope(custom_objects):
        return revive(config, "the JSON text")


def revive(config, where):
    """A chain from its configuration; models that are no chains are refused by name."""
    name = config.get("class_name")
    if name in ("Functional", "Model"):
        raise FileError(
            f"{where} holds a {name} model", saw="a graph of layers", want="a Sequential: layers one after another",
            code="unsupported",
        )  # fmt: skip
    model = registry.from_config("layer", config)
    if not hasattr(model, "layers"):
        raise FileError(f"{where} holds no model", saw=f"a {name}", want="a Sequential", code="config")
    return model


def is_weights(filepath):
    return str(filepath).endswith((".weights.h5", ".weights.json"))


def refuse(function, unknown):
    if unknown:
        raise UsageError(
            f"{function}() has no argument {next(iter(unknown))!r}",
            saw=", ".join(f"{name}={value!r}" for name, value in unknown.items()),
            fix="the suffix of the path says the format" if "save_format" in unknown else None,
        )  # fmt: skip


def report(plan):
    """Say what a load has left out."""
    if plan.skipped:
        warnings.warn("not loaded: " + "; ".join(plan.skipped), stacklevel=3)


def vacant(filepath, overwrite):
    if not overwrite and isinstance(filepath, (str, os.PathLike)) and os.path.exists(filepath):
        raise FileError(f"{filepath} exists already", saw="overwrite=False", fix="overwrite=True, or another name")


def unbuilt(model, verb):
    return UsageError(
        f"{model.name} is not built yet, so it has no weights to {verb}",
        fix="start the chain with Input(shape), or call model.build(input_shape)",
    )


__all__ = ["load_model", "load_weights", "model_from_json", "save_model", "save_weights"]
