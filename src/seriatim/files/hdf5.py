"""HDF5, walked before it is trusted: hard links, plain numbers, and no more bytes than the file holds.

Floor 2 (no JAX). `read_tree` turns a file into {path: array} and {group: attributes}; what Keras never
writes (links to other files, virtual or external data, other types, unknown filters) is refused by name.
"""

import io
import math
import os

import h5py
import ml_dtypes
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5t, h5z

from ..base.report import FileError
from .record import MEBI, Record, refused, regular, replacing

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS = 200_000
DEEPEST_GROUP = 64
INFLATION = 1040  # deflate cannot do better than 1032 : 1
FILTERS = {h5z.FILTER_DEFLATE: "gzip", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32"}
LINKS = {h5l.TYPE_SOFT: "soft link", h5l.TYPE_EXTERNAL: "external link"}
PLAIN = tuple(
    getattr(h5t, name + order)
    for order in ("LE", "BE")
    for name in ("IEEE_F16", "IEEE_F32", "IEEE_F64", *(f"STD_{s}{bits}" for s in "IU" for bits in (8, 16, 32, 64)))
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


# ---- reading --------------------------------------------------------------------------------------


def read_tree(source, where=None):
    """All arrays and group attributes of an HDF5 file (a path, or its bytes): ({path: array}, {path: attrs})."""
    where = where or source
    data = None if isinstance(source, (str, os.PathLike)) else bytes(source)
    size = os.path.getsize(regular(source)) if data is None else len(data)
    if data is None:
        with open(source, "rb") as file:
            start = file.read(len(SIGNATURE))
    else:
        start = data[: len(SIGNATURE)]
    if start != SIGNATURE:
        raise refused(where, "this is not an HDF5 file", saw=repr(start), want=repr(SIGNATURE), code="tensors")
    try:
        with h5py.File(source if data is None else io.BytesIO(data), "r") as file:
            return Walk(where, size).run(file)
    except FileError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise refused(where, "the HDF5 file is damaged", saw=reason, code="tensors") from error


class Walk:
    """A walk over a file, object by object, never following a link that is not a hard link.

    No number is read before the whole file has been looked at.
    """

    def __init__(self, where, size):
        self.where, self.size = where, size
        self.found, self.attrs = {}, {}
        self.seen, self.stored, self.declared = set(), 0, 0

    def run(self, file):
        todo = [("", file["/"].id, 0)]
        while todo:
            path, group, depth = todo.pop()
            if depth > DEEPEST_GROUP:
                raise refused(self.where, f"groups are nested too deep at {path[:80]!r}", code="limit")
            if h5o.get_info(group).addr in self.seen:
                raise refused(self.where, f"the group {path!r} stands in two places", code="unsafe")
            self.seen.add(h5o.get_info(group).addr)
            self.attrs[path] = self.attributes(group, path)
            for name in group:
                inner = f"{path}/{self.word(name)}".lstrip("/")
                self.check_link(group, name, inner)
                item = h5o.open(group, name)
                if isinstance(item, h5py.h5g.GroupID):
                    todo.append((inner, item, depth + 1))
                elif isinstance(item, h5d.DatasetID):
                    self.found[inner] = item, self.check(item, inner)
                else:
                    raise refused(self.where, f"{inner!r} is neither a group nor an array", code="unsafe")
                if len(self.seen) + len(self.found) + len(todo) > MOST_OBJECTS:
                    raise refused(self.where, "the file has too many objects", want=f"{MOST_OBJECTS}", code="limit")
        return {path: values(item, dtype) for path, (item, dtype) in self.found.items()}, self.attrs

    def word(self, name):
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError:
            raise refused(self.where, f"a name is not text: {name!r}", want="UTF-8", code="tensors") from None

    def check_link(self, group, name, path):
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            what = LINKS.get(kind, "user-defined link")
            raise refused(
                self.where, f"{path!r} is a {what}", saw="a file that points elsewhere",
                want="the arrays themselves", code="unsafe",
            )  # fmt: skip

    # ---- one array --------------------------------------------------------------------------------

    def check(self, dataset, path):
        """The type of one dataset, once its type, place and size are known to be harmless."""
        properties = dataset.get_create_plist()
        layout = properties.get_layout()
        if layout == h5d.VIRTUAL:
            raise refused(self.where, f"{path!r} is a virtual dataset", want="the array itself", code="unsafe")
        if properties.get_external_count():
            raise refused(
                self.where, f"{path!r} keeps its data in another file",
                saw=repr(properties.get_external(0)[0]), want="the array itself", code="unsafe",
            )  # fmt: skip
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        if any(number not in FILTERS for number in filters):
            raise refused(
                self.where, f"{path!r} is stored through an unknown filter",
                saw=str(filters), want=", ".join(FILTERS.values()), code="unsafe",
            )  # fmt: skip
        dtype = self.dtype(dataset, path)
        self.check_size(dataset, path, properties, dtype, bool(filters))
        return dtype

    def dtype(self, dataset, path):
        kind = dataset.get_type()
        if any(kind.equal(plain) for plain in PLAIN):
            return kind.dtype
        if kind.get_class() == h5t.ENUM and kind.dtype == bool:
            return kind.dtype
        two_bytes = kind.get_class() == h5t.OPAQUE and kind.get_size() == 2
        if two_bytes and self.attributes(dataset, path).get("dtype") == "bfloat16":
            return BFLOAT16
        name = {h5t.STRING: "text", h5t.COMPOUND: "records", h5t.VLEN: "lists", h5t.REFERENCE: "references"}
        raise refused(
            self.where, f"{path!r} does not hold plain numbers", saw=name.get(kind.get_class(), "an unusual type"),
            want="float16, bfloat16, float32, float64, whole numbers or bool", code="tensors",
        )  # fmt: skip

    def check_size(self, dataset, path, properties, dtype, filtered):
        """Refuse what would need more memory than the bytes in the file account for."""
        if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            raise refused(self.where, f"{path!r} has no shape", code="tensors")
        shape = dataset.shape
        declared, stored = math.prod(shape) * dtype.itemsize, dataset.get_storage_size()
        self.declared, self.stored = self.declared + declared, self.stored + stored
        held = stored * INFLATION if filtered else stored
        if properties.get_layout() == h5d.CHUNKED and declared:
            pieces = math.prod(-(-n // c) for n, c in zip(shape, properties.get_chunk(), strict=True))
            if dataset.get_num_chunks() < pieces:
                held = 0  # pieces that were never written would be read as zeros
        total = self.size + 64 * MEBI if not filtered else 100 * self.size + 256 * MEBI
        if declared > held or self.stored > self.size or self.declared > total:
            raise refused(
                self.where, f"{path!r} declares more than the file holds",
                saw=f"shape {shape} of {dtype}: {declared} bytes, of which {stored} are stored",
                want="arrays that are really in the file", code="limit",
            )  # fmt: skip

    # ---- attributes -------------------------------------------------------------------------------

    def attributes(self, item, path):
        """The attributes of a group or dataset that are text, or lists of text, by name."""
        found = {}
        for i in range(h5a.get_num_attrs(item)):
            attribute = h5a.open(item, index=i)
            found[self.word(attribute.name)] = self.text(attribute, path)
        return found

    def text(self, attribute, path):
        kind = attribute.get_type()
        where = f"the attribute {attribute.name!r} of {path or 'the root'!r}"
        if attribute.shape is None or 0 in attribute.shape:
            return []
        if math.prod(attribute.shape) * kind.get_size() > self.size:
            raise refused(self.where, f"{where} declares more than the file holds", code="limit")
        if kind.get_class() != h5t.STRING:
            if kind.get_class() in (h5t.INTEGER, h5t.FLOAT):
                return []
            raise refused(self.where, f"{where} is not text", code="config")
        value = np.empty(attribute.shape, dtype=attribute.dtype)
        attribute.read(value)
        words = [self.word(item) if isinstance(item, bytes) else str(item) for item in value.reshape(-1)]
        return words if value.ndim else words[0]


def values(dataset, dtype):
    """The numbers of a dataset that has been checked."""
    found = np.asarray(h5py.Dataset(dataset)[()])
    found = found.view(dtype) if dtype == BFLOAT16 else found
    return found.astype(found.dtype.newbyteorder("="), copy=False)


# ---- writing --------------------------------------------------------------------------------------


def write_tree(path, arrays, attrs=None):
    """Write {path: array} and {group: attributes} as HDF5, into a file or a BytesIO.

    Group by group, in the order of `attrs`, each followed by its arrays: a Keras file read and written
    again in its own order has the same bytes.
    """
    here = {}
    for name in arrays:
        here.setdefault(name.rpartition("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        for group, values in (attrs or {}).items():
            place = file.require_group(group) if group else file
            for name, value in values.items():
                put_attribute(place, name, value)
            for name in here.pop(group, ()):
                put_array(file, name, arrays[name])
        for name in (name for names in here.values() for name in names):
            put_array(file, name, arrays[name])


def put_array(file, name, array):
    array = np.asarray(array)
    dataset = file.create_dataset(name, data=array)
    if array.dtype == BFLOAT16:
        dataset.attrs["dtype"] = "bfloat16"


ATTRIBUTE_LIMIT = 64512  # HDF5 keeps at most 64 KB of attributes in one header


def put_attribute(group, name, value):
    """Set an attribute; a list longer than HDF5 takes is cut into name0, name1, …, as Keras does."""
    if not isinstance(value, list):
        group.attrs[name] = value
        return
    coded = [item.encode("utf-8") for item in value]
    widest = max((len(item) for item in coded), default=0)
    each = max(1, ATTRIBUTE_LIMIT // widest) if widest else 1
    if not coded or len(coded) <= each:
        group.attrs[name] = coded
        return
    count = -(-len(coded) // each)
    for i, part in enumerate(np.array_split(np.asarray(coded), count)):
        group.attrs[f"{name}{i}"] = part


def listed(attrs, name):
    """The list that `put_attribute` wrote, in one piece."""
    if name in attrs:
        value = attrs[name]
        return value if isinstance(value, list) else [value]
    found, i = [], 0
    while f"{name}{i}" in attrs:
        part = attrs[f"{name}{i}"]
        found += part if isinstance(part, list) else [part]
        i += 1
    return found


# ---- the weights layout of Keras 3 ----------------------------------------------------------------


def weights_record(arrays, attrs):
    """A Record of a file whose arrays stand in `…/vars/<i>`, each `vars` group with the name of its layer."""
    old = "_layer_checkpoint_dependencies"  # Keras 2.12 and 2.13 wrote this word for `layers`
    arrays = {"/".join("layers" if p == old else p for p in path.split("/")): a for path, a in arrays.items()}
    groups = {}
    for path, values in attrs.items():
        head, _, last = path.rpartition("/")
        if last == "vars":
            path = "/".join("layers" if part == old else part for part in head.split("/"))
            groups[path] = values.get("name") or None
    return Record(None, arrays, {"format": "weights.h5", "groups": groups})


def weights_tree(record):
    """What `write_tree` needs for a Record in Keras's layout: (arrays, attributes of the groups)."""
    groups = dict(record.meta.get("groups") or {})
    for path in record.arrays:
        groups.setdefault(path.rpartition("/vars/")[0] if "/vars/" in path else "", None)
    attrs = {f"{path}/vars".lstrip("/"): {"name": name} if name else {} for path, name in groups.items()}
    return record.arrays, attrs


def write_weights(path, record):
    """Write a `.weights.h5` file as Keras 3.15.1 lays it out."""
    with replacing(path) as new:
        write_tree(new, *weights_tree(record))


def weights_bytes(record):
    """The same, as a buffer in memory."""
    buffer = io.BytesIO()
    write_tree(buffer, *weights_tree(record))
    return buffer.getbuffer()


def is_legacy(attrs):
    """True for the layout of whole-model `.h5` files (and of Keras 2's weights files)."""
    return "model_weights" in attrs or any(name.startswith("layer_names") for name in attrs.get("", {}))


__all__ = ["is_legacy", "listed", "read_tree", "weights_bytes", "weights_record", "write_weights"]
