"""Deals classes out to tasks, and a task's classes to its splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.data.base import Split
from metacl_run.data.catalogue import Catalogue
from metacl_run.errors import require


@dataclass(frozen=True, kw_only=True)
class Dealing:
    """How classes become tasks. Give `num_tasks` or `classes_per_task`, the other is None."""

    num_tasks: int | None
    classes_per_task: int | None
    """Exactly this many; classes that do not fill a task stay unused."""
    whole_groups: bool
    """A task is dealt groups, not single classes."""
    shuffled: bool
    """The seed decides the order; otherwise it is the catalogue's."""

    def count_tasks(self, catalogue: Catalogue) -> int:
        """The number of tasks.

        Raises:
            SettingError: the catalogue does not hold so many.
        """
        held = len(_units(catalogue, self.whole_groups))
        what = "groups (alphabets, scripts, data sets)" if self.whole_groups else "classes"
        if self.num_tasks is not None:
            require(self.num_tasks <= held, "num_tasks", self.num_tasks, f"must be at most the {held} {what} there are")
            return self.num_tasks
        assert self.classes_per_task is not None
        allowed = f"must be at most the {held} {what} there are"
        require(self.classes_per_task <= held, "classes_per_task", self.classes_per_task, allowed)
        return held // self.classes_per_task

    def smallest_task(self, catalogue: Catalogue) -> int:
        """The fewest classes that a task can get, whatever the seed."""
        sizes = sorted(len(unit) for unit in _units(catalogue, self.whole_groups))
        tasks = self.count_tasks(catalogue)
        if self.classes_per_task is not None:
            return self.classes_per_task
        return sum(sizes[: len(sizes) // tasks])

    def deal(self, catalogue: Catalogue, rng: np.random.Generator) -> list[np.ndarray]:
        """[T] arrays of class indexes; the order within a task is random too, if anything is."""
        units = _units(catalogue, self.whole_groups)
        if self.shuffled:
            units = [units[i] for i in rng.permutation(len(units))]
        tasks = self.count_tasks(catalogue)
        if self.classes_per_task is not None:
            units = units[: tasks * self.classes_per_task]
        hands = np.array_split(np.arange(len(units)), tasks)
        return [rng.permutation(np.concatenate([units[i] for i in hand])) for hand in hands]


def _units(catalogue: Catalogue, whole_groups: bool) -> list[np.ndarray]:
    """What is dealt: arrays of class indexes that stay together, in the catalogue's order."""
    labels = catalogue.groups if whole_groups else range(len(catalogue.groups))
    members: dict[object, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return [np.array(indexes) for indexes in members.values()]


def held_out(share: float, num_classes: int) -> int:
    """How many of a task's classes are held out: `share` is a number of classes, or a fraction of them when below 1."""
    return round(share * num_classes) if share < 1 else int(share)


def split_sizes(num_classes: int, *, validation: float, test: float) -> dict[Split, int]:
    """How many of a task's classes go to each split; train gets the rest, which is negative where nothing is left."""
    held = {"validation": held_out(validation, num_classes), "test": held_out(test, num_classes)}
    return {"train": num_classes - sum(held.values()), "validation": held["validation"], "test": held["test"]}
