"""A `.keras` file: a zip of config.json, metadata.json, model.weights.h5 and assets; or the same as a folder.

Floor 2 (no JAX). Members are read by their exact name into memory, nothing is ever unpacked to the disk.
"""

import datetime
import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from ..base.report import FileError
from .hdf5 import read_tree, weights_bytes, weights_record
from .record import KERAS_VERSION, LONGEST, MEBI, flush, parse, refused, regular, replacing

CONFIG, METADATA, WEIGHTS, ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets"
NPZ = "model.weights.npz"
OURS, LAYOUT = "seriatim", 1  # our key in metadata.json, which Keras leaves alone
MOST_MEMBERS = 10_000
INFLATION = 1040  # deflate cannot do better than 1032 : 1
EPOCH = (1980, 1, 1, 0, 0, 0)


# ---- reading --------------------------------------------------------------------------------------


def read_zip(source):
    """A Record from a `.keras` file, given its path or an open binary file."""
    named = isinstance(source, (str, os.PathLike))
    where = regular(source) if named else source
    try:
        with zipfile.ZipFile(source, "r") as archive:
            members = check_members(archive, where)
            return unpack(lambda name: archive.read(members[name]), set(members), where)
    except FileError:
        raise
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise refused(where, "this is not a whole .keras file", saw=looks_like(source) or str(error),
                      want="a zip archive as model.save() writes it", code="archive") from error  # fmt: skip


def read_folder(path):
    """A Record from the folder that `save(…, zipped=False)` made."""
    path = Path(path)
    names = set()
    for root, folders, files in os.walk(path, followlinks=False):
        for name in [*folders, *files]:
            place = Path(root, name)
            if not (place.is_dir() or place.is_file()) or place.is_symlink():
                raise refused(path, f"{place.name!r} is a link or a device", want="ordinary files", code="unsafe")
        names |= {Path(root, name).relative_to(path).as_posix() for name in files}
        if len(names) > MOST_MEMBERS:
            raise refused(path, "there are too many files", want=f"{MOST_MEMBERS}", code="limit")
    record = unpack(lambda name: (path / name).read_bytes(), names, path)
    record.meta["format"] = "keras folder"
    return record


def unpack(load, names, where):
    """The Record whose parts `load(name)` gives."""
    if CONFIG not in names:
        raise refused(where, f"{CONFIG} is missing", saw=", ".join(sorted(names)[:8]) or "nothing at all",
                      want=f"{METADATA}, {CONFIG}, {WEIGHTS}", code="archive")  # fmt: skip
    config = parse(load(CONFIG), where, CONFIG)
    about = parse(load(METADATA), where, METADATA) if METADATA in names else {}
    if WEIGHTS in names:
        record = weights_record(*read_tree(load(WEIGHTS), where))
    elif NPZ in names:
        raise refused(where, f"{NPZ} holds pickled objects", want=WEIGHTS, code="unsafe",
                      fix="save the model again in Keras with the default weights format")  # fmt: skip
    else:
        raise refused(where, f"{WEIGHTS} is missing", code="archive")
    version, ours = about.get("keras_version"), about.get(OURS) or {}
    check_versions(version, ours, where)
    record.config = config
    record.meta.update(format="keras", keras_version=version, date_saved=about.get("date_saved"))
    record.meta["ours"] = ours
    record.meta["assets"] = {
        name.removeprefix(f"{ASSETS}/"): load(name) for name in sorted(names) if name.startswith(f"{ASSETS}/")
    }
    return record


def check_versions(version, ours, where):
    major = str(version).split(".")[0]
    if major.isdigit() and int(major) > 3:
        raise refused(where, "the file is from a newer Keras", saw=version, want="Keras 2 or 3", code="unsupported")
    if not isinstance(ours, dict) or ours.get("layout", LAYOUT) != LAYOUT:
        raise refused(where, "the file is from a newer seriatim", saw=repr(ours), want=f"layout {LAYOUT}",
                      fix="update seriatim", code="unsupported")  # fmt: skip


def check_members(archive, where):
    """{name: info} of the members, after the checks that no reader should skip."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise refused(where, "the archive has too many members", saw=str(len(infos)), code="limit")
    found, folded, total, end = {}, set(), 0, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        check_member(info, where)
        if info.filename.casefold() in folded:
            raise refused(where, f"the member {info.filename!r} stands twice in the archive", code="archive")
        if info.header_offset < end or (info.header_offset > 0 and not found):
            raise refused(where, f"the member {info.filename!r} is not where it should be",
                          saw="other data before it, or an overlap", code="archive")  # fmt: skip
        end = info.header_offset + info.compress_size
        total += info.file_size
        found[info.filename] = info
        folded.add(info.filename.casefold())
    if archive.comment:
        raise refused(where, "there is data behind the archive", saw=f"{len(archive.comment)} bytes", code="archive")
    size = size_of(archive.fp)
    if total > 100 * size + 256 * MEBI:
        raise refused(where, "the archive would unpack to far more than it holds",
                      saw=f"{total} bytes from {size}", code="limit")  # fmt: skip
    return {name: info for name, info in found.items() if not info.is_dir()}


def check_member(info, where):
    name = info.filename
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or "\\" in name or "\0" in name or ":" in name or ".." in parts:
        raise refused(where, f"the member {name!r} would lie outside of the archive", code="unsafe")
    if info.orig_filename != name:
        raise refused(where, f"the member {name!r} has another name inside", code="unsafe")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise refused(where, f"the member {name!r} is a link", code="unsafe")
    if info.flag_bits & 0x1:
        raise refused(where, f"the member {name!r} is encrypted", code="archive")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused(where, f"the member {name!r} is packed in an unusual way",
                      saw=f"method {info.compress_type}", want="stored or deflated", code="archive")  # fmt: skip
    stored = info.compress_type == zipfile.ZIP_STORED
    most = info.compress_size if stored else INFLATION * info.compress_size
    if info.file_size > most or (name in (CONFIG, METADATA) and info.file_size > LONGEST):
        raise refused(where, f"the member {name!r} declares more than the archive holds",
                      saw=f"{info.file_size} bytes from {info.compress_size}", code="limit")  # fmt: skip


def size_of(file):
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size


KINDS = {
    b"\x89HDF": "an HDF5 file: give it the suffix .h5", b"\x80": "a pickle, which is code and is never read",
    b"GGUF": "a GGUF file", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF file", b"<": "a web page, not a model",
    b"PK": "a zip archive that is cut short", b"{": "JSON: give it the suffix .json",
}  # fmt: skip


def looks_like(source):
    """What a file that is no zip archive seems to be, in words."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            start = file.read(8)
        found = [kind for sign, kind in KINDS.items() if start.startswith(sign)]
        return found[0] if found else None if start else "nothing at all"
    return None


# ---- writing --------------------------------------------------------------------------------------


def about(record):
    """The text of metadata.json."""
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    ours = {"layout": LAYOUT, **(record.meta.get("ours") or {})}
    return json.dumps({"keras_version": KERAS_VERSION, "date_saved": now, OURS: ours})


def parts(record):
    """(name, bytes) of everything that stands in the archive, in Keras's order."""
    yield METADATA, about(record).encode()
    yield CONFIG, json.dumps(record.config).encode()
    yield WEIGHTS, weights_bytes(record)
    for name, data in (record.meta.get("assets") or {}).items():
        yield f"{ASSETS}/{name}", data


def write_zip(target, record):
    """Write a `.keras` file that Keras 3.15.1 opens; `target` is a path or a file open for writing."""
    if not isinstance(target, (str, os.PathLike)):
        fill(target, record)
        return
    with replacing(target) as new, open(new, "wb") as file:
        fill(file, record)


def fill(file, record):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts(record):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=len(data) >= 1 << 31) as member:
                member.write(data)


def write_folder(path, record):
    """Write the parts into a new folder, then put it in the place of `path`.

    A folder cannot be replaced in one step: a crash between the two renames leaves the old model whole,
    beside its place, under the name `.<name>.<token>.old`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not (target / CONFIG).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise FileError(
            f"cannot write {path}", saw="something else stands there", want="a free name, or a model's folder"
        )
    token = f"{os.getpid()}.{os.urandom(4).hex()}"
    new, old = (target.with_name(f".{target.name}.{token}.{end}") for end in ("tmp", "old"))
    new.mkdir()
    try:
        for name, data in parts(record):
            place = new / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            flush(place)
        flush(new)
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
        flush(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


__all__ = ["read_folder", "read_zip", "write_folder", "write_zip"]
