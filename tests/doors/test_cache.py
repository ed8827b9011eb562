"""Compiled programs on disk: the second run compiles nothing, and only a folder of one's own is believed."""

import os

import jax
import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.engine import cache, programs


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A cache of its own for one test."""
    where = tmp_path / "programs"
    where.mkdir(mode=0o700)
    monkeypatch.setattr(cache, "folder", lambda: (where, None))
    return where


def train(layer=None, eager=False):
    """Losses and weights of a small training that begins the same each time, in a new process as far as we know."""
    programs._shared.clear()
    seriatim.utils.set_random_seed(3)
    model = seriatim.Sequential([layers.Dense(4, input_shape=(3,)), layer or layers.Dropout(0.5), layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=eager)
    x = np.linspace(0, 1, 30, dtype="f").reshape(10, 3)
    history = model.fit(x, x.sum(1), epochs=3, batch_size=4, verbose=0, validation_split=0.2).history
    return history, model.get_weights()


def same(a, b):
    return a[0] == b[0] and all(np.array_equal(p, q) for p, q in zip(a[1], b[1], strict=True))


def forbid(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)


def test_the_second_run_compiles_nothing(room, monkeypatch):
    first = train()
    assert list(room.iterdir())
    forbid(monkeypatch)
    assert same(train(), first)


def test_a_damaged_program_is_compiled_anew(room):
    first = train()
    for file in room.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert same(train(), first)


def test_garbage_with_a_right_digest_is_compiled_anew(room):
    first = train()
    for file in room.iterdir():
        payload = b"no program"
        file.write_bytes(cache.hashlib.sha256(payload).digest() + payload)
    assert same(train(), first)


def test_another_architecture_is_another_program(room, monkeypatch):
    train()
    forbid(monkeypatch)
    with pytest.raises(AssertionError, match="compiled"):
        train(layers.Dropout(0.25))


def test_what_calls_back_is_not_kept(room):
    def announce(x):
        jax.debug.callback(lambda: None)
        return x

    before = set(room.iterdir())
    train(layers.Lambda(announce))
    kept = [f for f in room.iterdir() if f not in before]
    assert all(b"cpu_callback" not in f.read_bytes() for f in kept)


def test_the_folder_stays_within_its_room(room, monkeypatch):
    train()
    monkeypatch.setattr(cache, "MOST", 1000)
    cache.prune(room)
    assert sum(f.stat().st_size for f in room.iterdir()) <= 1000


def ask(monkeypatch, path):
    monkeypatch.setenv("SERIATIM_CACHE", str(path))
    return cache.folder.__wrapped__()


def test_a_folder_of_ones_own_is_used(tmp_path, monkeypatch):
    where, reason = ask(monkeypatch, tmp_path / "new" / "programs")
    assert reason is None and where.stat().st_mode & 0o777 == 0o700


def test_off(monkeypatch):
    assert ask(monkeypatch, 0) == (None, "SERIATIM_CACHE=0")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are POSIX's")
class TestForeign:
    def test_others_may_write(self, tmp_path, monkeypatch):
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        assert ask(monkeypatch, tmp_path / "open")[1].endswith("can be written by others")
        assert ask(monkeypatch, tmp_path / "open" / "programs")[1].endswith("can be written by others")

    def test_a_link(self, tmp_path, monkeypatch):
        (tmp_path / "real").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert ask(monkeypatch, tmp_path / "link")[1].endswith("is not a folder of its own")

    def test_of_somebody_else(self, tmp_path, monkeypatch):
        (tmp_path / "theirs").mkdir(mode=0o700)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert ask(monkeypatch, tmp_path / "theirs")[1].endswith("belongs to somebody else")

    def test_a_file_stands_there(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        assert ask(monkeypatch, tmp_path / "file")[0] is None
