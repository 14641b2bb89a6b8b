"""Deals classes out to tasks, and a task's classes to its splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.core.errors import require
from metacl_run.data.sources.catalogue import Catalogue
from metacl_run.data.streams.base import Split


@dataclass(frozen=True, kw_only=True)
class Dealing:
    """How classes become tasks. Give `num_tasks`, `classes_per_task` or both; what is not given is None."""

    num_tasks: int | None
    """As evenly as can be where `classes_per_task` is None."""
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
        allowed = f"must be at most the {held} {what} there are"
        each = self.classes_per_task
        require(each is None or each <= held, "classes_per_task", each, allowed)
        if self.num_tasks is None:
            assert each is not None
            return held // each
        if each is not None and each > 1:
            allowed = f"must be at most {held // each}: there are {held} {what}, and classes_per_task={each}"
        require(self.num_tasks * (each or 1) <= held, "num_tasks", self.num_tasks, allowed)
        return self.num_tasks

    def count_classes(self, catalogue: Catalogue) -> int:
        """The classes of all tasks together, the same for every seed."""
        if self.classes_per_task is None:
            return len(catalogue.names)
        assert not self.whole_groups
        return self.count_tasks(catalogue) * self.classes_per_task

    def bounds(self, catalogue: Catalogue, worth: np.ndarray) -> tuple[list[int], list[int]]:
        """The least and the most that each task can get, whatever the seed.

        Args:
            catalogue: what is dealt.
            worth: [C] what a class counts for: 1, or a number of images.
        """
        units = _units(catalogue, self.whole_groups)
        worths = np.array([worth[unit].sum() for unit in units])
        hands = self._hands(len(units), catalogue)
        if not self.shuffled:
            exact = [int(worths[hand].sum()) for hand in hands]
            return exact, exact
        rising = np.sort(worths)
        least, most = ([int(order[: len(hand)].sum()) for hand in hands] for order in (rising, rising[::-1]))
        return least, most

    def smallest_task(self, catalogue: Catalogue) -> int:
        """The fewest classes that a task can get, whatever the seed."""
        return min(self.bounds(catalogue, np.ones(len(catalogue.names), np.int64))[0])

    def deal(self, catalogue: Catalogue, rng: np.random.Generator) -> list[np.ndarray]:
        """[T] arrays of class indexes; the order within a task is random too, if anything is."""
        units = _units(catalogue, self.whole_groups)
        if self.shuffled:
            units = [units[i] for i in rng.permutation(len(units))]
        hands = self._hands(len(units), catalogue)
        return [rng.permutation(np.concatenate([units[i] for i in hand])) for hand in hands]

    def _hands(self, units: int, catalogue: Catalogue) -> list[np.ndarray]:
        """[T] arrays of positions in the order of dealing."""
        tasks = self.count_tasks(catalogue)
        used = units if self.classes_per_task is None else tasks * self.classes_per_task
        return np.array_split(np.arange(used), tasks)


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
