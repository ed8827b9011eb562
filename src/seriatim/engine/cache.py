"""Compiled programs, kept from one run of a script to the next.

Floor 3. A kept program is machine code, and is loaded as such; so it lies in a folder that belongs to this user
and that nobody else can write, and any other folder is left alone. The key is the whole program as text, with all
that the compiler looks at: a program that differs in anything is another one.
"""

import functools
import hashlib
import os
import platform
import stat
import sys
import tempfile
from pathlib import Path

import jax
from jax.experimental import serialize_executable

from ..kernels import library

MOST = 512 * 2**20  # bytes in the folder; the programs that were not used for longest go first


def compiled(lowered):
    """The executable of a lowered program: loaded if this user's cache has it, else compiled and kept."""
    where = folder()[0]
    text = lowered.as_text() if where else ""
    if not where or "callback" in text:  # a call back into Python means this process
        return lowered.compile()
    file = where / hashlib.sha256("\n".join((*surroundings(), text)).encode()).hexdigest()
    found = load(file, lowered)
    if found is None:
        found = lowered.compile()
        keep(file, found, where)
    return found


def load(file, lowered):
    """The executable in `file`; None if there is none, or none that works here."""
    try:
        content = file.read_bytes()
        digest, payload = content[:32], content[32:]
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("cut short or changed")
        found = serialize_executable.deserialize_and_load(payload, lowered.in_tree, lowered.out_tree)
        os.utime(file)
        return found
    except FileNotFoundError:
        return None
    except Exception:  # whatever a damaged or foreign program does to the loader, compiling mends it
        file.unlink(missing_ok=True)
        return None


def keep(file, executable, where):
    """Write the executable beside its digest, whole or not at all; a full disk only means no cache."""
    try:
        payload = serialize_executable.serialize(executable)[0]
        handle, new = tempfile.mkstemp(dir=where)
        with os.fdopen(handle, "wb") as out:
            out.write(hashlib.sha256(payload).digest() + payload)
        os.replace(new, file)
        prune(where)
    except (OSError, ValueError, NotImplementedError):
        return


def prune(where):
    """Remove the programs that were not used for longest, down to three quarters of the room."""
    files = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in where.iterdir())
    total = sum(size for _, size, _ in files)
    if total > MOST:
        for _, size, file in files:
            if total <= MOST * 3 // 4:
                break
            file.unlink(missing_ok=True)
            total -= size


# ---- where, and for whom ----------------------------------------------------------------------------------


@functools.cache
def folder():
    """(path, None), or (None, why there is no cache). SERIATIM_CACHE=0 turns it off, a path moves it."""
    asked = os.environ.get("SERIATIM_CACHE")
    if asked == "0":
        return None, "SERIATIM_CACHE=0"
    try:
        where = Path(asked) if asked else home() / "seriatim" / "programs"
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in (where, *where.resolve().parents):
            problem = foreign(part, own=part == where)
            if problem:
                return None, f"{part} {problem}"
        return where, None
    except (OSError, RuntimeError) as error:
        return None, str(error)


def home():
    """The folder for caches of this user, as the system has it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def foreign(path, own):
    """Why a folder, our own or one above it, is not to be trusted; or None."""
    if not hasattr(os, "geteuid"):
        return None  # the system's own lists guard the user's folder
    seen = path.lstat()
    if own and not stat.S_ISDIR(seen.st_mode):
        return "is not a folder of its own"
    if own and seen.st_uid != os.geteuid():
        return "belongs to somebody else"
    others = stat.S_IWGRP | stat.S_IWOTH if own else stat.S_IWOTH
    if seen.st_mode & others and not (seen.st_mode & stat.S_ISVTX and not own):
        return "can be written by others"
    return None


@functools.cache
def surroundings():
    """What a compiled program depends on beside its text."""
    client = jax.devices()[0].client
    return (
        jax.__version__, jax.lib.__version__, client.platform, client.platform_version, platform.machine(),
        str(os.cpu_count()), " ".join(sorted(library.flags())), os.environ.get("XLA_FLAGS", ""),
        ",".join(d.device_kind for d in jax.devices()),
    )  # fmt: skip
