"""A file from the web, kept in Keras's cache: `get_file`.

Floor 6. A download takes its name only when it is whole and its hash is right. The members of an archive are written
one by one into their folder; a name that leads out of it is refused, and no link is made or followed.
"""

import hashlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from .base.lazy import later
from .base.report import DataError, FileError, Report, UsageError
from .files.record import replacing
from .train.display import in_notebook, on_terminal
from .train.progbar import Progbar

http, urllib = later("http.client"), later("urllib.request")

PATIENCE = 60  # seconds without an answer
PIECE = 1 << 18
HASHES = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits


def get_file(
    fname=None, origin=None, untar=False, md5_hash=None, file_hash=None, cache_subdir="datasets",
    hash_algorithm="auto", extract=False, archive_format="auto", cache_dir=None, force_download=False,
):  # fmt: skip
    """The path of the file at `origin` (a URL), downloaded unless it is in the cache already.

    It is kept as `fname` (or the name in the URL) in `cache_subdir` of `cache_dir`, of $KERAS_HOME or of ~/.keras; in
    the system's folder of temporary files where that cannot be written, and the file is not there. With a hash (sha256
    or md5), a file in the cache that has another is downloaded again, and a download that has another is a DataError.
    extract=True unpacks a tar or zip archive, and gives the folder: `fname` without an ending, or its first part and
    `_extracted`.

    Without a network, the FileError names the URL and the place where the file may be put by hand. Differs from Keras:
    a failed download leaves what was there; a member of an archive that leads out of its folder is a FileError, and
    links are left out with a warning.
    """
    if origin is None:
        raise UsageError("get_file needs the address of the file", saw="origin=None", want="a URL")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    wanted = None if file_hash is None else (hash_name(file_hash, hash_algorithm), str(file_hash).lower())
    name, extract = file_name(fname, origin), extract or untar
    bare = extract and not (fname and "." in name)
    stored = f"{name}_archive" if bare else name
    folder = cache_folder(cache_dir, cache_subdir, stored)
    target = folder / stored
    if force_download or not kept(target, wanted):
        download(origin, target, wanted)
    if not extract:
        return str(target)
    out = folder / (name if bare else f"{name.partition('.')[0]}_extracted")
    if out.is_dir() and not os.access(out, os.W_OK):  # a cache that many read: it was unpacked by who may write
        return str(out)
    if not unpack(target, out, "tar" if untar else archive_format):
        warnings.warn(f"Could not extract archive: {target} is no such archive", stacklevel=2)
    return str(out)


def file_name(fname, origin):
    """A name without folders, from the argument or the URL."""
    name = os.fspath(fname) if fname else os.path.basename(urlsplit(origin).path)
    if not name or name in (".", "..") or re.search(r"[/\\]", name):
        raise UsageError(
            "get_file needs a name for the file, without folders", saw=f"fname={fname!r}, origin={origin!r}",
            want="fname='a_name', and cache_dir or cache_subdir for the folder",
        )  # fmt: skip
    return name


def cache_folder(cache_dir, cache_subdir, name):
    """The folder where files are kept, made if need be: the first that can be written, or that holds the file."""
    home = Path(cache_dir or os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    spare = Path(tempfile.gettempdir(), ".keras")
    for base in (home, spare):
        folder = base / cache_subdir
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        # in the folder of temporary files, another user may have made one by that name, with other files in it
        mine = base is home or not hasattr(os, "getuid") or base.stat().st_uid == os.getuid()
        if mine and (os.access(folder, os.W_OK) or (folder / name).exists()):
            return folder
    raise FileError(
        "no folder for downloads", saw=f"neither {home} nor {spare} is ours to write in",
        fix="cache_dir=…, or KERAS_HOME=…",
    )  # fmt: skip


# ---- downloads ----------------------------------------------------------------------------------------------


def hash_name(file_hash, algorithm="auto"):
    """`sha256` or `md5`."""
    if algorithm == "auto":
        algorithm = HASHES.get(len(str(file_hash)))
    if algorithm not in HASHES.values():
        raise UsageError("this hash is not known", saw=f"{file_hash!r}, {algorithm!r}", want="a sha256 or an md5")
    return algorithm


def digest(path, algorithm):
    """The hash of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def kept(target, wanted):
    """Whether the file is in the cache, with the `wanted` (algorithm, hash)."""
    if not target.exists():
        return False
    if wanted is None or digest(target, wanted[0]) == wanted[1]:
        return True
    print(f"{target} is incomplete or outdated: its {wanted[0]} is not {wanted[1]}. It is downloaded again.")
    return False


def download(origin, target, wanted):
    """The file at a URL, as `target`: whole and with the `wanted` hash, or not at all."""
    print(f"Downloading data from {origin}", flush=True)
    try:
        with urllib.urlopen(origin, timeout=PATIENCE) as answer, replacing(target) as new:
            receive(answer, new)
            if wanted is not None and (found := digest(new, wanted[0])) != wanted[1]:
                raise DataError(
                    "Incomplete or corrupted file: its hash is not the expected one", saw=f"{wanted[0]} {found}",
                    want=wanted[1], at=origin,
                )  # fmt: skip
    except (OSError, http.HTTPException, ValueError) as error:
        if isinstance(error, Report):
            raise
        expected = f", with the {wanted[0]} {wanted[1]}" if wanted else ""
        raise FileError(
            f"URL fetch failure on {origin}", saw=f"{type(error).__name__}: {error}",
            fix=f"put the file there by hand: {target}{expected}",
        ) from error  # fmt: skip


def receive(answer, path):
    """Write what a server sends into a file, beneath a bar where somebody watches."""
    size = answer.headers.get("Content-Length")
    size, done = None if size is None else int(size), 0
    megabytes = None if size is None else -(-size // 10**6)
    bar = Progbar(megabytes, verbose=int(on_terminal() or in_notebook()), unit_name="MB")
    with open(path, "wb") as out:
        while piece := answer.read(PIECE):
            out.write(piece)
            done += len(piece)
            bar.update(done // 10**6, finalize=False)
    if size is not None and done != size:
        raise OSError(f"the connection ended after {done} of {size} bytes")
    bar.update(-(-done // 10**6), finalize=True)


# ---- archives -----------------------------------------------------------------------------------------------


def unpack(file, out, archive_format="auto"):
    """Write the members of a tar or zip archive into the folder `out`; False if the file is no such archive."""
    formats = ["tar", "zip"] if archive_format == "auto" else archive_format or []
    for kind in [formats] if isinstance(formats, str) else formats:
        if kind not in ARCHIVES:
            raise UsageError("archive_format is not known", saw=repr(kind), want="'auto', 'tar', 'zip' or None")
        matches, start, members = ARCHIVES[kind]
        if not matches(file):
            continue
        try:
            with start(file) as archive:
                for name, content in members(archive):
                    place(Path(out), name, content)
        except DAMAGE as error:
            if isinstance(error, Report):
                raise
            raise FileError(
                "this archive cannot be unpacked", saw=f"{file}: {type(error).__name__}: {error}",
                fix="force_download=True",
            ) from error  # fmt: skip
        return True
    return False


def tar_members(archive):
    """(name, file to read), …; for a folder (name, None)."""
    for member in archive:
        if member.isfile() or member.isdir():
            yield member.name, None if member.isdir() else archive.extractfile(member)
        else:
            left_out(member.name)


def zip_members(archive):
    for member in archive.infolist():
        if stat.S_ISLNK(member.external_attr >> 16):
            left_out(member.filename)
        else:
            yield member.filename, None if member.is_dir() else archive.open(member)


def left_out(name):
    warnings.warn(f"left out of the archive, since it is a link or a device: {name!r}", stacklevel=5)


def place(out, name, content):
    """Write one member beneath `out`."""
    target = out / name
    outside = name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or Path(name).drive
    # a link that stood in the folder before may lead out of it, too
    if outside or not Path(os.path.realpath(target)).is_relative_to(os.path.realpath(out)):
        raise FileError(
            "this archive is refused: a member would be written outside its folder", saw=repr(name),
            want=f"within {out}",
        )  # fmt: skip
    if content is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with content, open(new, "wb") as copy:
            shutil.copyfileobj(content, copy, PIECE)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)


ARCHIVES = {
    "tar": (tarfile.is_tarfile, tarfile.open, tar_members),
    "zip": (zipfile.is_zipfile, zipfile.ZipFile, zip_members),
}
# what the standard library says of archives that are cut short, encrypted or wrong in themselves
DAMAGE = (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)
