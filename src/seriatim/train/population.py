"""What `fit_many` returns: the members of a population, each with its model and its history.

Floor 4.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base.report import UsageError
from .callbacks.monitor import Monitor
from .display import number

MOST = 40  # rows that a repr shows


class Member(NamedTuple):
    """One model that was trained: where it stands in the grid, and what happened."""

    point: dict  # what `build` got; "seed"; "fold", if there are folds
    model: Any
    history: Any
    kept: int  # the place in the history of the epoch that its weights come from

    @property
    def logs(self):
        """The loss and metrics of the epoch that the weights come from."""
        return {name: values[self.kept] for name, values in self.history.history.items() if self.kept < len(values)}


class Population(Sequence):
    """The members in order, as a sequence; `models`, `histories` and `points` are lists of their parts.

    Each model is a model like any other: it can be trained on, evaluated, saved.
    """

    def __init__(self, members, programs=None):
        self.members = list(members)
        self.programs = programs  # while these are in use, a population of the same architecture compiles nothing

    def __getitem__(self, index):
        return Population(self.members[index], self.programs) if isinstance(index, slice) else self.members[index]

    def __len__(self):
        return len(self.members)

    @property
    def models(self):
        return [member.model for member in self.members]

    @property
    def histories(self):
        return [member.history for member in self.members]

    @property
    def points(self):
        return [member.point for member in self.members]

    def table(self):
        """One dict a member: its point, how many epochs it ran, and the values of the epoch its weights come from."""
        return [{**m.point, "epochs": len(m.history.epoch), **m.logs} for m in self.members]

    def means(self):
        """One dict a point, over its folds: {name: mean, name_std: standard deviation}."""
        groups = {}
        for member in self.members:
            point = {name: value for name, value in member.point.items() if name != "fold"}
            groups.setdefault(repr(point), (point, []))[1].append(member.logs)
        rows = []
        for point, logs in groups.values():
            row = {**point, "folds": len(logs)}
            for name in logs[0]:
                values = [entry[name] for entry in logs]
                row[name] = np.mean(values, axis=0).tolist()
                row[f"{name}_std"] = np.std(values, axis=0).tolist()
            rows.append(row)
        return rows

    def best(self, monitor=None, mode="auto"):
        """The member with the best value of `monitor` (val_loss, or loss if nothing was validated)."""
        logs = self.members[0].logs
        watch = Monitor(monitor or ("val_loss" if "val_loss" in logs else "loss"), mode)
        watch.set_model(self.members[0].model)
        if watch.monitor not in logs:
            raise UsageError("nothing was recorded under this name", saw=watch.monitor, want=", ".join(logs))
        found = None
        for member in self.members:
            value = member.logs[watch.monitor]
            if math.isfinite(value) and (found is None or watch.better(value, found.logs[watch.monitor])):
                found = member
        if found is None:
            raise UsageError(f"no member has a finite {watch.monitor}", saw=f"{len(self)} members")
        return found

    def __repr__(self):
        rows = self.table()
        head = list(dict.fromkeys(name for row in rows for name in row))
        cells = [head, *([shown(row.get(name, "")) for name in head] for row in rows[:MOST])]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        more = [f"… and {len(rows) - MOST} more"] if len(rows) > MOST else []
        return "\n".join([f"Population of {len(rows)}", *lines, *more])


def shown(value):
    return number(value) if isinstance(value, float) else str(value)
