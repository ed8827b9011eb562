"""Safetensors: a length, a JSON header, then the bytes of every array. No code can hide in it.

Floor 2 (no JAX). Arrays go by their weight names (`dense/kernel`) so that other programs can read them;
the header's `__metadata__` maps the names to Keras's paths and holds the configuration.
"""

import hashlib
import json
import math
import os

import ml_dtypes
import numpy as np

from .record import Record, parse, refused, regular, replacing

TYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype(bool),
}  # fmt: skip
NAMES = {dtype.name: name for name, dtype in TYPES.items()}
LONGEST_HEADER = 100_000_000
MOST_AXES = 32


def read_tensors(path):
    """A Record from a `.safetensors` file: of ours, or of any other program (then keyed by its own names)."""
    with open(regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, LONGEST_HEADER):
            raise refused(path, "the safetensors header does not fit", saw=f"{length} bytes in a file of {size}",
                          code="tensors")  # fmt: skip
        header = parse(file.read(length), path, "the header")
        data = np.fromfile(file, np.uint8)
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise refused(path, "__metadata__ holds something that is not text", code="tensors")
    spans = {name: span(name, entry, len(data), path) for name, entry in header.items()}
    end = 0
    for name, (begin, stop, _, _) in sorted(spans.items(), key=lambda item: item[1][:2]):
        if begin != end:
            raise refused(path, f"the bytes of {name!r} overlap others, or leave a gap", code="tensors")
        end = stop
    if end != len(data):
        raise refused(path, "bytes are left over behind the last array", saw=str(len(data) - end), code="tensors")
    told = about.pop("blake2b", None)
    if (told or about.get("format") == "seriatim") and told != digest(header, about, data):
        raise refused(path, "the numbers have changed since the file was written", code="tensors")
    arrays = {}
    for name, (begin, stop, dtype, shape) in spans.items():
        part = data[begin:stop]
        arrays[name] = (part != 0 if dtype.kind == "b" else part.view(dtype)).reshape(shape)
    return record_of(arrays, about, path)


def span(name, entry, size, path):
    """(begin, end, dtype, shape) of one array, after checks that leave nothing to trust."""
    try:
        dtype, shape, (begin, end) = TYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise refused(path, f"{name!r} is described wrongly", saw=str(entry)[:120], code="tensors") from None
    whole = all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end)) and len(shape) <= MOST_AXES
    if not whole or not begin <= end <= size or math.prod(shape) * dtype.itemsize != end - begin:
        raise refused(path, f"{name!r} does not fit its bytes", saw=f"{entry}"[:120], code="tensors")
    return begin, end, dtype, shape


def record_of(arrays, about, path):
    config = parse(about["config"], path, "config") if "config" in about else None
    names = parse(about["paths"], path, "paths") if "paths" in about else {}
    groups = parse(about["groups"], path, "groups") if "groups" in about else {}
    meta = {"format": "safetensors", "groups": groups, "keras_version": about.get("keras_version")}
    meta["names"] = {names[name]: name for name in names}
    if len(meta["names"]) != len(names) or not all(isinstance(place, str) for place in names.values()):
        raise refused(path, "two arrays have one place", code="tensors")
    return Record(config, {names.get(name, name): array for name, array in arrays.items()}, meta)


def write_tensors(path, record):
    """Write a `.safetensors` file that any reader of the format opens."""
    names = record.meta.get("names") or {}
    arrays = {names.get(place, place): np.asarray(array) for place, array in record.arrays.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=").name not in NAMES:
            raise refused(path, f"safetensors has no type for {name!r}", saw=str(array.dtype), code="unsupported")
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    blobs = {name: _bytes(arrays[name]) for name in order}
    header, begin = {}, 0
    for name in order:
        end = begin + len(blobs[name])
        kind = NAMES[arrays[name].dtype.newbyteorder("=").name]
        header[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": [begin, end]}
        begin = end
    paths = {names[place]: place for place in record.arrays if place in names}
    notes = about(record, paths)
    notes["blake2b"] = digest(header, notes, *blobs.values())
    text = json.dumps({"__metadata__": notes, **header}).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as new, open(new, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.writelines(blobs.values())


def digest(header, about, *data):
    """A fingerprint of the header and of every byte behind it."""
    found = hashlib.blake2b(json.dumps([header, about], sort_keys=True).encode(), digest_size=16)
    for part in data:
        found.update(part)
    return found.hexdigest()


def about(record, paths):
    found = {"format": "seriatim", "paths": json.dumps(paths)}
    found["groups"] = json.dumps(record.meta.get("groups") or {})
    if record.config is not None:
        found["config"] = json.dumps(record.config)
    return found


def _bytes(array):
    array = array if array.dtype.byteorder != ">" else array.astype(array.dtype.newbyteorder("<"))
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


__all__ = ["read_tensors", "write_tensors"]
