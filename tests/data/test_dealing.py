from __future__ import annotations

import numpy as np
import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.sources.base import Catalogue
from metacl_run.data.streams.task_assignment import Dealing, split_sizes

GROUPS = ["a"] * 3 + ["b"] * 8 + ["c"] * 2 + ["d"] * 6 + ["e"] * 5
CATALOGUE = Catalogue(names=[str(i) for i in range(24)], counts=np.full(24, 20), groups=GROUPS)


def dealing(**changes: object) -> Dealing:
    settings = {"num_tasks": 2, "classes_per_task": None, "whole_groups": False, "shuffled": True}
    return Dealing(**{**settings, **changes})


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_every_class_goes_to_one_task(whole: bool, tasks: int):
    how = dealing(num_tasks=tasks, whole_groups=whole)
    smallest = how.smallest_task(CATALOGUE)
    seen = set()
    for seed in range(200):
        dealt = how.deal(CATALOGUE, np.random.default_rng(seed))
        assert len(dealt) == tasks
        assert sorted(np.concatenate(dealt)) == list(range(24))
        assert min(map(len, dealt)) >= smallest
        seen.add(min(map(len, dealt)))
        if whole:
            held = [{GROUPS[index] for index in task} for task in dealt]
            assert sum(map(len, held)) == 5
    assert min(seen) == smallest  # the bound is reached


def test_seed_decides_and_repeats():
    first, again, other = (dealing().deal(CATALOGUE, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_classes_per_task_is_exact():
    dealt = dealing(num_tasks=None, classes_per_task=7).deal(CATALOGUE, np.random.default_rng(0))
    assert [len(task) for task in dealt] == [7, 7, 7]
    assert len(set(np.concatenate(dealt))) == 21


def test_both_numbers_use_some_of_the_classes():
    how = dealing(num_tasks=3, classes_per_task=4)
    assert how.count_classes(CATALOGUE) == 12
    assert [len(task) for task in how.deal(CATALOGUE, np.random.default_rng(0))] == [4, 4, 4]


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(
    "numbers",
    [
        {"num_tasks": 2, "whole_groups": True},
        {"num_tasks": 5},
        {"num_tasks": None, "classes_per_task": 7},
        {"num_tasks": 2, "classes_per_task": 3},
    ],
)
def test_bounds_are_those_of_all_seeds(numbers: dict, shuffled: bool):
    how, worth = dealing(shuffled=shuffled, **numbers), np.array([100] * 3 + list(range(21)))
    least, most = how.bounds(CATALOGUE, worth)
    sums = [[worth[task].sum() for task in how.deal(CATALOGUE, np.random.default_rng(seed))] for seed in range(300)]
    assert (np.min(sums, axis=0) >= least).all()
    assert (np.max(sums, axis=0) <= most).all()
    if not shuffled:
        assert least == most == list(sums[0])
    if how.whole_groups:  # few ways to deal: the bounds are reached
        assert least == np.min(sums, axis=0).tolist()
        assert most == np.max(sums, axis=0).tolist()


def test_unshuffled_groups_keep_their_order():
    dealt = dealing(num_tasks=5, whole_groups=True, shuffled=False).deal(CATALOGUE, np.random.default_rng(0))
    assert [GROUPS[task[0]] for task in dealt] == list("abcde")


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
def test_too_many_tasks_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(SettingError, match=message):
        dealing(**changes).count_tasks(CATALOGUE)


def test_held_out_is_a_number_or_a_fraction():
    assert split_sizes(1623, validation=100, test=423.0) == {"train": 1100, "validation": 100, "test": 423}
    assert split_sizes(40, validation=0, test=0.25) == {"train": 30, "validation": 0, "test": 10}
