"""What a buffer holds and draws: algorithm R by hand, chances, limits, the same answer from wherever one starts."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.protocols.online import buffer_places
from metacl_run.protocols.online.replay_schedule import ReplaySchedule

SIZES = {"samples": TaskLengths.equal(4, 30), "batch_size": 5}


def reservoir(capacity: int, seed: int = 0, draws: int = 2, size: int = 3) -> ReplaySchedule:
    return ReplaySchedule(ReplaySpec(keep="reservoir", capacity=capacity, draws=draws, size=size), seed, **SIZES)


def held_by_hand(capacity: int, until: int, seed: int) -> list[int]:
    """Vitter's algorithm R on samples 0 .. until - 1 with the same uniform numbers."""
    uniforms = generator(Purpose.RESERVOIR, seed).random(120)
    held: list[int] = []
    for number in range(until):
        if len(held) < capacity:
            held.append(number)
        elif (place := int(uniforms[number] * (number + 1))) < capacity:
            held[place] = number
    return held


@pytest.mark.parametrize("capacity", [1, 7, 200])
def test_draws_come_from_what_algorithm_r_has_kept(capacity: int) -> None:
    draws = reservoir(capacity, size=3 if capacity > 1 else 1).draw(0, 24)
    for unit in range(24):
        held = held_by_hand(capacity, unit * 5, seed=0)
        for numbers, weight, slots in zip(draws.number[unit], draws.weight[unit], draws.slot[unit], strict=True):
            real = weight > 0
            assert real.sum() == min(len(held), len(numbers))
            assert [held[slot] for slot in slots[real]] == numbers[real].tolist()
            assert len(set(slots[real].tolist())) == real.sum()  # without replacement
            assert not numbers[~real].any()


def test_the_places_written_to_rebuild_the_buffer() -> None:
    buffer, places = reservoir(7), [-1] * 8
    write = buffer.draw(0, 24).write.reshape(-1)
    for number, place in enumerate(write):
        places[place] = number
    assert places[:7] == held_by_hand(7, 120, seed=0)


def test_every_sample_is_as_likely_to_be_kept() -> None:
    counts = np.zeros(120)
    for seed in range(3000):
        counts[held_by_hand(12, 120, seed)] += 1
        if seed < 20:
            content = reservoir(12, seed)._content(120)
            assert content.tolist() == held_by_hand(12, 120, seed)
    expected = 3000 * 12 / 120
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_draws_do_not_depend_on_where_one_starts() -> None:
    whole = reservoir(7).draw(0, 24)
    buffer = reservoir(7)
    for first, count in ((20, 4), (0, 3), (3, 17)):  # later, then back
        part = buffer.draw(first, count)
        for a, b in zip(part, whole, strict=True):
            np.testing.assert_array_equal(a, b[first : first + count])


def test_the_last_samples_of_the_tasks_that_are_over() -> None:
    buffer = ReplaySchedule(ReplaySpec(keep="last", capacity=20, draws=1, size=4), 0, **SIZES)
    draws = buffer.draw(0, 24)
    assert not draws.weight[:6].any()  # the first task is not over
    assert set(draws.number[6:12].reshape(-1).tolist()) <= set(range(25, 30))
    third = set(draws.number[12:18].reshape(-1).tolist())
    assert third <= set(range(25, 30)) | set(range(55, 60))


def test_by_task_each_draw_is_all_that_is_kept_of_its_task() -> None:
    buffer = ReplaySchedule(ReplaySpec(keep="last", capacity=12, draws=4, size=3, by_task=True), 0, **SIZES)
    draws = buffer.draw(0, 24)
    for unit in range(24):
        for task in range(4):
            expected = list(range(30 * task + 27, 30 * task + 30)) if task < unit // 6 else []
            real = draws.weight[unit, task] > 0
            assert sorted(draws.number[unit, task][real].tolist()) == expected
            assert sorted(draws.slot[unit, task][real].tolist()) == ([3 * task, 3 * task + 1, 3 * task + 2] if expected else [])


@pytest.mark.parametrize(("keep", "most"), [("seen", 60), ("all", 120)])
def test_seen_and_all_reach_as_far_as_they_say(keep: str, most: int) -> None:
    buffer = ReplaySchedule(ReplaySpec(keep=keep, capacity=0, draws=4, size=25), 0, **SIZES)  # type: ignore[arg-type]
    numbers = buffer.draw(6, 6).number  # the second task
    assert numbers.max() < most
    assert numbers.max() > most - 10
    assert len(np.unique(numbers)) > 0.9 * most


def test_orders_are_permutations_of_the_batch() -> None:
    orders = reservoir(7).draw(3, 5).order
    assert orders.shape == (5, 2, 5)
    assert (np.sort(orders, -1) == np.arange(5)).all()
    assert len(np.unique(orders.reshape(-1, 5), axis=0)) > 5


@pytest.mark.parametrize(("keep", "held"), [("all", 120), ("seen", 60)])
def test_what_is_kept_whole_needs_no_list_of_its_samples(keep: str, held: int) -> None:
    buffer = ReplaySchedule(
        ReplaySpec(keep=keep, capacity=0, draws=2, size=200), 0, samples=TaskLengths.equal(4, 30), batch_size=5
    )  # type: ignore[arg-type]
    draws = buffer.draw(7, 2)  # in the second task
    for number, weight in zip(draws.number.reshape(-1, 200), draws.weight.reshape(-1, 200), strict=True):
        assert sorted(number[weight > 0]) == list(range(held))


# ------------------------------------------------------------------------------------------------------ buffers by class

UNEVEN = np.random.default_rng(0).choice(4, 120, p=[0.7, 0.2, 0.07, 0.03])


def content(places: np.ndarray, capacity: int) -> list[int]:
    """The samples that a buffer has in the end."""
    samples = {place: number for number, place in enumerate(places.tolist()) if place < capacity}
    return [samples[place] for place in sorted(samples)]


def test_a_balanced_buffer_with_one_class_is_a_reservoir() -> None:
    one = np.zeros(120, np.int64)
    np.testing.assert_array_equal(buffer_places.balanced(7, one, 3), buffer_places.reservoir(7, 120, 3))


def test_a_balanced_buffer_keeps_what_is_rare_and_a_fair_part_of_the_rest() -> None:
    """Of the rare classes everything is kept, the others share what is left evenly, and none of their samples is preferred."""
    came, labels = collections.Counter(UNEVEN.tolist()), UNEVEN
    assert came[3] < came[2] < 16 < came[1] < came[0]
    early = 0
    for seed in range(300):
        samples = content(buffer_places.balanced(64, labels, seed), 64)
        assert len(set(samples)) == 64
        sizes = collections.Counter(labels[samples].tolist())
        assert (sizes[2], sizes[3]) == (came[2], came[3])
        assert abs(sizes[0] - sizes[1]) <= 1
        common = np.flatnonzero(labels == 0)
        early += np.isin(common[: len(common) // 2], samples).sum() / sizes[0]
    assert abs(early / 300 - 0.5) < 0.03


def balanced_by_looking_at_all(capacity: int, labels: np.ndarray, seed: int) -> np.ndarray:
    """Algorithm 1 as it is written: the largest classes are looked for anew at every sample."""
    uniforms, places = generator(Purpose.RESERVOIR, seed).random(len(labels)), np.full(len(labels), capacity)
    of_class: dict[int, list[int]] = {}
    came: collections.Counter[int] = collections.Counter()
    full: set[int] = set()
    for number, label in enumerate(labels.tolist()):
        own = of_class.setdefault(label, [])
        came[label] += 1
        if number < capacity:
            places[number] = number
            own.append(number)
            continue
        most = max(map(len, of_class.values()))
        largest = [one for one in of_class if len(of_class[one]) == most]
        full.update(largest)
        if label not in full:
            which, place = divmod(int(uniforms[number] * most * len(largest)), most)
            own.append(of_class[largest[which]].pop(place))
            places[number] = own[-1]
        elif (place := int(uniforms[number] * came[label])) < len(own):
            places[number] = own[place]
    return places


@pytest.mark.parametrize("seed", range(20))
def test_a_balanced_buffer_is_the_algorithm_as_it_is_written(seed: int) -> None:
    rng = np.random.default_rng(seed)
    capacity, classes = int(rng.integers(1, 40)), int(rng.integers(1, 30))
    labels = rng.choice(classes, 400, p=rng.dirichlet(np.full(classes, 0.5)))
    labels = np.sort(labels) if seed % 2 else labels  # class after class, and all together
    expected = balanced_by_looking_at_all(capacity, labels, seed)
    np.testing.assert_array_equal(buffer_places.balanced(capacity, labels, seed), expected)


def test_a_class_that_was_the_largest_never_grows_again() -> None:
    """Ten of class 0 fill the buffer; then the others take its places, and it does not come back, however many come."""
    labels = np.array([0] * 10 + [1] * 5 + [2] * 3 + [0] * 200)
    for seed in range(20):
        before = content(buffer_places.balanced(10, labels[:18], seed), 10)
        after = content(buffer_places.balanced(10, labels, seed), 10)
        sizes = collections.Counter(labels[before].tolist())
        assert sizes in ({0: 4, 1: 3, 2: 3}, {0: 3, 1: 4, 2: 3})
        assert collections.Counter(labels[after].tolist()) == sizes


def test_a_ring_has_the_last_samples_of_every_class_of_every_task() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=120)
    spec = ReplaySpec(keep="ring", capacity=26, draws=1, size=26)
    schedule = ReplaySchedule(spec, 0, **SIZES, labels=labels)  # 12 groups of 2 places
    draws = schedule.draw(0, 24)
    places = [-1] * 27
    for unit in range(24):
        expected = []
        for task in range(4):
            own = range(task * 30, min(unit * 5, (task + 1) * 30))
            expected += [n for label in range(3) for n in [i for i in own if labels[i] == label][-2:]]
        real = draws.weight[unit, 0] > 0
        assert sorted(draws.number[unit, 0][real].tolist()) == sorted(expected)
        assert [places[slot] for slot in draws.slot[unit, 0][real]] == draws.number[unit, 0][real].tolist()
        for number, place in enumerate(draws.write[unit].tolist(), unit * 5):
            assert place < 24
            places[place] = number


def test_a_class_that_comes_with_many_tasks_has_one_ring_where_labels_do_not_recur() -> None:
    """As with blurred task boundaries: places for three classes suffice, whatever tasks these come with."""
    labels = np.random.default_rng(1).integers(3, size=120)
    spec = ReplaySpec(keep="ring", capacity=6, draws=1, size=6)
    draws = ReplaySchedule(spec, 0, **SIZES, labels=labels, labels_recur=False).draw(0, 24)
    for unit in range(1, 24):
        expected = [n for label in range(3) for n in [i for i in range(unit * 5) if labels[i] == label][-2:]]
        real = draws.weight[unit, 0] > 0
        assert sorted(draws.number[unit, 0][real].tolist()) == sorted(expected)


@pytest.mark.parametrize("labels_recur", [True, False])
def test_of_a_ring_that_draws_from_the_past_the_current_task_is_left_out(labels_recur: bool) -> None:
    """Also where labels do not recur, and yet come with many tasks: with blurred borders."""
    labels = np.random.default_rng(2).integers(3, size=120)
    spec = ReplaySpec(keep="ring", capacity=26, draws=1, size=26, past=True)
    draws = ReplaySchedule(spec, 0, **SIZES, labels=labels, labels_recur=labels_recur).draw(0, 24)
    for unit in range(24):
        expected = []
        for task in range(unit // 6):
            own = range(task * 30, (task + 1) * 30)
            expected += [n for label in range(3) for n in [i for i in own if labels[i] == label][-2:]]
        real = draws.weight[unit, 0] > 0
        assert sorted(draws.number[unit, 0][real].tolist()) == sorted(expected)


@pytest.mark.parametrize("keep", ["balanced", "ring"])
def test_a_buffer_by_class_does_not_depend_on_where_one_starts(keep: Any) -> None:
    spec = ReplaySpec(keep=keep, capacity=20, draws=2, size=3)
    whole = ReplaySchedule(spec, 1, **SIZES, epochs=2, labels=UNEVEN).draw(0, 48)
    schedule = ReplaySchedule(spec, 1, **SIZES, epochs=2, labels=UNEVEN)
    for first, count in ((40, 8), (0, 5), (5, 20)):
        for a, b in zip(schedule.draw(first, count), whole, strict=True):
            np.testing.assert_array_equal(a, b[first : first + count])


# ------------------------------------------------------------------------------------------------------- several passes

REPEATED = ("reservoir", 7), ("last", 12), ("seen", 0), ("all", 0)


@pytest.mark.parametrize(("keep", "capacity"), REPEATED)
def test_a_pass_after_the_first_brings_nothing_new_into_the_buffer(keep: Any, capacity: int) -> None:
    spec = ReplaySpec(keep=keep, capacity=capacity, draws=1, size=3)
    draws = ReplaySchedule(spec, 0, **SIZES, epochs=3).draw(0, 72)
    for unit in range(72):
        task, within = divmod(unit, 18)
        come = task * 30 + min(30, within * 5)
        samples = {
            "reservoir": held_by_hand(capacity, come, seed=0),
            "last": [30 * over + place for over in range(task) for place in range(27, 30)],
            "seen": range((task + 1) * 30),
            "all": range(120),
        }[keep]
        real = draws.weight[unit] > 0
        assert real.sum() == min(3, len(samples))
        assert set(draws.number[unit][real].tolist()) <= set(samples)
    writes = draws.write.reshape(4, 18, 5)
    assert (writes[:, 6:] == capacity).all()
    once = ReplaySchedule(spec, 0, **SIZES).draw(0, 24).write.reshape(4, 6, 5)
    np.testing.assert_array_equal(writes[:, :6], once)


@pytest.mark.parametrize(("keep", "capacity"), REPEATED)
def test_several_passes_do_not_depend_on_where_one_starts(keep: Any, capacity: int) -> None:
    spec = ReplaySpec(keep=keep, capacity=capacity, draws=2, size=3)
    whole = ReplaySchedule(spec, 1, **SIZES, epochs=2).draw(0, 48)
    schedule = ReplaySchedule(spec, 1, **SIZES, epochs=2)
    for first, count in ((40, 8), (0, 5), (5, 20)):
        for a, b in zip(schedule.draw(first, count), whole, strict=True):
            np.testing.assert_array_equal(a, b[first : first + count])
