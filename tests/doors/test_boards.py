"""What the callbacks that report write: event files read back byte by byte, requests read by a server."""

import http.server
import json
import struct
import threading
import urllib.parse

import numpy as np
import pytest

import seriatim
from seriatim import layers
from seriatim.base.report import UsageError
from seriatim.callbacks import RemoteMonitor, TensorBoard

X = np.random.default_rng(0).normal(size=(24, 8, 8, 1)).astype("float32")
Y = X.mean((1, 2))


def model():
    made = seriatim.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(5, 3, name="conv"), layers.Flatten(), layers.Dense(1, name="out")]
    )
    made.compile(seriatim.optimizers.SGD(0.01), "mse", metrics=["mae"])
    return made


def events(folder):
    """{(tag, step): value} of the event files in a folder: records of length, checksum, bytes, checksum."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = proto.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            found |= {(value.tag, event.step): value for value in event.summary.value}
    return found


def test_tensorboard(tmp_path):
    made = model()
    board = TensorBoard(tmp_path, histogram_freq=2, write_images=True, update_freq=2, write_steps_per_second=True)
    history = made.fit(X, Y, batch_size=8, epochs=3, validation_split=0.25, verbose=0, callbacks=[board]).history
    train, valid = events(tmp_path / "train"), events(tmp_path / "validation")
    for i in range(3):
        for name in ("loss", "mae"):
            assert train[f"epoch_{name}", i].simple_value == np.float32(history[name][i])
            assert valid[f"epoch_{name}", i].simple_value == np.float32(history[f"val_{name}"][i])
            step = (f"evaluation_{name}_vs_iterations", 3 * (i + 1))
            assert valid[step].simple_value == np.float32(history[f"val_{name}"][i])
        assert train["epoch_learning_rate", i].simple_value == np.float32(0.01)
        assert train["epoch_steps_per_second", i].simple_value > 0
    assert [step for tag, step in train if tag == "batch_loss"] == [2, 4, 6, 8]
    assert ("batch_steps_per_second", 8) in train
    weights = ("conv/kernel", "conv/bias", "out/kernel", "out/bias")
    for tag in weights:
        assert [step for t, step in train if t == f"{tag}/histogram"] == [0, 2]
    assert train["out/kernel/histogram", 2].histo.num == 180
    image = train["out/kernel/image/0", 0].image
    assert (image.height, image.width) == (1, 180)
    assert sum(t.startswith("conv/kernel/image/") for t, s in train if s == 0) == 3  # of five filters, as TensorFlow
    assert json.loads(train["keras", 0].tensor.string_val[0])["class_name"] == "Sequential"
    logs = made.evaluate(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path / "b", write_graph=False)])
    (alone,) = [
        v for (t, s), v in events(tmp_path / "b" / "validation").items() if t == "evaluation_loss_vs_iterations"
    ]
    assert alone.simple_value == np.float32(logs[0])


@pytest.mark.parametrize("options", [{"profile_batch": 2}, {"embeddings_freq": 1}, {"update_freq": "hour"}], ids=str)
def test_what_tensorboard_refuses(options):
    with pytest.raises(UsageError):
        TensorBoard("logs", **options)


def test_remote_monitor():
    seen = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(500 if len(seen) == 1 else 200)  # what it answers does not matter
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    try:
        watch = [RemoteMonitor(root), RemoteMonitor(root, "/other", headers={"X-Key": "7"}, send_as_json=True)]
        history = model().fit(X, Y, epochs=1, verbose=0, callbacks=watch).history
    finally:
        server.shutdown()
        server.server_close()
    row = {"epoch": 0, "loss": history["loss"][0], "mae": history["mae"][0]}
    (path, _, form), (other, headers, text) = seen
    assert (path, other, headers["X-Key"]) == ("/publish/epoch/end/", "/other", "7")
    assert json.loads(urllib.parse.parse_qs(form)["data"][0]) == row == json.loads(text)
    assert headers["Content-Type"] == "application/json"
    with pytest.warns(UserWarning, match="Could not reach"):
        watch[0].on_epoch_end(1, {"loss": np.float32(1.0)})
    with pytest.raises(UsageError, match="web server"):
        RemoteMonitor("file:///etc")
