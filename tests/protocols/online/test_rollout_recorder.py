"""Recorded paths of a learner that acts: of which tasks and episodes, at which moments."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.core.errors import StorageError
from metacl_run.data.streams.acting import Acting, Paths, Policy, first_step
from metacl_run.inner.engine import Engine
from metacl_run.protocols.online import rollout_recorder
from metacl_run.protocols.online.rollout_recorder import RolloutRecorder
from metacl_run.storage import rollout_file
from metacl_run.storage.store import finite

STEPS = 200


class Walking(Acting):
    """The hand goes to the right by the action, from a place of its own in every episode; its goal is x > 1."""

    episodes = 7

    def to(self, device: torch.device) -> Walking:
        return self

    def validation(self) -> Walking:
        return self

    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        raise NotImplementedError

    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        starts = torch.arange(count).view(1, -1, 1).double()
        step = policy(starts, torch.full((count,), task))[0]  # [E, 1]
        along = starts[0] + step * torch.arange(STEPS + 1) / STEPS
        hand = torch.stack([along, torch.full_like(along, task)], -1)
        points = torch.stack([hand, torch.ones_like(hand)], 2)
        return Paths(things=["hand", "goal"], points=points, reached_at=first_step(along > 1))


def written(num_tasks: int, speeds: list[float]) -> dict[str, Any]:
    """The file of a run whose first replicate goes at these speeds, after each task and at the end."""
    content: dict[str, Any] = {}
    algo = SimpleNamespace(predict=lambda network, state, x, task: x * 0 + state["params"]["speed"])
    setup: Any = SimpleNamespace(num_tasks=num_tasks, seeds=[3, 4], algo=algo, network=None, dtype=torch.float64)
    setup.engine = Engine(kind="vmap")
    state = SimpleNamespace(learner=None, results={}, evaluate_s=0.0)
    store = SimpleNamespace(write_rollouts=content.update)
    recorder = RolloutRecorder(setup, SimpleNamespace(state=state, context=SimpleNamespace(store=store)), Walking())
    for row, speed in enumerate(speeds):
        state.learner = {"params": {"speed": torch.tensor([speed, 100.0]).double()}}
        recorder.record(row)
        recorder.record(None)
    recorder.write()
    return json.loads(json.dumps(finite(content), allow_nan=False))


def test_paths_are_those_right_after_the_task_and_at_the_end(tmp_path: Any) -> None:
    content = written(2, [9.0, 0.5, 2.0])
    path = tmp_path / "rollouts.json"
    path.write_text(json.dumps(content))
    read = rollout_file.read(path)
    assert read is not None
    assert read.seed == 3
    assert [task.task for task in read.tasks] == [0, 1]
    first, last = read.tasks
    assert first.things == ["hand", "goal"]
    points = first.right_after_learning.points
    assert points.shape == (rollout_recorder.EPISODES, rollout_recorder.MOST_POINTS, 2, 2)
    np.testing.assert_allclose(points[:, 0, 0, 0], range(5))
    np.testing.assert_allclose(points[:, -1, 0, 0], np.arange(5) + 0.5)
    np.testing.assert_allclose(first.at_the_end.points[:, -1, 0, 0], np.arange(5) + 2.0)
    np.testing.assert_allclose(last.at_the_end.points, last.right_after_learning.points)
    assert first.right_after_learning.successes.tolist() == [False, True, True, True, True]
    assert first.at_the_end.successes.all()
    moment = first.at_the_end  # from 0 to 4 on, 2 in all: only the first episode begins left of its goal
    assert moment.ends[0] == next(place for place, (x, _) in enumerate(moment.points[0, :, 0]) if x > 1)
    assert first.right_after_learning.ends[0] == rollout_recorder.MOST_POINTS - 1  # never


def test_of_many_tasks_some_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_recorder, "MOST_TASKS", 3)
    assert [task["task"] for task in written(9, [1.0] * 10)["tasks"]] == [0, 4, 8]


def test_a_learner_that_lost_itself_has_gaps(tmp_path: Any) -> None:
    path = tmp_path / "rollouts.json"
    path.write_text(json.dumps(written(1, [0.0, math.nan])))
    read = rollout_file.read(path)
    assert read is not None
    assert np.isnan(read.tasks[0].at_the_end.points[:, :, 0, 0]).all()
    assert not read.tasks[0].at_the_end.successes.any()


@pytest.mark.parametrize("damage", ["", "{", '{"seed": 0, "tasks": [{"task": 0, "things": ["hand"]}]}'])
def test_a_damaged_file_is_one_message(damage: str, tmp_path: Any) -> None:
    path = tmp_path / "rollouts.json"
    path.write_text(damage)
    with pytest.raises(StorageError, match="is truncated or damaged"):
        rollout_file.read(path)
    assert rollout_file.read(tmp_path / "none.json") is None
