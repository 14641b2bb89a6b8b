"""How classes become tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.streams.task_assignment import TaskAssignment, split_sizes, task_names

GROUPS = ["a"] * 3 + ["b"] * 8 + ["c"] * 2 + ["d"] * 6 + ["e"] * 5
CATALOGUE = Catalogue(names=[str(i) for i in range(24)], counts=np.full(24, 20), groups=GROUPS)


def assignment(**changes: Any) -> TaskAssignment:
    settings = {"num_tasks": 2, "classes_per_task": None, "whole_groups": False, "shuffled": True}
    return TaskAssignment(**{**settings, **changes})


def assign(seed: int = 0, **changes: Any) -> list[np.ndarray]:
    return assignment(**changes).assign(CATALOGUE, np.random.default_rng(seed))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("num_tasks", [1, 2, 5])
def test_every_class_goes_to_one_task(whole: bool, num_tasks: int) -> None:
    how = assignment(num_tasks=num_tasks, whole_groups=whole)
    smallest, sizes = how.smallest_task(CATALOGUE), set()
    for seed in range(200):
        tasks = how.assign(CATALOGUE, np.random.default_rng(seed))
        assert len(tasks) == num_tasks
        assert sorted(np.concatenate(tasks)) == list(range(24))
        sizes.add(min(map(len, tasks)))
        if whole:
            assert sum(len({GROUPS[index] for index in task}) for task in tasks) == 5
    assert min(sizes) == smallest  # the bound is reached


def test_the_seed_decides_and_repeats() -> None:
    first, again, other = (assign(seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_with_neither_number_every_item_is_a_task() -> None:
    assert [len(task) for task in assign(num_tasks=None, whole_groups=True, shuffled=False)] == [3, 8, 2, 6, 5]


def test_classes_per_task_is_exact() -> None:
    tasks = assign(num_tasks=None, classes_per_task=7)
    assert [len(task) for task in tasks] == [7, 7, 7]
    assert len(set(np.concatenate(tasks))) == 21


@pytest.mark.parametrize(
    ("numbers", "sizes"),
    [
        ({"num_tasks": None, "classes_per_task": 7}, [10, 7, 7]),
        ({"num_tasks": None, "classes_per_task": 5}, [10, 5, 5]),
        ({"num_tasks": 2, "classes_per_task": 5}, [10, 5]),
        ({"num_tasks": 4}, [10, 5, 5, 4]),
        ({"num_tasks": None}, [10] + [1] * 14),
    ],
)
def test_the_first_task_has_a_size_of_its_own(numbers: dict[str, Any], sizes: list[int]) -> None:
    how = assignment(first_task_classes=10, **numbers)
    tasks = how.assign(CATALOGUE, np.random.default_rng(0))
    assert [len(task) for task in tasks] == sizes
    assert len(set(np.concatenate(tasks))) == sum(sizes) == how.count_classes(CATALOGUE)
    assert how.count_tasks(CATALOGUE) == len(sizes)


ORDER_1993 = [
    68,
    56,
    78,
    8,
    23,
    84,
    90,
    65,
    74,
    76,
    40,
    89,
    3,
    92,
    55,
    9,
    26,
    80,
    43,
    38,
    58,
    70,
    77,
    1,
    85,
    19,
    17,
    50,
    28,
    53,
]
"""The first classes of CIFAR-100 in the order that numpy's seed 1993 gives, as public code prints it."""


def test_an_order_seed_gives_all_seeds_the_published_order() -> None:
    names = [str(number) for number in range(100)]
    cifar = Catalogue(names=names, counts=np.full(100, 600), groups=names)
    how = assignment(num_tasks=None, classes_per_task=10, order_seed=1993)
    for seed in (0, 1):
        tasks = how.assign(cifar, np.random.default_rng(seed))
        assert [set(task) for task in tasks[:3]] == [set(ORDER_1993[start : start + 10]) for start in (0, 10, 20)]
        assert sorted(np.concatenate(tasks)) == list(range(100))


def test_listed_classes_come_in_their_order_and_others_not_at_all() -> None:
    how = assignment(num_tasks=None, classes_per_task=2, shuffled=False, class_order=(5, 3, 20, 0, 1))
    assert [set(task) for task in how.assign(CATALOGUE, np.random.default_rng(0))] == [{5, 3}, {20, 0}]
    weight = np.arange(24)
    assert how.bounds(CATALOGUE, weight) == ([8, 20], [8, 20])
    evenly = assignment(num_tasks=2, shuffled=False, class_order=(5, 3, 20, 0, 1))
    assert [len(task) for task in evenly.assign(CATALOGUE, np.random.default_rng(0))] == [3, 2]
    assert (how.count_classes(CATALOGUE), evenly.count_classes(CATALOGUE)) == (4, 5)


def test_both_numbers_use_some_of_the_classes() -> None:
    assert assignment(num_tasks=3, classes_per_task=4).count_classes(CATALOGUE) == 12
    assert [len(task) for task in assign(num_tasks=3, classes_per_task=4)] == [4, 4, 4]


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(
    "numbers",
    [
        {"num_tasks": 2, "whole_groups": True},
        {"num_tasks": 5},
        {"num_tasks": None, "classes_per_task": 7},
        {"num_tasks": 2, "classes_per_task": 3},
        {"num_tasks": 3, "first_task_classes": 9},
        {"num_tasks": None, "classes_per_task": 4, "first_task_classes": 2},
        {"num_tasks": 5, "order_seed": 3},
        {"num_tasks": 2, "whole_groups": True, "order_seed": 3},
    ],
)
def test_bounds_are_those_of_all_seeds(numbers: dict[str, Any], shuffled: bool) -> None:
    how, weight = assignment(shuffled=shuffled, **numbers), np.array([100] * 3 + list(range(21)))
    least, most = how.bounds(CATALOGUE, weight)
    sums = [[weight[task].sum() for task in how.assign(CATALOGUE, np.random.default_rng(seed))] for seed in range(300)]
    assert (np.min(sums, axis=0) >= least).all()
    assert (np.max(sums, axis=0) <= most).all()
    if not shuffled or how.order_seed is not None:
        assert least == most == list(sums[0])
    if how.whole_groups:  # there are few ways to assign them: the bounds are reached
        assert least == np.min(sums, axis=0).tolist()
        assert most == np.max(sums, axis=0).tolist()


def test_unshuffled_groups_keep_their_order() -> None:
    assert [GROUPS[task[0]] for task in assign(num_tasks=5, whole_groups=True, shuffled=False)] == list("abcde")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 6, "whole_groups": True}, "num_tasks=6: must be at most the 5 groups"),
        ({"num_tasks": 25}, "num_tasks=25: must be at most the 24 classes"),
        ({"num_tasks": None, "classes_per_task": 30}, "classes_per_task=30: must be at most the 24 classes"),
        (
            {"num_tasks": 5, "classes_per_task": 5},
            "num_tasks=5: must be at most 4: there are 24 classes, and classes_per_task=5",
        ),
    ],
)
def test_too_many_tasks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        assignment(**changes).count_tasks(CATALOGUE)


def test_held_out_classes_are_a_number_or_a_fraction() -> None:
    assert split_sizes(1623, validation=100, test=423.0) == {"train": 1100, "validation": 100, "test": 423}
    assert split_sizes(40, validation=0, test=0.25) == {"train": 30, "validation": 0, "test": 10}


def test_a_task_is_named_after_groups_that_are_its_own() -> None:
    catalogue = Catalogue(names=list("123456"), counts=np.full(6, 20), groups=["Old_Runes"] * 2 + ["b"] * 2 + ["c"] * 2)
    whole, shared = ([np.array([1, 0]), np.array([4, 2, 3, 5])], [np.array([0, 2, 3]), np.array([1, 4, 5])])
    assert task_names(catalogue, whole, shuffled=True) == ["Old Runes", "b + c"]
    assert task_names(catalogue, shared, shuffled=True) == ["task 1", "task 2"]
    assert task_names(catalogue, [np.arange(6)], shuffled=True) == ["task 1"]  # all groups


def test_a_name_that_leaves_groups_out_is_no_name_of_what_a_seed_assigns() -> None:
    catalogue = Catalogue(names=list("12345678"), counts=np.full(8, 20), groups=list("aabbccdd"))
    tasks = [np.arange(6), np.array([6, 7])]
    assert task_names(catalogue, tasks, shuffled=True) == ["task 1", "d"]  # of another seed: a, b and d
    assert task_names(catalogue, tasks, shuffled=False) == ["a + 2 more", "d"]
