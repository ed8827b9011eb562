"""Weights in several HDF5 files: `x.weights.json` says in which of them every layer stands.

Floor 2 (no JAX). Keras's layout for `save_weights(path, max_shard_size=gigabytes)`.
"""

import json
import os
from pathlib import Path

from ..base.report import FileError
from .hdf5 import read_tree, weights_record, weights_tree, write_tree
from .record import parse, refused, regular, replacing

GIBI = 1 << 30


def read_shards(path):
    """A Record from the index file and the shards beside it."""
    path = Path(path)
    index = parse(regular(path).read_bytes(), path, "the index")
    places = index.get("weight_map")
    if not isinstance(places, dict):
        raise refused(path, "weight_map is missing", want="a file that save_weights wrote", code="config")
    files = {name for value in places.values() for name in (value if isinstance(value, list) else [value])}
    arrays, attrs = {}, {}
    for name in sorted(map(str, files)):
        if name != os.path.basename(name) or name in ("", ".", "..") or "\\" in name or not name.endswith(".h5"):
            raise refused(path, f"the index names a file elsewhere: {name!r}", want="a shard beside it", code="unsafe")
        if (path.parent / name).is_symlink():
            raise refused(path, f"the shard {name!r} is a link", code="unsafe")
        more, about = read_tree(path.parent / name)
        twins = arrays.keys() & more.keys()
        if twins:
            raise refused(path, f"{min(twins)!r} stands in two shards", code="tensors")
        arrays.update(more)
        for group, values in about.items():
            attrs[group] = {**attrs.get(group, {}), **values}
    record = weights_record(arrays, attrs)
    record.meta["format"] = "weights.json"
    return record


def write_shards(path, record, gigabytes):
    """Write shards of at most `gigabytes`, then the index: `x.weights.json`, `x_00000.weights.h5`, …"""
    path = Path(path)
    path = path if path.suffix == ".json" else path.with_suffix(".json")
    shards = cut(record, float(gigabytes) * GIBI, path)
    stem = path.stem.replace(".weights", "")
    _, attrs = weights_tree(record)
    places, empty = {}, {group: values for group, values in attrs.items() if not holds(group, record.arrays)}
    for i, arrays in enumerate(shards):
        name = f"{stem}_{i:05d}.weights.h5"
        groups = {group: values for group, values in attrs.items() if holds(group, arrays)}
        with replacing(path.with_name(name)) as new:
            write_tree(new, arrays, {**groups, **(empty if i == 0 else {})})
        for group in groups:
            places.setdefault(f"/{group}", []).append(name)
    index = {
        "metadata": {"total_size": record.nbytes},
        "weight_map": {group: names[0] if len(names) == 1 else names for group, names in places.items()},
    }
    with replacing(path) as new:
        new.write_text(json.dumps(index, indent=4))


def holds(group, arrays):
    return any(name.rpartition("/")[0] == group for name in arrays)


def cut(record, most, path):
    """The arrays in consecutive parts, none larger than `most` bytes."""
    parts, size = [{}], 0
    for name, array in record.arrays.items():
        if array.nbytes > most:
            raise FileError(
                f"cannot write {path}: {name!r} is larger than a shard may be",
                saw=f"{array.nbytes / GIBI:.3g} GB", want=f"at most max_shard_size={most / GIBI:.3g}",
            )  # fmt: skip
        if size + array.nbytes > most and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name], size = array, size + array.nbytes
    return parts


__all__ = ["read_shards", "write_shards"]
