"""Tasks of different lengths, and tasks that share a part of their samples, on points that carry their own number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, SettingError
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.data.streams.stream import SamplePool
from metacl_run.data.streams.validation import ValidationSamples, count_held_out
from tests.support.point_sources import grouped_points, numbers, split_points


def joined(lists: Iterable[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def by_task(pool: SamplePool, replicate: int = 0) -> list[tuple[list[int], list[int]]]:
    """Numbers and labels of the training points of every task."""
    parts = []
    for task, (start, end) in enumerate(zip(pool.lengths.starts, pool.lengths.ends, strict=True)):
        samples = pool.gather(replicate, np.arange(start, end))
        assert (samples.task == task).all()
        parts.append((numbers(samples.x).tolist(), samples.y.tolist()))
    return parts


def test_lengths_say_where_tasks_begin_and_end() -> None:
    lengths = TaskLengths.of([3, 1, 4])
    assert (lengths.starts.tolist(), lengths.ends.tolist(), lengths.total) == ([0, 3, 4], [3, 4, 8], 8)
    tasks, places = lengths.within(np.array([[0, 2, 3], [4, 7, 8]]))
    assert tasks.tolist() == [[0, 0, 1], [2, 2, 2]]  # what lies beyond the end belongs to the last
    assert places.tolist() == [[0, 2, 0], [0, 3, 4]]
    assert lengths.times(2).lengths == (6, 2, 8)
    assert lengths.at_most(3).lengths == (3, 1, 3)
    assert not lengths.are_equal
    assert TaskLengths.equal(2, 5) == TaskLengths.of([5, 5])


def test_without_balance_every_sample_is_there_and_classes_keep_their_shares() -> None:
    stream = split_points(shuffled=False, balance="none")
    pool = stream.load([0, 1])
    assert stream.sample_lengths() == pool.lengths == TaskLengths.of([12 + 13, 14 + 15, 16 + 17])
    assert stream.count_samples() == 25
    for replicate in range(2):
        rows, labels = zip(*by_task(pool, replicate), strict=True)
        assert [np.bincount(own)[-2:].tolist() for own in labels] == [[12, 13], [14, 15], [16, 17]]
        assert len(set(joined(rows))) == 25 + 29 + 33
    assert pool.origins(0).tolist() == joined(own for own, _ in by_task(pool))
    assert pool.notes == ["1 of 7 classes fill no task and are left out"]


def test_seeds_that_deal_different_tasks_learn_as_many_samples() -> None:
    pool = split_points(balance="none").load([0, 1, 2])
    assert pool.lengths == TaskLengths.of([25, 25, 25])  # as little as any seed deals
    grouped = grouped_points(balance="none", shuffled=False).load([0])
    assert grouped.lengths == TaskLengths.of([4 + 5 + 6, 7 + 8 + 9 + 10 + 11 + 12])
    limited = split_points(shuffled=False, balance="none", train_per_task=30)
    limited.check()
    assert limited.load([0]).lengths == TaskLengths.of([25, 29, 30])


def test_a_larger_first_task_comes_in_one_order_for_all_seeds() -> None:
    stream = split_points(num_tasks=None, balance="none", order_seed=1, first_task_classes=3)
    stream.check()
    order = np.random.RandomState(1).permutation(7)
    divided = [order[:3], order[3:5], order[5:7]]
    pool = stream.load([0, 1])
    assert pool.lengths == TaskLengths.of([sum(12 + classes) for classes in divided])
    for replicate in range(2):
        assert [len(set(labels)) for _, labels in by_task(pool, replicate)] == [3, 2, 2]
    names = [" + ".join(f"class {number}" for number in sorted(classes)) for classes in divided[1:]]
    assert pool.task_names == [["task 1", *names]] * 2
    assert pool.classes is not None
    ordered = np.concatenate([np.sort(classes) for classes in divided])
    assert (pool.classes.of_output == ordered).all()  # [seeds, tasks, outputs]


def test_a_first_task_that_is_cut_to_the_size_of_others_is_said() -> None:
    larger = {"num_tasks": None, "balance": "none", "shuffled": False, "first_task_classes": 3}
    (cut,) = split_points(**larger, train_per_task=24).load([0]).notes
    assert cut.startswith("the first task has about 8 training samples of a class, the last 12: data.train_per_task=24 cuts")
    assert not split_points(**larger).load([0]).notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_task_classes": 3}, "first_task_classes=3: must be null with balance=tasks"),
        ({"balance": "none", "num_tasks": None, "first_task_classes": 6}, "first_task_classes=6: must be at most 5"),
        ({"balance": "none", "num_tasks": 1, "first_task_classes": 3}, "num_tasks=1: must be 2 to 3"),
        (
            {"balance": "none", "num_tasks": 4, "first_task_classes": 3},
            "num_tasks=4: must be 2 to 3: .* and classes_per_task=2",
        ),
    ],
)
def test_a_first_task_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, SettingError), match=message):
        split_points(**changes).check()


@pytest.mark.parametrize("changes", [{"first_task_classes": 3}, {"class_order": [0, 1], "shuffled": False}])
def test_whole_groups_are_not_taken_apart(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"{next(iter(changes))}=.*: must be null with tasks_from=groups"):
        grouped_points(balance="none", **changes).check()


@pytest.mark.parametrize(("order", "message"), [([0, 7], "has 7, but the classes are 0 to 6"), ([1, 0, 1, 2], "has 1 twice")])
def test_an_order_of_classes_that_cannot_be_is_refused(order: list[int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        split_points(shuffled=False, class_order=order).check()


def test_validation_holds_out_a_share_of_each_task() -> None:
    stream = split_points(shuffled=False, balance="none")
    whole, pool = stream.load([4]), ValidationSamples(inner=stream).load([4])
    assert pool.lengths == ValidationSamples(inner=stream).sample_lengths() == TaskLengths.of([20, 24, 27])
    for task, ((learned, _), (every, _)) in enumerate(zip(by_task(pool), by_task(whole), strict=True)):
        evaluated = numbers(pool.test(task, None)[0].x).tolist()
        assert len(evaluated) == count_held_out(len(every))
        assert sorted(learned + evaluated) == sorted(every)


def test_a_share_of_every_task_comes_from_all_the_others() -> None:
    sharp, mixed = (split_points(blur=blur, train_per_task=24).load([0, 7]) for blur in (0.0, 1 / 3))
    together = []
    for replicate in range(2):
        before, after = by_task(sharp, replicate), by_task(mixed, replicate)
        assert sorted(joined(rows for rows, _ in before)) == sorted(joined(rows for rows, _ in after))  # none is lost
        label_of = dict(zip(*(joined(part) for part in zip(*before, strict=True)), strict=True))
        for task, (rows, labels) in enumerate(after):
            assert [label_of[row] for row in rows] == labels
            assert np.bincount(np.array(labels) // 2).tolist() == [16 if home == task else 4 for home in range(3)]
            stayed = [row == old for row, old in zip(rows, before[task][0], strict=True)]
            assert stayed.count(False) == 8
            assert not all(stayed[:16])  # others come at any time
        together.append(after)
    assert together[0] != together[1]
    assert by_task(split_points(blur=1 / 3, train_per_task=24).load([7])) == together[1]
    for task in range(3):
        assert sharp.test(task, None)[0].y.tolist() == mixed.test(task, None)[0].y.tolist()


@pytest.mark.parametrize("shift", ["permute", "rotate"])  # applied when samples are gathered; once and for all
def test_a_sample_that_comes_with_another_task_looks_as_where_it_is_from(
    shift: str, experiment: Callable[..., Experiment]
) -> None:
    few = ["data.tasks_from=characters", "data.num_tasks=3", "data.classes_per_task=2", f"data.shift={shift}"]
    sharp, mixed = (
        experiment("algo=er", "data=split_glyphs", "data.scenario=class", f"data.blur={blur}", *few, tiny=[]).data.load([3])
        for blur in (0.0, 0.4)
    )
    everything = np.arange(sharp.lengths.total)
    before, after = (pool.gather(0, everything) for pool in (sharp, mixed))
    looks = dict(zip(sharp.origins(0).tolist(), before.x, strict=True))
    moved = 0
    for origin, x, task, label in zip(mixed.origins(0).tolist(), after.x, after.task, after.y, strict=True):
        assert (x == looks[origin]).all()
        moved += int(task != label // 2)
    assert moved > 0.3 * len(everything)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "domain"}, "blur=0.5: must be 0 unless scenario=class"),
        ({"scenario": "task"}, "blur=0.5: must be 0 unless scenario=class"),
        ({"balance": "none"}, "blur=0.5: must be 0 with balance=none"),
        ({"num_tasks": 1}, "blur=0.5: must be 0 with one task"),
    ],
)
def test_where_borders_cannot_be_blurred(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_points(blur=0.5, **changes)


def test_a_share_that_moves_nothing_is_refused() -> None:
    split_points(blur=0.05, train_per_task=24).check()
    with pytest.raises(SettingError, match="must be 0, or move a sample or more of the 24 of a task"):
        split_points(blur=0.01, train_per_task=24).check()


def test_what_is_held_out_must_be_of_its_task(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=r"^protocol\.eval_split=validation: .*with data\.blur are not all its own"):
        experiment("algo=er", "data=split_glyphs", "data.blur=0.2", "protocol.eval_split=validation", tiny=[])
