"""Random chains, here and in Keras: `make stacks`.

Chain number n is always the same (`draw_stacks`). Both libraries build it, with our weights copied to Keras, send a
batch through and train three steps: all that comes out must be equal. Where Keras refuses a chain, we must too, with an
error of our own types and no later than Keras; where it does not, neither may we.
"""

import argparse
import gc
import os
import sys
import time
import traceback
import warnings
from collections import Counter

os.environ.setdefault("KERAS_BACKEND", "jax")
if __name__ == "__main__":  # every program runs a few times only: compiling is what takes the time
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

import jax
import keras
import numpy as np

import seriatim
from seriatim.base.report import SeriatimErrors

from .draw_layers import made
from .draw_stacks import stack

STEPS = 3
# Chains of up to ten layers in float32, each rounding its sums in another order than Keras's: 2⁻²⁴ · (a few hundred) of
# the largest number. Layers that divide by a small spread carry it further: then ten times as far as Keras carries one
# rounding of x itself.
FORWARD, LOSS, WEIGHTS = 1e-5, 5e-5, 2e-4
# Their step is a sign, or a matrix brought to length one, whatever the gradient's size: where the gradient is nothing
# but rounding, the step is up to the rate. Only the first loss is then exact.
SIGNED, SIGN = ("Lion", "Muon", "Adafactor", "Lamb"), 0.2
# What our docstrings promise beyond Keras, or refuse where Keras goes on: (who refuses, words of the error, why).
DOCUMENTED = (
    ("Keras", "does not accept dtype int32", "layers: whole numbers become floats where a layer is not made for them"),
    ("Keras", "`mask` must be broadcastable", "Softmax: Keras lines a mask (b, t) up with the last axes of (b, t, c)"),
    (
        "Keras",
        "do not match at shared dimension",
        "EinsumDense: Keras does not fit a size that is open to one that is said",
    ),
)


class Stage(Exception):
    """Where a library refused: "forward" (made, built, run) or "train"."""

    def __init__(self, stage, error):
        self.stage, self.error = stage, error
        super().__init__(f"{stage}: {type(error).__name__}: {str(error).strip()[:600]}")


def build(library, s):
    """The chain, built and run once."""
    rows = ([made(library, s.entry)] if s.entry else []) + [made(library, row) for row in s.rows]
    model = library.Sequential(rows)
    if not model.built:
        model.build(s.x.shape)
    return model


def steps(library, model, s):
    """[{name: number}] of three steps."""
    model.compile(optimizer=made(library, s.optimizer), loss=made(library, s.loss), metrics=made(library, s.metrics))
    logs = [model.train_on_batch(s.x, s.y, sample_weight=s.sample_weight, return_dict=True) for _ in range(STEPS)]
    if (
        s.masked and s.metrics
    ):  # in training, but not in evaluation, Keras on JAX loses the mask on its way to the metrics
        logs = [{"loss": log["loss"]} for log in logs]
        logs.append(model.test_on_batch(s.x, s.y, sample_weight=s.sample_weight, return_dict=True))
    return logs


def staged(stage, call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        raise Stage(stage, error) from error


def course(library, s, weights=None):
    """All that a library makes of the chain: [(what, value)], and the Stage where it refused, or None."""
    seen = []
    library.backend.clear_session(free_memory=False)
    try:
        model = staged("forward", build, library, s)
        if weights is not None:
            staged("forward", model.set_weights, weights)
        first = [np.array(w) for w in model.get_weights()]
        seen += [("weights", first), ("forward", np.asarray(staged("forward", model.predict_on_batch, s.x)))]
        seen += [("output_shape", tuple(model.output_shape))]
        seen += [("losses", staged("train", steps, library, model, s))]
        seen += [("trained", [np.asarray(w) for w in model.get_weights()])]
    except Stage as stop:
        return dict(seen), stop
    return dict(seen), None


def far(mine, real, moved, tolerance):
    """None, or how far two arrays are apart, in parts of the largest number; `moved` is Keras's own after a nudge."""
    mine, real, moved = (np.asarray(each) for each in (mine, real, moved))
    if (mine.shape, mine.dtype) != (real.shape, real.dtype):
        return f"{mine.dtype} {mine.shape} and {real.dtype} {real.shape}"
    finite = np.isfinite(real)
    if not np.array_equal(np.isfinite(mine), finite):
        return f"finite in other places: {mine.ravel()[:4]} and {real.ravel()[:4]}"
    mine, real, moved = (np.where(finite, each, 0).astype("float64") for each in (mine, real, moved))
    scale = max(1.0, float(np.abs(real).max(initial=0)))
    apart = float(np.abs(mine - real).max(initial=0)) / scale
    allowed = tolerance + 10 * float(np.abs(np.nan_to_num(moved - real)).max(initial=0)) / scale
    return None if apart <= allowed else f"{apart:.2g} apart, more than {allowed:.2g}"


def ties(s, weights):
    """The share of the predictions in which two classes are equal but for rounding: their order is nobody's."""
    model = build(seriatim, s)
    model.set_weights(weights)
    y = np.sort(np.asarray(model(s.x, training=True), "float64"), -1)
    return np.mean(np.diff(y, axis=-1).min(-1, initial=np.inf) < FORWARD * max(1.0, np.abs(y).max(initial=0)))


def numbers(s, seen, tied):
    """(what, array, tolerance) of all that must be equal, in order."""
    yield "forward", seen["forward"], FORWARD
    signed = s.optimizer.kind in SIGNED
    for i, log in enumerate(seen["losses"]):
        for name in sorted(log):
            slack = tied if "accuracy" in name else 0
            yield f"{name} of step {i + 1}", np.float32(log[name]), slack + (SIGN if signed and i else LOSS * (i + 1))
    for k, array in enumerate(seen["trained"]):
        yield f"weight {k} after training", array, SIGN if signed else WEIGHTS


def difference(s, mine, real, moved, tied=0.0):
    """None, or the first thing that is not equal."""
    if [w.shape for w in mine["weights"]] != [w.shape for w in real["weights"]]:
        return f"weights {[w.shape for w in mine['weights']]} and {[w.shape for w in real['weights']]}"
    shapes = [mine["output_shape"], real["output_shape"], real["forward"].shape]
    if any(n is not None and n != m for n, m in zip(shapes[0], shapes[2], strict=True)):
        return f"output_shape {shapes[0]} of an output of shape {shapes[2]}"
    if any(n is None and m is not None and m == k for n, m, k in [*zip(*shapes, strict=True)][1:]):
        return f"output_shapes {shapes[0]} and {shapes[1]}"
    for (what, a, tolerance), (same, b, _), (_, c, _) in zip(*(numbers(s, one, tied) for one in (mine, real, moved))):
        if what != same:
            return f"logs: {what} and {same}"
        if what != "forward" and not np.isfinite(b).all():
            return None  # Keras has left the numbers; our training keeps the state of the last finite step
        wrong = far(a, b, c, tolerance)
        if wrong:
            return f"{what}: {wrong}"
    return None


def nudged(x):
    """x, each number moved by one rounding."""
    return np.nextafter(x, np.float32(9)) if x.dtype == np.float32 else x


def verdict(seed):
    """("equal" | "both refuse" | "as documented" | "other", what differs) of chain number `seed`."""
    s = stack(seed)
    seriatim.utils.set_random_seed(seed)  # our first weights, so that a chain is the same every time
    mine, ours_stop = course(seriatim, s)
    real, their_stop = course(keras, s, mine.get("weights"))
    if ours_stop is None and their_stop is None:
        wrong = difference(s, mine, real, real)
        if wrong:  # does Keras carry one rounding of x as far?
            moved, _ = course(keras, s._replace(x=nudged(s.x)), mine["weights"])
            wrong = difference(s, mine, real, moved, ties(s, mine["weights"]))
        return ("other", wrong) if wrong else ("equal", "")
    if ours_stop is None:
        return documented("Keras", their_stop)
    if not isinstance(ours_stop.error, SeriatimErrors):
        return "other", f"an error without a type: {ours_stop}; Keras: {their_stop or 'none'}"
    if their_stop is None:
        return documented("we", ours_stop)
    if ours_stop.stage != their_stop.stage:
        return "other", f"refused at another stage: {ours_stop}; Keras: {their_stop}"
    return "both refuse", f"{ours_stop.stage}"


def documented(who, stop):
    """The verdict where one alone refuses."""
    known = any(who == one and words in str(stop) for one, words, _ in DOCUMENTED)
    return ("as documented", "") if known else ("other", f"{who} alone refuse: {stop}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--also", type=int, nargs="*", default=[])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    counts, begun = Counter(), time.monotonic()
    seeds = [*range(chosen.seed, chosen.seed + chosen.count), *chosen.also]
    for seed in seeds:
        try:
            found, why = verdict(seed)
        except Exception:
            found, why = "other", traceback.format_exc()
        counts[found] += 1
        if found == "other":
            print(f"\n--- make stacks SEED={seed} COUNT=1\n{stack(seed)!r}\n{why}\n", flush=True)
        done = sum(counts.values())
        if done % 200 == 0:
            jax.clear_caches()
            gc.collect()
        if done % 50 == 0 or done == len(seeds):
            numbers = ", ".join(f"{counts[word]} {word}" for word in ("equal", "both refuse", "as documented", "other"))
            print(f"{done} chains from {chosen.seed} on: {numbers}; {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if counts["other"] else 0


if __name__ == "__main__":
    sys.exit(main())
