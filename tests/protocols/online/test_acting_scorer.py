"""The scorer of learners that act, on a point that a linear policy pushes towards 0."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metacl_run.data.streams.acting import Acting, Paths, Policy, first_step
from metacl_run.inner.engine import Engine, Kind
from metacl_run.models.network import Network
from metacl_run.protocols.online.acting_scorer import ActingScorer, first_policy
from metacl_run.scoring.objectives import REGRESSION
from metacl_run.scoring.scores import SUCCESS

STEPS, TOLERANCE = 5, 0.1
STARTS = torch.tensor([[[-3.0, 0.5, 2.0, 0.05], [1.0, 0.2, -0.4, 8.0]], [[0.3, 0.1, 5.0, -0.7], [0.0, 2.0, -1.0, 1.5]]])
"""[R, T, E]."""
GAINS = [0.9, 0.3]
"""Of each replicate: the action is minus the gain times the place, less with every task."""


class Pushing(Acting):
    """Moves the point by the action; the goal is 0, at the end."""

    episodes = STARTS.shape[-1]

    def to(self, device: torch.device) -> Pushing:
        return self

    def validation(self) -> Pushing:
        return self

    def successes(self, tasks: range, policy: Policy, *, limit: int | None) -> Tensor:
        places = STARTS[:, tasks.start : tasks.stop, :limit]
        x, task = places.flatten(1).unsqueeze(-1), torch.arange(tasks.start, tasks.stop).repeat_interleave(places.shape[-1])
        for _ in range(STEPS):
            x = x + policy(x, task)
        return (x.abs() < TOLERANCE).float().view(places.shape)

    def paths(self, task: int, policy: Policy, count: int) -> Paths:
        x = STARTS[:1, task, :count].unsqueeze(-1)
        points = [x]
        for _ in range(STEPS):
            points.append(points[-1] + policy(points[-1], torch.full((x.shape[1],), task)))
        along = torch.stack(points, 2)[0]  # [E, steps, 1]
        return Paths(
            things=["hand"],
            points=torch.stack([along, torch.zeros_like(along)], -1),
            reached_at=first_step(along[..., 0].abs() < TOLERANCE),
        )


def setup(kind: Kind) -> tuple[Any, dict[str, Any]]:
    module = nn.Linear(1, 1, bias=False)
    network = Network(module, 1, objective=REGRESSION)
    learner = {"params": {"weight": torch.tensor(GAINS).view(-1, 1, 1).neg()}}
    algo = SimpleNamespace(predict=lambda network, state, x, task: network(state["params"], x, task))
    return SimpleNamespace(algo=algo, network=network, engine=Engine(kind=kind), dtype=torch.float32), learner


def success(start: float, gain: float) -> bool:
    return abs(start * (1 - gain) ** STEPS) < TOLERANCE


@pytest.mark.parametrize("kind", ["loop", "vmap"])
def test_the_score_is_the_share_of_successes(kind: Kind) -> None:
    own, learner = setup(kind)
    scorer = ActingScorer(own, Pushing(), probe_episodes=3)
    assert scorer.score is SUCCESS
    assert scorer.probes_are_partial
    for tasks, whole in ((range(2), True), (range(1, 2), True), (range(2), False)):
        expected = np.array(
            [
                [np.mean([success(float(x), gain) for x in STARTS[r, t, : None if whole else 3]]) for t in tasks]
                for r, gain in enumerate(GAINS)
            ]
        )
        evaluation = scorer.scores(learner, tasks, whole=whole)
        np.testing.assert_allclose(evaluation.scores, expected)
        half = 1.96 * np.sqrt(expected * (1 - expected) / (4 if whole else 3))
        np.testing.assert_allclose(evaluation.half_width, half)
    assert 0 < evaluation.scores.mean() < 1


def test_a_policy_that_is_not_finite_fails() -> None:
    own, learner = setup("vmap")
    learner["params"]["weight"] = torch.full((2, 1, 1), math.nan)
    assert ActingScorer(own, Pushing(), None).scores(learner, range(2), whole=True).scores.eq(0).all()


def test_probes_that_act_from_all_placements_are_not_partial() -> None:
    own, _ = setup("vmap")
    assert not ActingScorer(own, Pushing(), 4).probes_are_partial
    assert not ActingScorer(own, Pushing(), None).probes_are_partial


def test_paths_are_of_the_first_replicate() -> None:
    own, learner = setup("vmap")
    paths = Pushing().paths(0, first_policy(own, learner), 2)
    np.testing.assert_allclose(paths.points[0, :, 0, 0], -3.0 * (1 - GAINS[0]) ** np.arange(STEPS + 1), rtol=1e-5, atol=1e-6)
    assert paths.successes.tolist() == [success(float(x), GAINS[0]) for x in STARTS[0, 0, :2]]
