"""Data sets and `get_file` beside Keras's, over tiny files of the same format; nothing is read from the network."""

import gzip
import hashlib
import importlib
import inspect
import io
import os
import pickle
import struct
import tarfile
import threading
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

from seriatim import config, datasets, utils
from seriatim.base.report import DataError, FileError, UsageError
from seriatim.datasets import inert, sources

RNG = np.random.default_rng(0)
TEXTS = np.empty(40, object)
for _i, _n in enumerate(RNG.integers(1, 30, 40)):
    TEXTS[_i] = RNG.zipf(1.5, int(_n)).clip(1, 60).tolist()
LABELS = RNG.integers(0, 2, 40)


def idx(array):
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def batch(rows, seed):
    """A file of CIFAR."""
    numbers = np.random.default_rng(seed)
    names = (b"labels", b"fine_labels", b"coarse_labels")
    words = {name: numbers.integers(0, 10, rows).tolist() for name in names}
    return pickle.dumps({b"data": numbers.integers(0, 256, (rows, 3072), "uint8"), **words}, protocol=3)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with the files of all sets; both libraries look there, and note what they ask for."""
    where, digits = tmp_path / "datasets", RNG.integers(0, 256, (6, 28, 28), "uint8")
    (where / "fashion-mnist").mkdir(parents=True)
    np.savez(where / "mnist.npz", x_train=digits, y_train=LABELS[:6], x_test=digits[:2], y_test=LABELS[:2])
    for name, array in (("train-labels-idx1", LABELS[:6]), ("train-images-idx3", digits),
                        ("t10k-labels-idx1", LABELS[:2]), ("t10k-images-idx3", digits[:2])):  # fmt: skip
        (where / "fashion-mnist" / f"{name}-ubyte.gz").write_bytes(idx(array.astype("uint8")))
    np.savez(where / "imdb.npz", x_train=TEXTS[:25], y_train=LABELS[:25], x_test=TEXTS[25:], y_test=LABELS[25:])
    np.savez(where / "reuters.npz", x=TEXTS, y=LABELS)
    for name in ("imdb", "reuters"):
        (where / f"{name}_word_index.json").write_text('{"the": 1, "caf\\u00e9": 2}')
    for name, columns in (("boston", 13), ("california", 8)):
        rows = 700 if name == "california" else 23
        np.savez(where / f"{name}_housing.npz", x=RNG.normal(size=(rows, columns)), y=RNG.normal(size=rows))
    ten, hundred = where / "cifar-10-batches-py-target", where / "cifar-100-python-target"
    for path, rows in [(ten / "cifar-10-batches-py" / f"data_batch_{i}", 1) for i in range(1, 6)] + [
        (ten / "cifar-10-batches-py" / "test_batch", 3), (hundred / "cifar-100-python" / "train", 4),
        (hundred / "cifar-100-python" / "test", 2),
    ]:  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(batch(rows, path.name.encode()[-1]))
    asked = {"ours": [], "theirs": []}

    def note(side):
        def get_file(fname=None, origin=None, file_hash=None, cache_subdir="datasets", extract=False):
            asked[side].append((fname, origin, file_hash, cache_subdir, extract))
            return str(tmp_path / cache_subdir / fname)

        return get_file

    monkeypatch.setattr(sources, "get_file", note("ours"))
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100", "imdb", "reuters", "boston_housing",
                 "california_housing"):  # fmt: skip
        monkeypatch.setattr(f"keras.src.datasets.{name}.get_file", note("theirs"))
    return asked


def same(a, b):
    (a, b), (c, d) = a, b
    for mine, real in ((a, c), (b, d)):
        for one, other in zip(mine, real, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            assert one.tolist() == other.tolist()


def both(name, **arguments):
    same(getattr(datasets, name).load_data(**arguments),
         importlib.import_module(f"keras.src.datasets.{name}").load_data(**arguments))  # fmt: skip


WORDS = ({}, {"num_words": 20}, {"skip_top": 3, "num_words": 30}, {"maxlen": 12}, {"seed": 7}, {"start_char": None},
         {"oov_char": None, "num_words": 15, "skip_top": 2}, {"index_from": 0, "start_char": None},
         {"index_from": 5, "maxlen": 20, "oov_char": 9}, {"index_from": 0})  # fmt: skip


def test_sets_of_words(cache):
    for arguments in WORDS:
        both("imdb", **arguments)
        both("reuters", **arguments)
    both("reuters", test_split=0.35, seed=1)
    for name in ("imdb", "reuters"):
        real = importlib.import_module(f"keras.src.datasets.{name}")
        assert getattr(datasets, name).get_word_index() == real.get_word_index()
        with pytest.raises(ValueError, match="maxlen"):
            getattr(datasets, name).load_data(maxlen=1)
    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()
    assert len(cache["ours"]) == len(cache["theirs"]) + 2
    assert set(cache["ours"]) == set(cache["theirs"])


def test_sets_of_numbers_and_pictures(cache):
    for arguments in ({}, {"test_split": 0.5, "seed": 3}, {"test_split": 0}):
        both("boston_housing", **arguments)
        both("california_housing", **arguments)
    both("california_housing", version="small")
    both("mnist")
    both("fashion_mnist")
    for label_mode in ("fine", "coarse"):
        both("cifar100", label_mode=label_mode)
    try:
        for order in ("channels_first", "channels_last"):
            config.set_image_data_format(order)
            keras.config.set_image_data_format(order)
            both("cifar100")
    finally:
        config.set_image_data_format("channels_last")
        keras.config.set_image_data_format("channels_last")
    (x, y), test = datasets.cifar10.load_data()
    (real_x, real_y), real_test = keras.datasets.cifar10.load_data()  # each of our rows 10,000 times
    same(((x, y), test), ((real_x[::10000], real_y[::10000]), real_test))
    assert cache["ours"] == cache["theirs"]
    for call in (lambda: datasets.cifar100.load_data("rough"), lambda: datasets.california_housing.load_data("huge"),
                 lambda: datasets.boston_housing.load_data(test_split=1.0)):  # fmt: skip
        with pytest.raises(UsageError):
            call()


def test_arguments_are_keras_s():
    for name in datasets.__all__:
        if name == "digits":
            continue
        mine, real = getattr(datasets, name), getattr(keras.datasets, name)
        for word in ("load_data", "get_word_index", "get_label_names"):
            if hasattr(real, word):
                theirs = inspect.signature(getattr(real, word)).parameters
                theirs = {key: p.default for key, p in theirs.items() if p.kind is not p.VAR_KEYWORD}
                ours = {key: p.default for key, p in inspect.signature(getattr(mine, word)).parameters.items()}
                assert list(ours.items()) == list(theirs.items())


def test_no_pickle_runs_code(tmp_path):
    """What asks for anything but arrays is refused, before it is called; so is what lies about its arrays."""
    marker = tmp_path / "marker"

    class Call:
        def __init__(self, *what):
            self.what = what

        def __reduce__(self):
            return self.what

    evil = [Call(os.system, (f"touch {marker}",)), Call(eval, (f"open({str(marker)!r}, 'w')",)),
            Call(np.frombuffer, (b"1234",))]  # fmt: skip
    for payload in evil:
        array = np.empty(1, object)
        array[0] = payload
        np.savez(tmp_path / "evil.npz", x=array)
        with pytest.raises(FileError, match="Refusing"):
            inert.load_npz(tmp_path / "evil.npz")
        with pytest.raises(pickle.UnpicklingError):
            inert.load_pickle(io.BytesIO(pickle.dumps({b"data": payload})), encoding="bytes")
    good = batch(5, 0)
    for cut in range(0, len(good), 997):
        with pytest.raises(FileError):
            inert.load_pickle(io.BytesIO(good[:cut]), encoding="bytes")
    for old, new in ((b"K\x05M\x00\x0c", b"K\x06M\x00\x0c"), (b"u1", b"O8"), (b"u1", b"V1"), (b"u1", b"u3")):
        assert old in good
        with pytest.raises(FileError):
            inert.load_pickle(io.BytesIO(good.replace(old, new)), encoding="bytes")
    assert not marker.exists()
    for array in (np.arange(6).reshape(2, 3), np.asfortranarray(np.ones((2, 3), ">f4")), TEXTS, np.array([True])):
        read = inert.load_pickle(io.BytesIO(pickle.dumps(array, protocol=4)))
        assert read.dtype == array.dtype and read.tolist() == array.tolist()


# ---- get_file -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A web server on this machine: /text, /short (which ends too early), /gone, and archives."""
    files = {"/text": b"one two three" * 1000}
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, content in (("a.txt", b"A"), ("deep/b.txt", b"B" * 5000)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        files["/good.tar.gz"] = out.getvalue()
    with io.BytesIO() as out:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("deep/b.txt", b"B")
            archive.writestr("empty/", b"")
        files["/good.zip"] = out.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path.partition("?")[0].replace("/short", "/text"))
            self.send_response(404 if content is None else 200)
            if content is not None:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write((content or b"")[: 100 if self.path == "/short" else None])

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", files
        web.shutdown()


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_get_file_beside_keras(server, tmp_path, monkeypatch):
    """The same path, and the same files in the cache, for every way to call it."""
    url, files = server
    (tmp_path / "plain.bin").write_bytes(files["/text"])
    sha, md5 = hashlib.sha256(files["/text"]).hexdigest(), hashlib.md5(files["/text"]).hexdigest()
    calls = [
        {"origin": f"{url}/text"}, {"fname": "named.txt", "origin": f"{url}/text", "file_hash": sha},
        {"fname": "named.txt", "origin": f"{url}/text", "md5_hash": md5},
        {"fname": Path("p"), "origin": f"{url}/text?x=1", "file_hash": md5, "cache_subdir": "other/deep"},
        {"origin": (tmp_path / "plain.bin").as_uri(), "force_download": True, "hash_algorithm": "sha256",
         "file_hash": sha},
        {"origin": f"{url}/good.tar.gz", "extract": True}, {"fname": "bare", "origin": f"{url}/good.zip", "extract": 1},
        {"fname": "x.tar.gz", "origin": f"{url}/good.tar.gz", "untar": True},
        {"fname": "y.zip", "origin": f"{url}/good.zip", "extract": True, "archive_format": "zip"},
        {"fname": "z.zip", "origin": f"{url}/good.zip", "extract": True, "archive_format": None},
    ]  # fmt: skip
    homes = [tmp_path / "ours", tmp_path / "theirs"]
    for home in homes:
        home.mkdir()
    for call in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine = utils.get_file(**call, cache_dir=str(homes[0]))
            real = keras.utils.get_file(**call, cache_dir=str(homes[1]))
        assert isinstance(mine, str) and os.path.relpath(mine, homes[0]) == os.path.relpath(real, homes[1])
        assert tree(homes[0]) == tree(homes[1])
    monkeypatch.setenv("KERAS_HOME", str(homes[0]))  # Keras reads it when it is imported
    assert utils.get_file("named.txt", "http://127.0.0.1:1/nobody") == str(homes[0] / "datasets" / "named.txt")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert utils.get_file(origin=f"{url}/text") == str(tmp_path / ".keras" / "datasets" / "text")


def test_a_download_is_whole_or_not_there(server, tmp_path):
    """Broken off, missing, offline, with another hash: a typed error, and the cache as it was."""
    url, files = server
    for origin in (f"{url}/short", f"{url}/gone", "http://127.0.0.1:1/nobody", "no-such-scheme:/x/y"):
        with pytest.raises(FileError) as caught:
            utils.get_file("it", origin, cache_dir=tmp_path, file_hash="0" * 64)
        assert origin in str(caught.value) and str(tmp_path / "datasets" / "it") in str(caught.value)
        assert "sha256 0000" in str(caught.value)
    kept = tmp_path / "datasets" / "kept"
    kept.write_bytes(b"as it was")
    with pytest.raises(DataError, match="Incomplete or corrupted file"):
        utils.get_file("kept", f"{url}/text", cache_dir=tmp_path, file_hash="0" * 32)
    assert tree(tmp_path) == {"datasets/kept": b"as it was"}
    good = hashlib.md5(files["/text"]).hexdigest()
    assert utils.get_file("kept", f"{url}/text", cache_dir=tmp_path, file_hash=good) == str(kept)
    assert kept.read_bytes() == files["/text"]
    for arguments in ({}, {"origin": f"{url}/"}, {"fname": "a/b", "origin": f"{url}/text"},
                      {"fname": "..", "origin": f"{url}/text"}, {"origin": f"{url}/.."},
                      {"origin": f"{url}/text", "file_hash": "abc"}):  # fmt: skip
        with pytest.raises(UsageError):
            utils.get_file(**arguments, cache_dir=tmp_path)


def test_caches_that_cannot_be_written(server, tmp_path, monkeypatch):
    """What is there is used; anything else goes to our own folder of temporary files, not to another user's."""
    url, home = server[0], tmp_path / "home"
    for name, options in (("there", {}), ("folder", {"extract": True})):
        utils.get_file(name, f"{url}/good.zip", cache_dir=home, **options)
    before, access = tree(home), os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(home) and access(path, mode))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    for name, options in (("there", {}), ("folder", {"extract": True})):
        assert utils.get_file(name, "http://127.0.0.1:1/", cache_dir=home, **options) == str(home / "datasets" / name)
    assert utils.get_file("new", f"{url}/text", cache_dir=home) == str(
        tmp_path / "spare" / ".keras" / "datasets" / "new"
    )
    assert tree(home) == before
    monkeypatch.setattr(os, "getuid", lambda: -5)
    with pytest.raises(FileError, match="no folder"):
        utils.get_file("new", f"{url}/text", cache_dir=home)


def archive(path, kind, name, link=None):
    """An archive with one member of this name, or a link to `link`."""
    if kind == "tar":
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo(name)
            member.size = 0 if link else 4
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member, io.BytesIO(b"evil"))
        return
    with zipfile.ZipFile(path, "w") as file:
        member = zipfile.ZipInfo(name)
        member.external_attr = (0o120777 if link else 0o100644) << 16
        file.writestr(member, link or "evil")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_no_archive_leaves_its_folder(tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    names = ["../evil", "a/../../evil", "/tmp/evil-of-seriatim", f"{outside}/evil", "..\\evil", "a\\..\\..\\evil"]
    for i, name in enumerate(names):
        archive(tmp_path / f"{i}.bin", kind, name)
        with pytest.raises(FileError, match="refused"):
            utils.get_file(f"n{i}", (tmp_path / f"{i}.bin").as_uri(), extract=True, cache_dir=tmp_path)
    archive(tmp_path / "link.bin", kind, "deep", link=str(outside))
    with pytest.warns(UserWarning, match="left out"):
        folder = utils.get_file("links", (tmp_path / "link.bin").as_uri(), extract=True, cache_dir=tmp_path)
    Path(folder).mkdir(exist_ok=True)
    os.symlink(outside, Path(folder, "deep"))  # as an older extraction may have left it
    archive(tmp_path / "through.bin", kind, "deep/evil")
    with pytest.raises(FileError, match="refused"):
        utils.get_file(
            "links", (tmp_path / "through.bin").as_uri(), extract=True, cache_dir=tmp_path, force_download=True
        )
    assert (
        not list(outside.iterdir()) and not list(tmp_path.rglob("evil")) and not Path("/tmp/evil-of-seriatim").exists()
    )
    whole = Path(tmp_path / "through.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[: 520 if kind == "tar" else -30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((FileError, UserWarning)):  # cut short, or no archive any more
            utils.get_file("cut", (tmp_path / "cut.bin").as_uri(), extract=True, cache_dir=tmp_path)


# ---- the bar ------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progbar_says_what_keras_says(monkeypatch):
    """The same line, without its colours, at the end of every bar; the clock is set by hand."""
    import re
    import sys

    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    steps = RNG.uniform(0, 1, 12)
    for arguments in ({"target": 12}, {"target": 12, "verbose": 2}, {"target": None}, {"target": 12, "width": 7},
                      {"target": 12, "stateful_metrics": ["loss"], "unit_name": "sample"},
                      {"target": 12, "stateless_metrics": ["loss"], "interval": 3.0}, {"target": 12, "verbose": 0},
                      {"target": 4000}):  # fmt: skip
        lines = []
        for kind in (utils.Progbar, keras.utils.Progbar):
            now[0], screen = 1000.0, Screen()
            monkeypatch.setattr(sys, "stdout", screen)
            bar = kind(**arguments)
            for i, value in enumerate(steps):
                now[0] += 2 + value * 5
                values = [("loss", value), ("small", value / 1e5), ("array", np.array([value, 2.0]))]
                bar.update(i + 1, values, finalize=True if i == 11 and arguments["target"] is None else None)
            monkeypatch.undo()
            monkeypatch.setattr("time.time", lambda: now[0])
            text = re.sub("\x1b\\[[0-9;]*m|\b", "", screen.getvalue())
            lines.append([re.sub(" +", " ", line).strip() for line in re.split("[\r\n]+", text) if line.strip()])
        assert lines[0] == lines[1], arguments
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    bar = utils.Progbar(2, interval=0)
    bar.add(1, [("loss", 1.0)])
    bar.add(1, [("loss", 3.0)])
    assert "\x1b" not in out.getvalue() and out.getvalue().count("\n") == 2 and "loss: 3.0000" in out.getvalue()
    with pytest.raises(UsageError, match="Only one of"):
        utils.Progbar(1, stateful_metrics=[], stateless_metrics=[])
