"""The door: `read` turns any of them into an inert Record, `write` turns a Record into one.

Floor 2 (no JAX). The suffix says the format, as in Keras; older HDF5 layouts are known by their content.
"""

import json
from pathlib import Path

from ..base.report import FileError
from . import hdf5, keras_zip, legacy, shards, tensors
from .record import Record, local, parse, refused, regular, replacing

SUFFIXES = {
    ".weights.h5": "weights", ".weights.json": "weights in several files", ".keras": "a model",
    ".h5": "a model, the older way", ".hdf5": "a model, the older way", ".safetensors": "a model, or weights",
    ".json": "a configuration",
}  # fmt: skip
CODE = {
    "__lambda__": "Python bytecode", "TorchModuleWrapper": "a pickled PyTorch module",
    "TFSMLayer": "a TensorFlow graph from another folder", "JaxLayer": "a function that is not in the file",
    "FlaxLayer": "a module that is not in the file", "__typespec__": "a TensorFlow type",
}  # fmt: skip


def read(path, config=True, allowed=()):
    """The Record of a file, a folder, or an open binary file that holds a `.keras` archive.

    With `config=False` only the arrays are wanted, and the configuration is not looked at. Code in a
    configuration is refused by the name of its layer, unless that name is in `allowed` (the caller
    will put a function of his own there).
    """
    record = _read(path)
    if not config:
        record.config = None
    if record.config is not None:
        version = record.meta.get("keras_version") or record.config.get("keras_version") or "3"
        record.config = legacy.modern(record.config, version)
        refuse_code(record.config, path, allowed)
    return record


def _read(path):
    if hasattr(path, "read") and not isinstance(path, (str, Path)):
        return keras_zip.read_zip(path)
    path = local(path)
    name = path.name
    if path.is_dir():
        return keras_zip.read_folder(path)
    if name.endswith(".keras"):
        return keras_zip.read_zip(path)
    if name.endswith((".h5", ".hdf5")):
        arrays, attrs = hdf5.read_tree(path)
        if hdf5.is_legacy(attrs):
            return legacy.legacy_record(arrays, attrs, path)
        return hdf5.weights_record(arrays, attrs)
    if name.endswith(".safetensors"):
        return tensors.read_tensors(path)
    if name.endswith(".weights.json"):
        return shards.read_shards(path)
    if name.endswith(".json"):
        return Record(parse(regular(path).read_bytes(), path), {}, {"format": "json"})
    regular(path)
    raise unknown(path, "read")


def write(path, record, *, zipped=True, max_shard_size=None):
    """Write a Record in the format that the suffix of `path` names; the old file stays whole until the new one is.

    `zipped=False` writes a folder with the parts of a `.keras` file; `max_shard_size` (in gigabytes) cuts
    `.weights.h5` into several files with an index. An open binary file gets a `.keras` archive.
    """
    if hasattr(path, "write") and not isinstance(path, (str, Path)):
        keras_zip.write_zip(path, record)
        return
    path = local(path)
    name = path.name
    if not zipped:
        if name.endswith(".keras"):
            raise FileError(f"cannot write {path}", saw="zipped=False", want="a folder's name, without .keras")
        keras_zip.write_folder(path, record)
    elif name.endswith((".weights.json", ".weights.h5")) and (max_shard_size or name.endswith(".json")):
        shards.write_shards(path, record, max_shard_size or 5)
    elif name.endswith(".weights.h5"):
        hdf5.write_weights(path, record)
    elif name.endswith(".keras"):
        keras_zip.write_zip(path, record)
    elif name.endswith((".h5", ".hdf5")):
        legacy.write_legacy(path, record)
    elif name.endswith(".safetensors"):
        tensors.write_tensors(path, record)
    elif name.endswith(".json"):
        write_json(path, record)
    else:
        raise unknown(path, "write")


def write_json(path, record):
    with replacing(path) as new:
        new.write_text(json.dumps(record.config), encoding="utf-8")


def unknown(path, verb):
    fix = "model.export(path) writes other formats" if verb == "write" else None
    return FileError(
        f"cannot {verb} {path}: its suffix names no format", saw=repr("".join(path.suffixes)) or "no suffix",
        want=", ".join(SUFFIXES), fix=fix, code="unsupported",
    )  # fmt: skip


def refuse_code(config, where, allowed=()):
    """A FileError if a configuration asks for code to be run: nothing of it is, in this library."""
    todo = [(config, "the model")]
    while todo:
        value, owner = todo.pop()
        if isinstance(value, list):
            todo += [(item, owner) for item in value]
        if not isinstance(value, dict):
            continue
        name, inner = value.get("class_name"), value.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            owner = inner["name"]
        what = CODE.get(name) if isinstance(name, str) else None
        if name == "Lambda" and isinstance(inner, dict) and isinstance(inner.get("function"), list):
            what = CODE["__lambda__"]
        if what and owner not in allowed:
            raise refused(
                where, f"the layer {owner!r} needs {what}", saw=name, want="layers that are described, not code",
                fix=f"load_model(path, custom_objects={{{owner!r}: your_function}})", code="unsafe",
            )  # fmt: skip
        todo += [(item, owner) for item in value.values()]


__all__ = ["read", "refuse_code", "write"]
