"""From scores of labels at each step to the labels that were said: a blank stands between repeats. Graves et al., 2006.

Floor 1. Scores are (b, t, classes); a path is what is left when repeats are merged and blanks taken out, filled up
with −1.
"""

import jax
import jax.numpy as jnp
from jax import lax


def greedy(logits, lengths, merge_repeated=True, blank=0):
    """The best class of each step: (paths (b, t), −Σ of the best logits (b, 1))."""
    steps = jnp.arange(logits.shape[1])
    there = steps < lengths[:, None]
    found = jnp.where(there, jnp.argmax(logits, -1), blank)
    score = -jnp.sum(jnp.where(there, jnp.max(logits, -1), 0), 1, keepdims=True)
    said = found != blank
    if merge_repeated:
        said = said.at[:, 1:].set(said[:, 1:] & (found[:, 1:] != found[:, :-1]))
    order = jnp.argsort(jnp.where(said, steps, len(steps)), axis=1)
    return jnp.take_along_axis(jnp.where(said, found, -1), order, 1).astype(jnp.int32), score


def beams(logits, lengths, width, blank=0):
    """The `width` likeliest paths: (paths (b, width, t), their log probabilities (b, width)), best first.

    A beam is a path with two scores: of all ways to say it that end in its last label, and of those that end in a
    blank. Each step leaves the path as it is (a repeat, or a blank) or adds a label to it, after a blank if it is the
    last one again. What becomes a path that another beam already has is counted there.
    """
    logits = jax.nn.log_softmax(logits)
    steps, classes = logits.shape[1:]
    never = jnp.array(-jnp.inf, logits.dtype)

    def step(state, now):
        paths, length, label, pause = state
        x, there = now
        total, last = jnp.logaddexp(label, pause), paths[jnp.arange(width), length - 1]
        last = jnp.where(length > 0, last, -1)
        again = jnp.where(length > 0, label + x[last], never)
        more = jnp.where(jnp.arange(classes) == last[:, None], pause[:, None], total[:, None]) + x
        more = more.at[:, blank].set(never)

        before = jnp.where(jnp.arange(steps) == length[:, None] - 1, -1, paths)  # each path without its last label
        follows = (
            jnp.all(paths[:, None] == before[None], -1) & (length > 0) & (total > never)
        )  # beam i, label -> beam j
        joined = jnp.where(follows, more[:, last], never)
        again = jnp.logaddexp(again, jax.nn.logsumexp(joined, 0))
        taken = jnp.any(follows[:, :, None] & (last[None, :, None] == jnp.arange(classes)), 1)
        more = jnp.where(taken, never, more)

        stays = jnp.logaddexp(again, total + x[blank])
        _, best = lax.top_k(jnp.concatenate([stays, more.ravel()]), width)
        grown = best >= width
        parent = jnp.where(grown, (best - width) // classes, best)
        added = jnp.where(grown, (best - width) % classes, -1)
        place = (jnp.arange(steps) == length[parent][:, None]) & grown[:, None]
        new = (
            jnp.where(place, added[:, None], paths[parent]), length[parent] + grown,
            jnp.where(grown, more[parent, added], again[parent]),
            jnp.where(grown, never, (total + x[blank])[parent]),
        )  # fmt: skip
        return jax.tree.map(lambda a, b: jnp.where(there, a, b), new, state), None

    def one(logits, length):
        empty = jnp.full((width, steps), -1), jnp.zeros(width, int), jnp.full(width, never)
        begin = (*empty, jnp.full(width, never).at[0].set(0))
        (paths, _, label, pause), _ = lax.scan(step, begin, (logits, jnp.arange(steps) < length))
        score, order = lax.top_k(jnp.logaddexp(label, pause), width)
        return paths[order].astype(jnp.int32), score

    return jax.vmap(one)(logits, lengths)
