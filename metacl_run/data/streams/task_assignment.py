"""Assigns classes to tasks, and the classes of a task to its splits. Shapes: C classes, T tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.core.errors import require
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.streams.stream import Split


@dataclass(frozen=True, kw_only=True)
class TaskAssignment:
    """How classes become tasks.

    A task takes items: single classes or, with `whole_groups`, groups of classes that stay together. With neither `num_tasks`
    nor `classes_per_task`, every item is a task of its own.
    """

    num_tasks: int | None
    """Tasks; they take items as evenly as possible where `classes_per_task` is None."""
    classes_per_task: int | None
    """Exactly this many classes; classes that do not fill a task stay unused. None with `whole_groups`."""
    whole_groups: bool
    """A task takes groups, not single classes."""
    shuffled: bool
    """The seed decides the order; otherwise it is the catalogue's."""

    def count_tasks(self, catalogue: Catalogue) -> int:
        """The number of tasks.

        Raises:
            SettingError: the catalogue does not have so many groups or classes.
        """
        items = len(items_of(catalogue, self.whole_groups))
        what = catalogue.group_word if self.whole_groups else catalogue.class_word
        allowed = f"must be at most the {items} {what} there are"
        size = self.classes_per_task
        require(size is None or size <= items, "classes_per_task", size, allowed)
        if self.num_tasks is None:
            return items // (size or 1)
        if size is not None and size > 1:
            allowed = f"must be at most {items // size}: there are {items} {what}, and classes_per_task={size}"
        require(self.num_tasks * (size or 1) <= items, "num_tasks", self.num_tasks, allowed)
        return self.num_tasks

    def count_classes(self, catalogue: Catalogue) -> int:
        """The classes of all tasks together, the same for every seed."""
        if self.classes_per_task is None:
            return len(catalogue.names)
        return self.count_tasks(catalogue) * self.classes_per_task

    def bounds(self, catalogue: Catalogue, weight: np.ndarray) -> tuple[list[int], list[int]]:
        """The least and the largest total weight that each task can get, whatever the seed: two lists [T].

        Args:
            catalogue: the classes that are assigned.
            weight: [C] the weight of a class: 1, or its number of examples.
        """
        items = items_of(catalogue, self.whole_groups)
        weights = np.array([weight[item].sum() for item in items])
        slices = self._task_slices(len(items), catalogue)
        if not self.shuffled:
            exact = [int(weights[positions].sum()) for positions in slices]
            return exact, exact
        rising = np.sort(weights)
        least, most = ([int(order[: len(positions)].sum()) for positions in slices] for order in (rising, rising[::-1]))
        return least, most

    def smallest_task(self, catalogue: Catalogue) -> int:
        """The fewest classes that a task can get, whatever the seed."""
        return min(self.bounds(catalogue, np.ones(len(catalogue.names), np.int64))[0])

    def task_sizes(self, catalogue: Catalogue) -> list[int]:
        """The numbers of classes that a task may get: for every task all from its least to its largest, whatever the seed."""
        least, most = self.bounds(catalogue, np.ones(len(catalogue.names), np.int64))
        return sorted({size for low, high in zip(least, most, strict=True) for size in range(low, high + 1)})

    def assign(self, catalogue: Catalogue, rng: np.random.Generator) -> list[np.ndarray]:
        """[T] arrays of class indexes; the order within a task is random too."""
        items = items_of(catalogue, self.whole_groups)
        if self.shuffled:
            items = [items[i] for i in rng.permutation(len(items))]
        slices = self._task_slices(len(items), catalogue)
        return [rng.permutation(np.concatenate([items[i] for i in positions])) for positions in slices]

    def _task_slices(self, items: int, catalogue: Catalogue) -> list[np.ndarray]:
        """[T] arrays of positions in the order of assignment."""
        tasks = self.count_tasks(catalogue)
        used = items if self.classes_per_task is None else tasks * self.classes_per_task
        return np.array_split(np.arange(used), tasks)


def items_of(catalogue: Catalogue, whole_groups: bool) -> list[np.ndarray]:
    """Arrays of class indexes that stay together, in the catalogue's order."""
    labels = catalogue.groups if whole_groups else range(len(catalogue.groups))
    members: dict[object, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return [np.array(indexes) for indexes in members.values()]


def count_of_share(share: float, num_classes: int) -> int:
    """How many of a task's classes are held out: `share` is a number of classes, or a fraction of them when below 1."""
    return round(share * num_classes) if share < 1 else int(share)


def split_sizes(num_classes: int, *, validation: float, test: float) -> dict[Split, int]:
    """How many of a task's classes go to each split; train gets the rest, which is negative where nothing is left."""
    sizes = {"validation": count_of_share(validation, num_classes), "test": count_of_share(test, num_classes)}
    return {"train": num_classes - sum(sizes.values()), "validation": sizes["validation"], "test": sizes["test"]}


def task_names(catalogue: Catalogue, tasks: list[np.ndarray], *, shuffled: bool) -> list[str]:
    """[T] names: the task's groups if no other task has classes of them, else its number.

    Where the seed assigns them (`shuffled`), so many groups that the name would leave some out are a number too: tasks with the
    same name are taken for the same task, whatever the seed.
    """
    return [_task_name(catalogue, classes, number, shuffled=shuffled) for number, classes in enumerate(tasks)]


def _task_name(catalogue: Catalogue, classes: np.ndarray, number: int, *, shuffled: bool) -> str:
    groups = list(dict.fromkeys(catalogue.groups[index] for index in np.sort(classes)))
    shared = len(classes) < sum(group in groups for group in catalogue.groups)
    if shared or len(groups) == len(set(catalogue.groups)) > 1 or len(groups) == len(classes):
        return f"task {number + 1}"
    names = [group.replace("_", " ") for group in groups]
    if shuffled and len(names) > 2:
        return f"task {number + 1}"
    return " + ".join(names) if len(names) <= 2 else f"{names[0]} + {len(names) - 1} more"
