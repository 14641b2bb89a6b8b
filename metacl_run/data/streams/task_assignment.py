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
    nor `classes_per_task`, every item is a task of its own. The first task may have a size of its own.
    """

    num_tasks: int | None
    """Tasks; they take items as evenly as possible where `classes_per_task` is None."""
    classes_per_task: int | None
    """Exactly this many classes; classes that do not fill a task stay unused. None with `whole_groups`."""
    whole_groups: bool
    """A task takes groups, not single classes."""
    shuffled: bool
    """The seed decides the order, unless there is an `order_seed`; otherwise it is the catalogue's."""
    order_seed: int | None = None
    """Every seed has the order of numpy.random.RandomState(order_seed).permutation; None: see `shuffled`."""
    class_order: tuple[int, ...] | None = None
    """The classes that are assigned, by their places in the catalogue, in this order; None: all. None with `whole_groups`."""
    first_task_classes: int | None = None
    """Classes of the first task; None: as for the others. None with `whole_groups`."""

    def count_tasks(self, catalogue: Catalogue) -> int:
        """The number of tasks.

        Raises:
            SettingError: the catalogue does not have so many groups or classes.
        """
        items = len(self._items(catalogue))
        what = catalogue.group_word if self.whole_groups else catalogue.class_word
        allowed = f"must be at most the {items} {what} {'there are' if self.class_order is None else 'that class_order lists'}"
        size, first = self.classes_per_task, self.first_task_classes
        require(size is None or size <= items, "classes_per_task", size, allowed)
        least, alike = size or 1, 0 if first is None else 1
        if first is not None:
            most = f"must be at most {items - least}, so that a task can follow: there are {items} {what}"
            require(first <= items - least, "first_task_classes", first, most)
        possible = alike + (items - (first or 0)) // least
        if self.num_tasks is None:
            return possible
        if first is not None:
            allowed = "must be 2" if possible == 2 else f"must be 2 to {possible}"
            allowed += f": there are {items} {what}, and first_task_classes={first}"
            allowed += "" if size is None else f" and classes_per_task={size}"
        elif size is not None and size > 1:
            allowed = f"must be at most {possible}: there are {items} {what}, and classes_per_task={size}"
        require(1 + alike <= self.num_tasks <= possible, "num_tasks", self.num_tasks, allowed)
        return self.num_tasks

    def count_classes(self, catalogue: Catalogue) -> int:
        """The classes of all tasks together, the same for every seed."""
        if self.classes_per_task is None:
            return len(catalogue.names if self.class_order is None else self.class_order)
        tasks, first = self.count_tasks(catalogue), self.first_task_classes
        return tasks * self.classes_per_task if first is None else first + (tasks - 1) * self.classes_per_task

    def bounds(self, catalogue: Catalogue, weight: np.ndarray) -> tuple[list[int], list[int]]:
        """The least and the largest total weight that each task can get, whatever the seed: two lists [T].

        Args:
            catalogue: the classes that are assigned.
            weight: [C] the weight of a class: 1, or its number of examples.
        """
        items = self._items(catalogue)
        weights = np.array([weight[item].sum() for item in items])
        slices = self._task_slices(len(items), catalogue)
        order = self._fixed_order(len(items))
        if order is not None:
            exact = [int(weights[order[positions]].sum()) for positions in slices]
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
        items = self._items(catalogue)
        order = self._fixed_order(len(items))
        if order is None:
            order = rng.permutation(len(items))
        slices = self._task_slices(len(items), catalogue)
        return [rng.permutation(np.concatenate([items[i] for i in order[positions]])) for positions in slices]

    def _items(self, catalogue: Catalogue) -> list[np.ndarray]:
        """Arrays of class indexes that stay together, in the order before any shuffling."""
        if self.class_order is not None:
            return [np.array([index]) for index in self.class_order]
        return items_of(catalogue, self.whole_groups)

    def _fixed_order(self, items: int) -> np.ndarray | None:
        """The order in which items are assigned, the same for every seed; None where the seed decides it."""
        if not self.shuffled:
            return np.arange(items)
        # The generator of numpy before version 1.17, with which the published orders were made; its numbers do not change.
        return None if self.order_seed is None else np.random.RandomState(self.order_seed).permutation(items)

    def _task_slices(self, items: int, catalogue: Catalogue) -> list[np.ndarray]:
        """[T] arrays of positions in the order of assignment."""
        tasks, first = self.count_tasks(catalogue), self.first_task_classes
        used = items if self.classes_per_task is None else self.count_classes(catalogue)
        if first is None:
            return np.array_split(np.arange(used), tasks)
        return [np.arange(first), *np.array_split(np.arange(first, used), tasks - 1)]


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
