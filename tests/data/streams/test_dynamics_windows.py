"""Windows of dynamics: pieces of one rollout, standardised by what the seed learns from; unseen dynamics are for test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import ConfigError, DataError
from metacl_run.data.sources.planar_dynamics import RANGES, drawn_dynamics
from metacl_run.data.sources.transition_source import Rollouts, TransitionSource
from metacl_run.data.streams.dynamics_windows import DynamicsWindowPool, DynamicsWindows
from metacl_run.simulators.planar_world import GRIP, HAND, VELOCITY, dynamics_of, step

SIZES = {"light": 5, "heavy": 6}
ROLLOUTS, STEPS = 4, 9


@dataclass(frozen=True, kw_only=True)
class Numbered(TransitionSource):
    """States that say where they come from: (dynamics, rollout, step squared); the action is the step."""

    state_size, action_size = 3, 1

    def count_dynamics(self) -> dict[str, int]:
        return SIZES

    def count_rollouts(self) -> tuple[int, int]:
        return ROLLOUTS, STEPS

    def read(self) -> Rollouts:
        numbers = np.indices((sum(SIZES.values()), ROLLOUTS, STEPS + 1)).astype(np.float32)
        numbers[2] **= 2
        actions = np.broadcast_to(np.arange(STEPS, dtype=np.float32), (*numbers.shape[1:3], STEPS))
        return Rollouts(states=np.moveaxis(numbers, 0, -1), actions=actions[..., None])


def stream(**changes: int) -> DynamicsWindows:
    windows = {"shots": 4, "queries": 2, "unseen": 2, "held_out": 1}
    control = {"mpc": False, "mpc_episodes": 2, "mpc_steps": 3, "mpc_horizon": 2, "mpc_candidates": 5}
    return DynamicsWindows(source=Numbered(), **{**windows, **control, **changes})  # type: ignore[arg-type]


def drawn(pool: DynamicsWindowPool, split: str, task: int, *, episodes: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets [episodes, 6, ...] of the only seed, as they were before they were standardised."""
    tasks = np.full((1, episodes), task)
    episode = pool.sample(tasks, split, shots=4, queries=2, rngs=[np.random.default_rng(3)])  # type: ignore[arg-type]
    parts = (torch.cat(pair, 2)[0] for pair in ((episode.support_x, episode.query_x), (episode.support_y, episode.query_y)))
    x, y = (part * deviation + mean for part, (mean, deviation) in zip(parts, pool.scales, strict=True))
    return x, y


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_window_is_a_piece_of_one_rollout_and_predicts_the_change_of_the_state(split: str) -> None:
    x, y = drawn(stream().load([0]), split, 1)
    assert torch.allclose(x[:, :, :2], x[:, :1, :2], atol=1e-4)  # one dynamics, one rollout
    steps = x[:, :, 3].round()
    assert torch.equal(steps, steps[:, :1] + torch.arange(6))
    torch.testing.assert_close(x[:, :, 2], steps**2, atol=1e-3, rtol=0)
    expected = torch.stack([torch.zeros_like(steps), torch.zeros_like(steps), (steps + 1) ** 2 - steps**2], -1)
    torch.testing.assert_close(y, expected, atol=1e-3, rtol=0)
    assert set(steps[:, 0].tolist()) == {0.0, 1.0, 2.0, 3.0}  # of nine steps, windows of six


def test_splits_share_no_rollout_and_test_dynamics_are_unseen() -> None:
    pool = stream().load([7])
    first = 0
    for task, size in enumerate(SIZES.values()):
        origins = {
            split: {tuple(row) for row in drawn(pool, split, task)[0][:, 0, :2].round().tolist()} for split in pool.tables
        }
        dynamics = {split: {number for number, _ in pairs} for split, pairs in origins.items()}
        assert dynamics["train"] == dynamics["validation"]
        assert not dynamics["train"] & dynamics["test"]
        assert dynamics["train"] | dynamics["test"] == set(range(first, first + size))
        assert {rollout for _, rollout in origins["train"]} == {0, 1}
        assert {rollout for _, rollout in origins["validation"]} == {2}
        assert {rollout for _, rollout in origins["test"]} == {0, 1, 2, 3}
        first += size
    seen = stream(unseen=0).load([7])
    assert {tuple(row) for row in drawn(seen, "test", 0)[0][:, 0, :2].round().tolist()} == {(d, 3) for d in range(5)}


def test_a_switch_is_to_other_dynamics_of_the_same_family() -> None:
    pool = stream().load([0, 1])
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    for task in range(2):
        pair = pool.switches(np.full((2, 200), task), "test", shots=4, queries=2, rngs=rngs)
        assert pair is not None
        mean, deviation = (part[:, None] for part in pool.scales[0])
        old, new = ((episodes.support_x[:, :, 0] * deviation + mean)[..., 0].round() for episodes in pair)  # the dynamics
        assert (old != new).all()
        for replicate, rows in enumerate(of_seed[task] for of_seed in pool.tables["test"]):
            family = set((rows // ROLLOUTS).tolist())
            assert set(old[replicate].tolist()) == set(new[replicate].tolist()) == family
    alone = stream(unseen=1).load([0])
    assert alone.switches(np.zeros((1, 3), int), "test", shots=4, queries=2, rngs=rngs[:1]) is None


def test_inputs_and_targets_are_standardised_by_the_rollouts_that_are_learned_from() -> None:
    pool = stream().load([0, 1])
    every = Numbered().read()
    for replicate in range(2):
        rows = np.concatenate(pool.tables["train"][replicate])
        states = every.states.reshape(-1, STEPS + 1, 3)[rows]
        x = np.concatenate([states[:, :-1], every.actions.reshape(-1, STEPS, 1)[rows]], -1).reshape(-1, 4)
        y = np.diff(states, axis=1).reshape(-1, 3)
        (mean_x, std_x), (mean_y, std_y) = ((mean[replicate], deviation[replicate]) for mean, deviation in pool.scales)
        np.testing.assert_allclose(mean_x, x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(std_x, x.std(0, ddof=1), rtol=1e-5)
        np.testing.assert_allclose(mean_y, y.mean(0), atol=1e-5)
        np.testing.assert_allclose(std_y, [1, 1, y[:, 2].std(ddof=1)], rtol=1e-5)  # what never changes is not scaled
    assert not torch.equal(pool.scales[0][0][0], pool.scales[0][0][1])  # the seeds hold out other dynamics


def test_a_seed_draws_the_same_alone_as_beside_others() -> None:
    both, alone = (
        stream()
        .load(seeds)
        .sample(
            np.zeros((len(seeds), 3), int),
            "test",
            shots=4,
            queries=2,
            rngs=[np.random.default_rng(s) for s in seeds],
            batches=(2, 2),
        )
        for seeds in ([4, 5], [5])
    )
    for left, right in zip(both, alone, strict=True):
        assert torch.equal(left[1], right[0])


def test_what_cannot_be_is_refused(make: Callable[..., Any]) -> None:
    for changes, message in (
        ({"unseen": 40}, "data.unseen=40: must be less than 40, the dynamics of a family"),
        ({"held_out": 3}, "data.held_out=3: must be less than half of the 6 rollouts"),
        ({"families": ["motors", "masss"]}, "data.families=.*masss is not one of motors, .* Did you mean mass"),
        ({"families": ["mass", "mass"]}, "data.families=.*must all differ"),
    ):
        with pytest.raises(ConfigError, match=message):
            make("planar_dynamics", **changes)
    broken = np.zeros((3, 1, 2, 1), np.float32)
    broken[1, 0, 1] = np.nan
    with pytest.raises(DataError, match="the rollouts of 1 of 3 dynamics have numbers that are not finite"):
        Rollouts(states=broken, actions=np.zeros((3, 1, 1, 1), np.float32))


def test_rollouts_of_the_planar_hand_obey_the_world_one_step_at_a_time(make: Callable[..., Any]) -> None:
    source = make("planar_dynamics", dynamics_per_family=12, unseen=1, steps=60, shots=5, queries=5).source
    rollouts, again = source.read(), source.read()
    assert np.array_equal(rollouts.states, again.states)
    assert rollouts.states.shape == (60, 6, 61, 5)
    assert rollouts.actions.shape == (60, 6, 60, 3)
    rng = np.random.default_rng([20, 0, 0])  # of motors
    motors = drawn_dynamics("motors", rng.random((12, 2)))
    alone = torch.full((12, 6, 60, 24), 9.0)  # on the table there is nothing but the hand
    alone[..., :5] = torch.from_numpy(rollouts.states[:12, :, :-1])
    after = step(alone, torch.from_numpy(rollouts.actions[:12]), motors.float()[:, None, None])
    np.testing.assert_allclose(after[..., :5], rollouts.states[:12, :, 1:], atol=1e-5)
    assert ((rollouts.states[:12, ..., HAND] > 0.88).all(-1)).any()  # it has been in the corner of the puck
    assert (rollouts.states[..., GRIP] >= 0).all()
    assert rollouts.states[..., VELOCITY].std() > 0.2
    assert torch.equal(drawn_dynamics("turn", np.zeros((1, 1)))[0].float(), dynamics_of(turn=RANGES["turn"]["turn"][0]))
