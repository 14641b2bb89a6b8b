"""Streams of planar skills: what samples are, who has which placements, and scores of policies that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.core.errors import SettingError
from metacl_run.data.sources.planar_demonstrations import PlanarDemonstrations
from metacl_run.data.streams.skill_samples import SkillSamples
from metacl_run.data.streams.validation import ValidationSamples
from metacl_run.scoring.objectives import REGRESSION
from metacl_run.scoring.scores import SUCCESS
from metacl_run.simulators.planar_experts import expert
from metacl_run.simulators.planar_rollouts import succeeds
from metacl_run.simulators.planar_skills import HORIZON, observe
from metacl_run.simulators.planar_world import SKILLS, TASK, step

SOURCE = PlanarDemonstrations(skills=["push", "reach", "open_drawer"], demonstrations=3, noise=0.3, horizon=HORIZON)
STREAM = SkillSamples(source=SOURCE, scenario="task", test_episodes=20)


def still(observations: Tensor, tasks: Tensor) -> Tensor:
    return torch.zeros(*observations.shape[:-1], 3)


def test_shapes_and_names() -> None:
    assert (STREAM.objective, STREAM.score) == (REGRESSION, SUCCESS)
    assert (STREAM.count_tasks(), STREAM.count_outputs(), STREAM.count_samples()) == (3, 3, 180)
    pool = STREAM.load([0, 1])
    assert pool.task_names == [SOURCE.skills] * 2
    samples = pool.gather(1, np.array([[0, 1], [180, 539]]))
    assert samples.x.shape == (2, 2, *STREAM.input_shape)
    assert samples.y.shape == (2, 2, 3)
    assert samples.task.tolist() == [[0, 0], [1, 2]]
    torch.testing.assert_close(samples.x[..., -3:].argmax(-1), samples.task)
    unnamed = dataclasses.replace(STREAM, scenario="domain").load([0, 1]).gather(1, np.array([[0, 1], [180, 539]]))
    torch.testing.assert_close(samples.x[..., :-3], unnamed.x)


def test_a_sample_is_what_the_expert_does_and_all_of_it_comes_once() -> None:
    pool = STREAM.load([4])
    observations, actions = (leaf[0] for leaf in (pool.train.observations, pool.train.actions))
    learned, _ = SOURCE.demonstrate([4])
    for task in range(3):
        rows = np.lexsort(observations[task].numpy().T)
        expected = np.lexsort(learned.observations[0, task].numpy().T)
        np.testing.assert_array_equal(observations[task][rows], learned.observations[0, task][expected])
        np.testing.assert_array_equal(actions[task][rows], learned.actions[0, task][expected])
    assert not torch.equal(observations, learned.observations[0])  # in another order


def test_a_seed_has_its_own_demonstrations_and_placements_whatever_is_beside_it() -> None:
    together, alone = STREAM.load([3, 5]), STREAM.load([5])
    index = np.arange(540)
    for own, other in zip(together.gather(1, index), alone.gather(0, index), strict=True):
        assert torch.equal(own, other)
    assert not torch.equal(together.gather(0, index).x, together.gather(1, index).x)
    starts = SOURCE.acting([3, 5], 4).starts
    assert torch.equal(starts[1], SOURCE.acting([5], 4).starts[0])
    other_order = dataclasses.replace(SOURCE, skills=["open_drawer", "push"]).acting([5], 4).starts
    assert torch.equal(starts[1, 0], other_order[0, 1])
    assert len({row.numpy().tobytes() for row in starts.flatten(0, 2)}) == 2 * 3 * 4


def test_the_expert_succeeds_and_who_rests_fails() -> None:
    acting = SOURCE.acting([0], 20)
    assert acting.successes(range(3), still, limit=None).mean() < 0.1
    states = acting.starts[0]
    expected = succeeds(expert, states, acting.dynamics, HORIZON).float()
    assert expected.mean() > 0.95

    class FromObservations:
        """The expert of the simulator, which needs states: found again by what was observed."""

        def __init__(self) -> None:
            self.states = states.flatten(0, 1)

        def __call__(self, observations: Tensor, tasks: Tensor) -> Tensor:
            torch.testing.assert_close(observations[0], observe(self.states, with_task=False))
            assert tasks.tolist() == [task for task in range(3) for _ in range(20)]
            action = expert(self.states)
            self.states = step(self.states, action, acting.dynamics)
            return action.unsqueeze(0)

    successes = acting.successes(range(3), FromObservations(), limit=None)
    assert torch.equal(successes[0], expected)


def test_a_policy_is_told_the_task_of_the_stream() -> None:
    pool, received = STREAM.load([0, 1]), []

    def policy(observations: Tensor, tasks: Tensor) -> Tensor:
        received.append((observations.shape, torch.equal(observations[1, :, -3:].argmax(-1), tasks)))
        return still(observations, tasks)

    assert pool.acting.successes(range(1, 3), policy, limit=5).shape == (2, 2, 5)
    assert set(received) == {((2, 10, *STREAM.input_shape), True)}


def test_validation_acts_from_other_placements() -> None:
    test, validation = STREAM.load([0]).acting, ValidationSamples(inner=STREAM).load([0]).acting
    assert ValidationSamples(inner=STREAM).score is SUCCESS
    assert validation is not None
    paths = [acting.paths(1, still, 20) for acting in (test, validation)]
    assert paths[0].points.shape == (20, HORIZON + 1, 2, 2)
    assert paths[0].things == ("hand", "target")
    assert not torch.isclose(paths[0].points[:, 0], paths[1].points[:, 0]).all((1, 2)).any()
    assert torch.equal(test.validation().validation().paths(1, still, 20).points, paths[0].points)


def test_a_skill_keeps_its_place_in_the_simulator() -> None:
    starts = SOURCE.acting([0], 2).starts
    assert starts[0, :, 0, TASK].argmax(-1).tolist() == [SKILLS.index(name) for name in SOURCE.skills]


@pytest.mark.parametrize(
    ("skills", "message"),
    [
        (["reach", "pusch"], "skills=pusch: is no skill. Did you mean push? Skills: reach, push"),
        (["reach", "push", "reach"], "skills=reach: is named twice"),
        ([], r"skills=\[\]: must name at least one of reach, push"),
    ],
)
def test_names_of_skills_are_checked(skills: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message.replace("?", r"\?").replace(".", r"\.")):
        dataclasses.replace(SOURCE, skills=skills)
