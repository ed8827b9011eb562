"""A file, read and inert: what was configured, which arrays it holds, and what it says about itself.

Floor 2 (no JAX). Every format becomes one `Record` before anything is built. Here too: strict JSON, and
writing so that a crash at any instant leaves either the old file or the new one.
"""

import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..base.report import FileError

KERAS_VERSION = "3.15.1"  # the layout we write; Keras 3.15.1 opens it
DEEPEST = 100  # levels of nesting in a configuration
LONGEST = 1 << 29  # bytes of JSON: vocabularies may stand in a configuration
MEBI = 1 << 20


@dataclass
class Record:
    """What a file holds. `arrays` is keyed by Keras's path, such as `layers/dense/vars/0`.

    `meta` knows, where the format has it: `format`, `keras_version`, `date_saved`, `groups` (the name
    that each `vars` group carries), `names` (`dense/kernel` for each path), `assets` (bytes by path),
    and for the older `.h5` layout `legacy` (see `saving.legacy`).

    >>> Record({"class_name": "Sequential"}).arrays
    {}
    """

    config: dict | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)

    @property
    def nbytes(self):
        return sum(array.nbytes for array in self.arrays.values())


def refused(where, what, *, saw=None, want=None, fix=None, code="content"):
    """The FileError for a file that cannot be read, or must not be: it names the file and the culprit."""
    return FileError(f"{shown(where)}: {what}", saw=saw, want=want, fix=fix, code=code)


def shown(where):
    return f"cannot read {where}" if isinstance(where, (str, os.PathLike)) else "cannot read the open file"


# ---- JSON -----------------------------------------------------------------------------------------


def parse(text, where, what="config.json"):
    """The dict that a JSON text describes; a FileError for anything that two readers could read differently.

    Duplicate keys, whole numbers beyond 64 bits, nesting beyond 100 levels and text that is not UTF-8 are
    refused. `NaN` and `Infinity` are read, because Keras writes them; whether a layer takes them is for
    its fields to say.
    """
    if isinstance(text, (bytes, bytearray)):
        if len(text) > LONGEST:
            raise refused(where, f"{what} is too long", saw=f"{len(text)} bytes", want=f"{LONGEST}", code="limit")
        try:
            text = bytes(text).decode("utf-8")
        except UnicodeDecodeError as error:
            raise refused(where, f"{what} is not text", saw=str(error), want="UTF-8", code="config") from None
    try:
        value = json.loads(text, object_pairs_hook=_no_twins, parse_int=_whole)
        _check_depth(value)
    except RecursionError:
        raise refused(where, f"{what} is nested too deep", want=f"{DEEPEST} levels", code="limit") from None
    except ValueError as error:
        raise refused(where, f"{what} cannot be understood", saw=str(error), want="JSON", code="config") from None
    if not isinstance(value, dict):
        raise refused(where, f"{what} is not an object", saw=type(value).__name__, want="{…}", code="config")
    return value


def _no_twins(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twin!r} stands twice in one object")
    return found


def _whole(digits):
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"the number {digits[:24]} does not fit into 64 bits")
    return int(digits)


def _check_depth(value):
    level, depth = [value], 0
    while level:
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        level, depth = [part for parts in inner for part in parts], depth + 1
        if depth > DEEPEST:
            raise RecursionError


# ---- the file system ------------------------------------------------------------------------------


def local(path):
    """A Path, after the checks that hold for every file: not a URL, and a path at all."""
    text = os.fspath(path)
    scheme, sign, _ = text.partition("://")
    if sign and scheme.isalnum():
        raise FileError(
            f"{text} is not a file on this machine", saw=f"{scheme}://", want="a path",
            fix="fetch it first, for instance with utils.get_file", code="unsupported",
        )  # fmt: skip
    return Path(text)


def regular(path):
    """The same path, if an ordinary file stands there (no device, no pipe that would block)."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise FileError(f"{path} cannot be opened", saw=error.strerror, want="a file that exists") from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise refused(path, "this is not a file", saw=kind, want="an ordinary file", code="archive")
    return path


@contextmanager
def replacing(path):
    """Yield the path of a new file beside `path`; at the end it is on the disk, and takes the place of `path`.

    After an error, or a crash at any instant, whatever stood at `path` is still there, whole.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileError(
            f"cannot write {path}", saw=f"no folder {target.parent}", fix=f"make it first: mkdir -p {target.parent}"
        )
    new = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield new
        flush(new)
        if target.exists():
            os.chmod(new, stat.S_IMODE(target.stat().st_mode))
        os.replace(new, target)
        flush(target.parent)
    finally:
        if new.exists():
            new.unlink()


def flush(path):
    """Wait until a file, or the entries of a folder, are on the disk."""
    folder = os.path.isdir(path)
    if folder and os.name == "nt":  # Windows cannot open a folder; renaming there is enough
        return
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError:
        if not folder:  # some file systems cannot sync a folder; the files are what matters
            raise
    finally:
        os.close(descriptor)
