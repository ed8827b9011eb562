"""Record what Keras 3.15.1 on TensorFlow makes of `text_cases.CASES`, and a model with a vocabulary in its file.

    python tests/parity/record_text.py           # writes text.json and text.keras beside this file
    python tests/parity/record_text.py a.keras   # reads a file of ours, prints what Keras predicts for NEW

Needs keras==3.15.1 and tensorflow (2.21 when this was recorded); the tests need neither TensorFlow nor this script.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from text_cases import CASES, NEW, TEXTS, arguments, batches, label

HERE = Path(__file__).parent


def record(case):
    kind, options, data, batched, x = case
    layer = getattr(keras.layers, kind)(**arguments(options), name="it")
    if data is not None:
        layer.adapt((np.array(batch) for batch in batches(data)) if batched else np.array(data))
    y = np.asarray(layer(tf.constant(x)))
    y = np.array([term.decode() for term in y.flat]).reshape(y.shape) if y.dtype == object else y
    found = {"y": y.tolist(), "config": layer.get_config()}
    if hasattr(layer, "get_vocabulary"):
        found["vocabulary"] = layer.get_vocabulary()
    if getattr(layer, "bin_boundaries", None) is not None:
        found["bin_boundaries"] = layer.bin_boundaries
    return json.loads(json.dumps(found, default=lambda value: value.item()))


def model():
    """A classifier of texts, and its predictions, in one file."""
    keras.utils.set_random_seed(1)
    words = keras.layers.TextVectorization(output_sequence_length=5, name="words")
    words.adapt(TEXTS)
    chain = keras.Sequential([
        keras.Input((1,), dtype="string"), words, keras.layers.Embedding(words.vocabulary_size(), 2),
        keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid"),
    ], name="texts")  # fmt: skip
    chain.save(HERE / "text.keras")
    return chain.predict(tf.constant([[text] for text in NEW]), verbose=0)[:, 0].tolist()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        loaded = keras.models.load_model(sys.argv[1])
        print(json.dumps(loaded.predict(tf.constant([[text] for text in NEW]), verbose=0).tolist()))
    else:
        found = {"cases": {label(case): record(case) for case in CASES}, "model": model()}
        (HERE / "text.json").write_text(json.dumps(found).replace('}, "', '},\n"') + "\n")
