"""Episodes of sine waves: all points of an episode lie on one sine of the settings' ranges, drawn by the seed's generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode
from metacl_run.data.streams.function_episodes import FunctionEpisodePool
from metacl_run.data.streams.stream import Split
from metacl_run.scoring.objectives import REGRESSION


def sample(
    pool: FunctionEpisodePool, tasks: list[int], *, seeds: tuple[int, ...] = (0,), split: Split = "train", **changes: Any
) -> Episode:
    """[R, E] episodes; the same tasks for every replicate."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    return pool.sample(np.array([tasks] * len(seeds)), split, **{"shots": 4, "queries": 6, "rngs": rngs, **changes})


def fit(episode: Episode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitude, phase and largest residual [E] of the sine through all points of an episode, for the first replicate.

    y is linear in sin x and cos x.
    """
    x, y = (torch.cat(pair, dim=2)[0, :, :, 0].double().numpy() for pair in (episode[0:4:2], episode[1:4:2]))
    fits = []
    for xs, ys in zip(x, y, strict=True):
        basis = np.stack([np.sin(xs), np.cos(xs)], axis=1)
        (of_sine, of_cosine), *_ = np.linalg.lstsq(basis, ys, rcond=None)
        residual = np.abs(basis @ [of_sine, of_cosine] - ys).max()
        fits.append((np.hypot(of_sine, of_cosine), np.arctan2(of_cosine, of_sine), residual))
    amplitude, phase, residual = np.array(fits).T
    return amplitude, phase, residual


def test_every_episode_is_one_sine_from_the_ranges_of_the_paper(make: Callable[..., Any]) -> None:
    stream = make("sinusoid")
    assert stream.objective is REGRESSION
    assert (stream.ways, stream.input_shape, stream.count_tasks()) == (1, (1,), 1)
    episode = sample(stream.load([0]), [0] * 3000)
    assert episode.support_x.shape == episode.support_y.shape == (1, 3000, 4, 1)
    assert episode.query_x.shape == episode.query_y.shape == (1, 3000, 6, 1)
    assert {leaf.dtype for leaf in episode[:4]} == {torch.float32}
    amplitude, phase, residual = fit(episode)
    assert residual.max() < 1e-5
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, np.pi), (episode.query_x.double().flatten(), -5.0, 5.0)):
        at = np.quantile((np.asarray(values) - low) / (high - low), [0.0, 0.25, 0.5, 0.75, 1.0])
        np.testing.assert_allclose(at, [0.0, 0.25, 0.5, 0.75, 1.0], atol=0.04)  # uniform


def test_tasks_divide_the_amplitudes_from_the_lowest_to_the_highest(make: Callable[..., Any]) -> None:
    stream = make("sinusoid", num_tasks=4, amplitude_low=1.0, amplitude_high=3.0)
    pool = stream.load([0, 1])
    assert pool.task_names == [["A 1..1.5", "A 1.5..2", "A 2..2.5", "A 2.5..3"]] * 2
    amplitude, _, _ = fit(sample(pool, [0, 1, 2, 3] * 200))
    for task in range(4):
        of_task = amplitude[task::4]
        assert 1.0 + 0.5 * task - 1e-5 <= of_task.min() < 1.05 + 0.5 * task
        assert 1.45 + 0.5 * task < of_task.max() <= 1.5 + 0.5 * task + 1e-5


def test_a_replicate_draws_from_its_own_generator(make: Callable[..., Any]) -> None:
    pool = make("sinusoid", num_tasks=2).load([4, 5])
    both, alone = (sample(pool, [0, 1, 1], seeds=seeds, batches=(3, 2)) for seeds in ((4, 5), (5,)))
    for left, right in zip(both, alone, strict=True):
        assert torch.equal(left[1], right[0])
        assert left[0].shape == left[1].shape
    assert not torch.equal(both.query_x[0], both.query_x[1])
    assert both.batches.shape == (2, 3, 3, 2)
    assert set(both.batches.flatten().tolist()) <= set(range(4))
    assert (both.batches[..., 0] != both.batches[..., 1]).all()  # two packs of four, three batches of two: none straddles


def test_validation_is_other_functions_than_test(make: Callable[..., Any]) -> None:
    pool = make("sinusoid").load([0])
    test, again, validation = (sample(pool, [0] * 5, split=split) for split in ("test", "test", "validation"))
    assert torch.equal(test.query_y, again.query_y)
    assert not np.isin(validation.query_x.numpy(), test.query_x.numpy()).any()
    assert fit(validation)[2].max() < 1e-5


def test_no_queries(make: Callable[..., Any]) -> None:
    episode = sample(make("sinusoid").load([0]), [0, 0], queries=0)
    assert episode.query_x.shape == (1, 2, 0, 1)
    assert episode.batches.shape == (1, 2, 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": 0}, "shots=0: must be at least 1"),
        ({"queries": 0}, "queries=0: must be at least 1"),
        ({"num_tasks": 0}, "num_tasks=0: must be at least 1"),
        ({"amplitude_low": 6.0}, "amplitude_low=6.0: must be at most amplitude_high=5.0"),
        ({"phase_high": -1.0}, "phase_low=0.0: must be at most phase_high=-1.0"),
        ({"x_high": float("inf")}, "x_high=inf: must be a finite number"),
        ({"num_tasks": 2, "amplitude_low": 5.0}, "num_tasks=2: must be 1 with amplitude_low=amplitude_high"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[..., Any], changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"):
        make("sinusoid", **changes)
