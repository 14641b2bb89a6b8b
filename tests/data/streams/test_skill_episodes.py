"""Skills to be adapted to by one demonstration: what is hidden, what an episode is made of, and success by acting after it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from metacl_run.config.load import Experiment
from metacl_run.data.sources.planar_demonstrations import PlanarDemonstrations
from metacl_run.data.streams.skill_episodes import SkillEpisodePool, SkillEpisodes
from metacl_run.experiment import run
from metacl_run.simulators.planar_skills import observe, reached
from metacl_run.simulators.planar_world import dynamics_of, step

SOURCE = PlanarDemonstrations(skills=["reach", "push"], demonstrations=1, noise=0.2, horizon=30)
STREAM = SkillEpisodes(source=SOURCE, shots=4, queries=3, placements=5, held_out=2)
GOAL = [9, 10]


def test_an_episode_is_every_other_pair_of_one_demonstration_without_the_goal() -> None:
    pool = STREAM.load([3, 4])
    (whole,) = SOURCE.demonstrate_placements([3, 4], [5], 60)
    tasks = np.array([[0, 1, 1], [1, 0, 0]])
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    episode = pool.sample(tasks, "train", shots=4, queries=3, rngs=rngs)
    assert episode.support_x.shape == (2, 3, 4, SOURCE.example_shape[0])
    assert not episode.support_x[..., GOAL].any()
    assert not episode.query_x[..., GOAL].any()
    assert whole.observations[..., GOAL].abs().min() > 0
    visible = [number for number in range(SOURCE.example_shape[0]) if number not in GOAL]
    for replicate in range(2):
        for place, task in enumerate(tasks[replicate]):
            support, query = episode.support_x[replicate, place], episode.query_x[replicate, place]
            own = whole.observations[replicate, task][..., visible]
            number = next(n for n in range(5) if torch.equal(own[n, 0], support[0, visible]))
            assert torch.equal(support[:, visible], own[number, [0, 14, 30, 44]])  # of sixty, the even ones
            assert torch.equal(query[:, visible], own[number, [1, 21, 41]])
            actions = whole.actions[replicate, task, number]
            assert torch.equal(episode.support_y[replicate, place], actions[[0, 14, 30, 44]])
            assert torch.equal(episode.query_y[replicate, place], actions[[1, 21, 41]])


def test_splits_share_no_placement_and_a_seed_draws_the_same_alone() -> None:
    both, alone = STREAM.load([3, 4]), STREAM.load([4])
    starts = [tuple(row) for part in both.parts.values() for row in part.observations[1, 0, :, 0].tolist()]
    assert len(set(starts)) == len(starts) == 5 + 2 + 2
    for split, part in alone.parts.items():
        assert torch.equal(part.observations[0], both.parts[split].observations[1])
        assert torch.equal(part.actions[0], both.parts[split].actions[1])


def test_a_learner_acts_from_where_its_demonstration_began() -> None:
    pool = STREAM.load([3])
    to_act = pool.to_act("test", shots=4, queries=3, rngs=[np.random.default_rng(0)])
    for number in range(4):
        paths = to_act.acting.paths(number, lambda observations, tasks: torch.zeros(*observations.shape[:-1], 3), 1)
        torch.testing.assert_close(paths.points[0, 0, 0], to_act.episodes.support_x[0, number, 0, :2])
        assert ("puck" in paths.things) == (number >= 2)  # two placements of each skill


TINY = [
    *("algo=maml", "data=planar_skills", "data.skills=[reach,push]", "data.horizon=30", "data.noise=0.2", "data.shots=4"),
    *(
        "data.queries=3",
        "data.placements=5",
        "data.held_out=4",
        "model.hidden=[8]",
        "algo.meta_batch_size=2",
        "algo.inner_lr=0.1",
    ),
    *(
        "algo.inner_lr=0.1",
        "algo.inner_steps=1",
        "algo.eval_inner_steps=2",
        "protocol.updates_per_task=3",
        "protocol.eval_episodes=2",
    ),
    *("protocol.eval_every=0", "gpu.precision=float64"),
]


@pytest.mark.parametrize("head_bias", [0.0, 1.0])
def test_success_is_that_of_the_adapted_policy_in_the_simulator(
    head_bias: float, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch.optim.SGD, placement by placement and step by step. A bias of the actions leads some hands to their goals."""
    nearer = 0.5  # so that some placements are reached
    monkeypatch.setattr("metacl_run.simulators.planar_skills.REACHED", nearer)
    monkeypatch.setattr("metacl_run.simulators.planar_skills.PUSHED", nearer)
    built = experiment(tiny=[*TINY, f"algo.outer_lr={0.01 + 0.02 * head_bias}"])
    assert run(built) == 0
    learned = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]["meta"]["params"]
    start = {name: value[0] for name, value in learned.items()}
    module = built.model.build(SOURCE.example_shape, 3)
    pool = built.data.load([0])
    assert isinstance(pool, SkillEpisodePool)
    episodes, acting = pool.to_act("test", shots=4, queries=3, rngs=[np.random.default_rng(0)])
    states = acting.inner.starts[0, :, 0]  # type: ignore[attr-defined]
    outcomes = {True: [], False: []}
    for number in range(8):
        for adapts in (True, False):
            params = {name: value.clone().requires_grad_() for name, value in start.items()}
            optimizer = torch.optim.SGD(params.values(), lr=0.1)
            for _ in range(2 if adapts else 0):
                optimizer.zero_grad()
                outputs = functional_call(module, params, (episodes.support_x[0, number].double(),))
                nn.functional.mse_loss(outputs, episodes.support_y[0, number].double()).backward()
                optimizer.step()
            state, success = states[number], bool(reached(states[number]))
            for _ in range(30):
                seen = observe(state, with_task=False)
                seen[GOAL] = 0
                action = functional_call(module, params, (seen.double().unsqueeze(0),))[0].detach()
                state = step(state, action.float(), dynamics_of())
                success = success or bool(reached(state))
            outcomes[adapts].append(success)
    metrics = json.loads((built.directory / "summary.json").read_text())["metrics"]
    assert metrics["success"]["mean"] == pytest.approx(np.mean(outcomes[True]))
    assert metrics["before_success"]["mean"] == pytest.approx(np.mean(outcomes[False]))
    assert 0 < np.mean(outcomes[True]) < 1


def test_more_pairs_than_a_demonstration_has_are_refused() -> None:
    from metacl_run.core.errors import SettingError

    with pytest.raises(SettingError, match="60"):
        STREAM.check(examples_per_class=61, replay_classes=None, split="test")
    dataclasses.replace(STREAM, shots=30, queries=30).check(examples_per_class=60, replay_classes=None, split="test")
