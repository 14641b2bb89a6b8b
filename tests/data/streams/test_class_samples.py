"""`SplitClassSamples` and `HeldOutClassSamples` on sources whose examples carry their own number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import ConfigError, SettingError, prefix_field_errors
from metacl_run.data.sources.source import Catalogue
from metacl_run.models.network import Network
from tests.support.point_sources import (
    NUM_TRAIN,
    GroupedPoints,
    grouped_points,
    held_out_samples,
    split_points,
    train_samples,
)

# ----------------------------------------------------------------------------------------------------- SplitClassSamples


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
@pytest.mark.parametrize("shuffled", [True, False])
def test_labels_are_those_of_the_assigned_classes(scenario: str, shuffled: bool) -> None:
    stream, seeds = split_points(scenario=scenario, shuffled=shuffled), [0, 1, 2]
    stream.check()
    pool, classes = stream.load(seeds), stream.source.read_parts().y
    assert pool.samples_per_task == stream.count_samples() == 12 + 13  # of the two smallest classes
    assigned = []
    for replicate in range(3):
        for task in range(3):
            class_of: dict[int, int] = {}
            for samples_of, is_test in ((train_samples, False), (held_out_samples, True)):
                rows, labels = samples_of(pool, replicate, task)
                assert len(set(rows.tolist())) == len(rows)
                assert ((rows >= NUM_TRAIN) == is_test).all()  # the source's parts stay what they are
                assert set(labels) == ({0, 1} if scenario == "domain" else {2 * task, 2 * task + 1})
                for row, label in zip(rows, labels, strict=True):
                    assert class_of.setdefault(int(label), int(classes[row])) == classes[row]
            test_counts = np.bincount(classes[held_out_samples(pool, replicate, task)[0]])
            assert all(test_counts[index] == 4 + index for index in class_of.values())  # all there are
            train_counts = np.bincount(train_samples(pool, replicate, task)[1])[list(class_of)]
            assert train_counts.sum() == 25
            assert abs(train_counts[0] - train_counts[1]) <= 1
            assigned.append([class_of[label] for label in sorted(class_of)])
        assert len(set(itertools.chain(*assigned[-3:]))) == 6
    if shuffled:
        assert assigned[:3] != assigned[3:6]
    else:
        assert assigned == [[0, 1], [2, 3], [4, 5]] * 3
        assert pool.task_names[0] == ["class 0 + class 1", "class 2 + class 3", "class 4 + class 5"]
    assert stream.count_outputs() == (2 if scenario == "domain" else 6)
    assert stream.new_outputs == (scenario == "class")
    if scenario == "task":
        assert pool.masks is not None
        assert pool.masks.shape == (3, 6)
    else:
        assert pool.masks is None


def test_a_replicate_is_what_its_seed_loads_alone() -> None:
    stream = split_points(train_per_task=9, test_per_task=5)
    together = stream.load([4, 7])
    for replicate, seed in enumerate((4, 7)):
        alone = stream.load([seed])
        assert alone.task_names == [together.task_names[replicate]]
        for task in range(3):
            for samples_of in (train_samples, held_out_samples):
                for a, b in zip(samples_of(together, replicate, task), samples_of(alone, 0, task), strict=True):
                    np.testing.assert_array_equal(a, b)
            assert len(held_out_samples(alone, 0, task)[0]) == 5
    assert not np.array_equal(train_samples(together, 0, 0)[0], train_samples(together, 1, 0)[0])


def test_all_classes_as_evenly_as_possible_and_as_many_tasks_as_the_classes_fill() -> None:
    stream = split_points(classes_per_task=None, scenario="task")
    pool = stream.load([0])
    assert [len(set(held_out_samples(pool, 0, task)[1])) for task in range(3)] == [3, 2, 2]
    assert pool.masks is not None
    assert pool.masks.sum(1).tolist() == [3, 2, 2]
    assert stream.count_samples() == 12 + 13  # of a task of two; a task of three gives as many
    assert np.bincount(train_samples(pool, 0, 0)[1]).tolist() in ([9, 8, 8], [8, 9, 8], [8, 8, 9])
    assert split_points(num_tasks=None, classes_per_task=3).count_tasks() == 2


@pytest.mark.parametrize("limit", [None, 3])
def test_masked_outputs_cannot_win(limit: int | None) -> None:
    pool = split_points(scenario="task").load([0])
    torch.manual_seed(0)
    module = torch.nn.Linear(2, 6)
    params = {name: 100 * value.detach() for name, value in module.named_parameters()}
    free, masked = Network(module, 6), Network(module, 6, masks=pool.masks)
    assert pool.masks is not None
    strays = 0
    for task in range(3):
        x, _, tasks = pool.test(task, limit)[0]
        strays += int((free(params, x, tasks).argmax(-1) // 2 != task).sum())
        assert (masked(params, x, tasks).argmax(-1) // 2 == task).all()
        assert masked(params, x, tasks).softmax(-1)[:, pool.masks[task]].sum(-1).allclose(torch.ones(len(x)))
    assert strays > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 0}, "num_tasks=0: must be at least 1, or null"),
        ({"num_tasks": None, "classes_per_task": None}, "num_tasks=null: must be a number where classes_per_task is null"),
        ({"num_tasks": 4}, "num_tasks=4: must be at most 3: there are 7 classes, and classes_per_task=2"),
        ({"classes_per_task": 8}, "classes_per_task=8: must be at most the 7 classes"),
        ({"tasks_from": "class"}, "tasks_from=class: must be one of groups, classes. Did you mean classes"),
        ({"tasks_from": "groups"}, "classes_per_task=2: must be null with tasks_from=groups"),
        ({"train_per_task": 26}, r"train_per_task=26: must be null, or 2 \(the classes of a task\) to 25 "),
        ({"train_per_task": 1}, "train_per_task=1: must be null, or 2 "),
        ({"test_per_task": 10}, "test_per_task=10: must be null, or 2 .* to 9 "),
        ({"scenario": "tasks"}, "scenario=tasks: must be one of domain, class, task"),
        ({"classes_per_task": 1, "scenario": "task"}, "scenario=task: must be class where a task may have one class"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"), prefix_field_errors("data"):
        split_points(**changes).check()


# --------------------------------------------------------------------------------------------------- HeldOutClassSamples


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
def test_test_examples_are_kept_of_every_class(scenario: str) -> None:
    stream, seeds = grouped_points(scenario=scenario), range(12)
    stream.check()
    pool, classes = stream.load(seeds), np.repeat(np.arange(9), 6 + np.arange(9))
    assert stream.count_samples() == pool.samples_per_task == 4 + (5 + 6)  # groups a and b, two of each class kept for test
    assert stream.count_outputs() == {"domain": 6, "class": 9, "task": 12}[scenario]
    sizes, test_rows = set(), []
    for replicate in range(len(seeds)):
        earlier: list[int] = []
        for task in range(2):
            (train, train_labels), (test, test_labels) = (of(pool, replicate, task) for of in (train_samples, held_out_samples))
            assert not set(train) & set(test)
            assert len(set(train)) == 15
            class_of = dict(zip(train_labels.tolist(), classes[train].tolist(), strict=True))
            assert [class_of[label] for label in train_labels] == classes[train].tolist()
            assert dict(zip(test_labels.tolist(), classes[test].tolist(), strict=True)) == class_of
            assert (np.bincount(test_labels)[list(class_of)] == 2).all()
            first = {"domain": 0, "class": len(earlier), "task": 6 * task}[scenario]
            assert sorted(class_of) == list(range(first, first + len(class_of)))
            if scenario == "task":
                assert pool.masks is not None
                assert pool.masks[task, sorted(class_of)].all()
                assert pool.masks[task].sum() == 6  # the largest task of any seed: groups d and b or c
            earlier += class_of.values()
            test_rows += test.tolist()
            sizes.add(len(class_of))
        assert sorted(earlier) == list(range(9))
    assert sizes == {3, 4, 5, 6}
    assert len(set(test_rows)) > 60  # every seed keeps other examples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_examples": 6}, "test_examples=6: must be less than the 6 examples of class class 0"),
        ({"test_examples": 0}, "test_examples=0: must be at least 1"),
        ({"scenario": "domian"}, "scenario=domian: must be one of domain, class, task"),
        ({"shift": "rotate"}, "shift=rotate: must be one of none"),
    ],
)
def test_examples_that_cannot_be_kept_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"), prefix_field_errors("data"):
        grouped_points(**changes).check()


def test_every_class_of_the_largest_task_needs_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    grouped_points(test_examples=5).check()  # groups a and b are left 1 + 2 + 3 examples, and d with another has 6 classes
    few = Catalogue(names=[str(number) for number in range(9)], counts=np.full(9, 6), groups=list("abbccdddd"))
    monkeypatch.setattr(GroupedPoints, "catalogue", lambda self: few)
    message = r"test_examples=5: leaves 3 examples .* to every task; one may have 6 classes"
    with pytest.raises(SettingError, match=message):
        grouped_points(test_examples=5).check()
