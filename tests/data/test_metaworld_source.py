"""The source of Meta-World's skills, with a simulator of our own in its place: what is made, kept and asked of a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.core.errors import SettingError, SimulatorError
from metacl_run.data.sources import metaworld
from metacl_run.data.sources.metaworld import HELD_OUT_PAIRS, MetaWorld
from metacl_run.data.streams.simulated_acting import SimulatedActing
from metacl_run.data.streams.skill_samples import SkillSamples
from metacl_run.simulators.metaworld_tasks import SCALE
from tests.support.arm_task import STEP, arm_task, no_task

SOURCE = MetaWorld(skills=["reach", "push"], demonstrations=3, pairs=30, noise=0.1, horizon=40, processes=1, timeout=30.0)


@pytest.fixture(autouse=True)
def _arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metaworld, "metaworld_task", arm_task)


@pytest.fixture
def acting() -> Iterator[SimulatedActing]:
    made = SOURCE.acting([0, 1], 4)
    yield made
    made.workers.end()


def to_the_goal(observations: Tensor, tasks: Tensor) -> Tensor:
    move = 10 * SCALE * (observations[..., 36:] - observations[..., :3])
    return torch.cat([move, torch.zeros_like(move[..., :1])], -1)


def test_demonstrations_are_pairs_of_experts_taken_evenly() -> None:
    learned, held_out = SOURCE.demonstrate([3, 4])
    assert learned.observations.shape == (2, 2, 30, 39)
    assert learned.actions.shape == (2, 2, 30, 4)
    assert held_out.observations.shape == (2, 2, HELD_OUT_PAIRS, 39)
    expected = to_the_goal(learned.observations, torch.zeros(2))[..., :3].clip(-1, 1)
    torch.testing.assert_close(learned.actions[..., :3], expected, atol=1e-5, rtol=0)
    starts = [len(torch.unique(learned.observations[seed, task, :, 36])) for seed in range(2) for task in range(2)]
    assert starts == [3] * 4  # a goal for each demonstration
    more, _ = dataclasses.replace(SOURCE, pairs=400).demonstrate([3, 4])
    rows = {tuple(row) for row in more.observations[0, 0].tolist()}
    assert {tuple(row) for row in learned.observations[0, 0].tolist()} < rows
    counts = np.unique(more.observations[0, 0].numpy(), axis=0, return_counts=True)[1]
    assert set(counts) <= {400 // len(rows), 400 // len(rows) + 1}


def test_a_seed_and_a_skill_decide_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    together, _ = SOURCE.demonstrate([3, 4])
    monkeypatch.setenv("METACL_CACHE", str(tmp_path / "another"))
    alone, _ = dataclasses.replace(SOURCE, skills=["push"], processes=2).demonstrate([4])
    torch.testing.assert_close(alone.observations[0, 0], together.observations[1, 1], atol=0, rtol=0)
    assert not torch.equal(together.observations[0, 0], together.observations[0, 1])
    placements = [own.acting([3, 4], 5).placements for own in (SOURCE, dataclasses.replace(SOURCE, skills=["push", "reach"]))]
    np.testing.assert_array_equal(placements[0], placements[1][:, ::-1])
    np.testing.assert_array_equal(SOURCE.acting([4], 3).placements[0], placements[0][1, :, :3])


def test_demonstrations_one_by_one_know_where_they_began() -> None:
    parts = SOURCE.demonstrate_placements([3, 4], [2, 3], 20)
    assert [part.observations.shape for part in parts] == [(2, 2, 2, 20, 39), (2, 2, 3, 20, 39)]
    goals = torch.cat([part.observations[..., 0, 36:].flatten(0, 2) for part in parts])
    assert len(torch.unique(goals, dim=0)) == 2 * 2 * 5
    for part in parts:
        count = part.observations.shape[2]
        begun: list[Tensor] = []

        def note(observations: Tensor, tasks: Tensor, begun: list[Tensor] = begun) -> Tensor:
            begun.append(observations[0])
            return to_the_goal(observations, tasks)

        successes = part.acting.successes(range(2 * count), note, limit=None)
        part.acting.workers.end()  # type: ignore[attr-defined]
        assert successes.shape == (2, 2 * count, 1)
        assert successes.all()
        torch.testing.assert_close(begun[0], part.observations[0, :, :, 0].flatten(0, 1))
    again = SOURCE.demonstrate_placements([3, 4], [2, 3], 20)  # from the cache
    assert torch.equal(again[1].actions, parts[1].actions)
    np.testing.assert_array_equal(again[1].acting.placements, parts[1].acting.placements)  # type: ignore[attr-defined]
    assert SOURCE.goal == [36, 37, 38]


def test_demonstrations_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = SOURCE.demonstrate([0])
    monkeypatch.setattr(metaworld, "metaworld_task", no_task)
    again, _ = SOURCE.demonstrate([0])
    torch.testing.assert_close(again.observations, first.observations, atol=0, rtol=0)
    with pytest.raises(SimulatorError, match="nothing is to be made"):
        dataclasses.replace(SOURCE, noise=0.2).demonstrate([0])


def test_nothing_is_kept_of_an_expert_that_needs_more_steps(cache: Path) -> None:
    message = r"reach: its scripted expert reached the goal in \d+ of 16 tries, too few for 3 .* A longer data.horizon than 1, "
    with pytest.raises(SimulatorError, match=message):
        dataclasses.replace(SOURCE, horizon=1).demonstrate([0])
    assert not list(cache.rglob("*.npy"))


def test_success_is_that_of_each_policy(acting: SimulatedActing) -> None:
    def policy(observations: Tensor, tasks: Tensor) -> Tensor:
        assert observations.shape[::2] == (2, 39)
        actions = to_the_goal(observations, tasks)
        actions[1, tasks == 0] = torch.nan
        actions[1, tasks == 1] = 0.0
        return actions

    successes = acting.successes(range(2), policy, limit=None)
    assert successes.dtype == torch.float32
    assert successes.tolist() == [[[1.0] * 4] * 2, [[0.0] * 4] * 2]


def test_cores_are_left_to_the_processes_while_they_simulate(acting: SimulatedActing) -> None:
    threads: set[int] = set()

    def policy(observations: Tensor, tasks: Tensor) -> Tensor:
        threads.add(torch.get_num_threads())
        return to_the_goal(observations, tasks)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        acting.successes(range(1), policy, limit=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == {1}


def test_tasks_and_placements_may_be_fewer(acting: SimulatedActing) -> None:
    seen = []

    def policy(observations: Tensor, tasks: Tensor) -> Tensor:
        seen.append(set(tasks.tolist()))
        return torch.where(observations[..., 36:37] > 0, to_the_goal(observations, tasks), 0.0)

    all_of_them = acting.successes(range(2), policy, limit=None)
    assert 0 < all_of_them.sum() < all_of_them.numel()
    seen.clear()
    torch.testing.assert_close(acting.successes(range(1, 2), policy, limit=3), all_of_them[:, 1:, :3])
    assert all(tasks == {1} for tasks in seen)
    other = acting.validation()
    assert not np.isin(other.placements, acting.placements).any()
    np.testing.assert_array_equal(other.validation().placements, acting.placements)


def test_paths_are_those_of_the_first_seed(acting: SimulatedActing) -> None:
    paths = acting.paths(1, to_the_goal, 3)
    assert paths.things == ["hand", "object", "goal"]
    assert paths.successes.all()
    assert paths.points.shape[0::2] == (3, 3)
    hand, goal = paths.points[:, :, 0], paths.points[:, :, 2]
    assert ((hand[:, -1] - goal[:, -1]).norm(dim=-1) < 0.03).all()
    assert ((hand[:, 1:] - hand[:, :-1]).abs() <= STEP + 1e-6).all()
    alone = SOURCE.acting([0], 4)
    torch.testing.assert_close(alone.paths(1, to_the_goal, 3).points, paths.points)
    alone.workers.end()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skills": ["door-opne"]}, r"skills=door-opne: is no skill. Did you mean door-open\? Skills: assembly, "),
        ({"skills": []}, r"skills=\[\]: must name at least one of assembly"),
        ({"skills": ["reach", "push", "reach"]}, "skills=reach: is named twice"),
        ({"demonstrations": 10**4, "horizon": 10**4}, "demonstrations=10000: must be at most 2325, as memory holds"),
    ],
)
def test_wrong_names_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        dataclasses.replace(SOURCE, **changes)


def test_the_shipped_options_are_streams_for_online(make: Callable[..., Any]) -> None:
    stream = make("metaworld_cw10", "online")
    assert isinstance(stream, SkillSamples)
    assert (stream.count_tasks(), stream.count_outputs(), stream.input_shape) == (10, 4, (49,))
    assert make("metaworld", "online", scenario="domain").input_shape == (39,)
