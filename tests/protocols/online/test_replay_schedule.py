"""What a buffer holds and draws: algorithm R by hand, chances, limits, the same answer from wherever one starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.randomness import Purpose, generator
from metacl_run.protocols.online.replay_schedule import ReplaySchedule

SIZES = {"num_tasks": 4, "samples_per_task": 30, "batch_size": 5}


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
    drawn = reservoir(capacity, size=3 if capacity > 1 else 1).draw(0, 24)
    for unit in range(24):
        held = held_by_hand(capacity, unit * 5, seed=0)
        for numbers, weight, slots in zip(drawn.number[unit], drawn.weight[unit], drawn.slot[unit], strict=True):
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
            content = reservoir(12, seed)._reservoir_content(120)
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


def test_a_ring_keeps_the_last_samples_of_the_tasks_that_are_over() -> None:
    buffer = ReplaySchedule(ReplaySpec(keep="ring", capacity=20, draws=1, size=4), 0, **SIZES)
    drawn = buffer.draw(0, 24)
    assert not drawn.weight[:6].any()  # the first task is not over
    assert set(drawn.number[6:12].reshape(-1).tolist()) <= set(range(25, 30))
    third = set(drawn.number[12:18].reshape(-1).tolist())
    assert third <= set(range(25, 30)) | set(range(55, 60))


def test_by_task_each_draw_is_all_that_is_kept_of_its_task() -> None:
    buffer = ReplaySchedule(ReplaySpec(keep="ring", capacity=12, draws=4, size=3, by_task=True), 0, **SIZES)
    drawn = buffer.draw(0, 24)
    for unit in range(24):
        for task in range(4):
            expected = list(range(30 * task + 27, 30 * task + 30)) if task < unit // 6 else []
            real = drawn.weight[unit, task] > 0
            assert sorted(drawn.number[unit, task][real].tolist()) == expected
            assert sorted(drawn.slot[unit, task][real].tolist()) == ([3 * task, 3 * task + 1, 3 * task + 2] if expected else [])


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
        ReplaySpec(keep=keep, capacity=0, draws=2, size=200), 0, num_tasks=4, samples_per_task=30, batch_size=5
    )  # type: ignore[arg-type]
    drawn = buffer.draw(7, 2)  # in the second task
    for number, weight in zip(drawn.number.reshape(-1, 200), drawn.weight.reshape(-1, 200), strict=True):
        assert sorted(number[weight > 0]) == list(range(held))


# ------------------------------------------------------------------------------------------------------- several passes

REPEATED = ("reservoir", 7), ("ring", 12), ("seen", 0), ("all", 0)


@pytest.mark.parametrize(("keep", "capacity"), REPEATED)
def test_a_pass_after_the_first_brings_nothing_new_into_the_buffer(keep: Any, capacity: int) -> None:
    spec = ReplaySpec(keep=keep, capacity=capacity, draws=1, size=3)
    drawn = ReplaySchedule(spec, 0, **SIZES, epochs=3).draw(0, 72)
    for unit in range(72):
        task, within = divmod(unit, 18)
        come = task * 30 + min(30, within * 5)
        held = {
            "reservoir": held_by_hand(capacity, come, seed=0),
            "ring": [30 * over + place for over in range(task) for place in range(27, 30)],
            "seen": range((task + 1) * 30),
            "all": range(120),
        }[keep]
        real = drawn.weight[unit] > 0
        assert real.sum() == min(3, len(held))
        assert set(drawn.number[unit][real].tolist()) <= set(held)
    writes = drawn.write.reshape(4, 18, 5)
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
