"""The methods of samples, observations, episodes and trajectories: shapes and numbers written out."""

from __future__ import annotations

import pytest
import torch

from metacl_run.core.types import Episode, Observation, Samples, Trajectory, WeightedSamples


def samples(*numbers: int) -> Samples:
    """Samples whose inputs [.., 2], targets and tasks all tell their number."""
    y = torch.tensor(numbers)
    return Samples(torch.stack([y, -y], -1).double(), y, 10 * y)


def assert_same(actual: Samples, expected: Samples) -> None:
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


def test_samples_are_taken_by_place_slice_or_places() -> None:
    assert_same(samples(1, 2, 3).at(slice(2)), samples(1, 2))
    assert_same(samples(1, 2, 3).at(torch.tensor([2, 0])), samples(3, 1))
    one = samples(1, 2, 3).at(1)
    assert one.x.tolist() == [2, -2]
    assert (one.y, one.task) == (2, 20)


def test_samples_are_joined_along_an_axis() -> None:
    assert_same(samples(1, 2).joined(samples(3)), samples(1, 2, 3))
    side_by_side = samples(1, 2).unsqueeze(0).joined(samples(3).unsqueeze(0), axis=1)
    assert side_by_side.x.shape == (1, 3, 2)
    assert_same(side_by_side.at(0), samples(1, 2, 3))


def test_repeated_samples_share_their_memory() -> None:
    repeated = samples(1, 2).repeat(3)
    assert repeated.x.shape == (3, 2, 2)
    assert repeated.y.shape == repeated.task.shape == (3, 2)
    assert_same(repeated.at(2), samples(1, 2))
    assert repeated.x.stride(0) == 0


def test_chunks_keep_the_order_and_the_last_may_be_smaller() -> None:
    chunks = samples(1, 2, 3).chunks(2)
    assert len(chunks) == 2
    assert_same(chunks[0], samples(1, 2))
    assert_same(chunks[1], samples(3))


def test_cast_changes_the_inputs_alone() -> None:
    cast = samples(1).cast(torch.float32)
    assert (cast.x.dtype, cast.y.dtype, cast.task.dtype) == (torch.float32, torch.int64, torch.int64)


@pytest.fixture
def observed() -> Observation:
    """A batch of two, and two draws of three, the last of them from a buffer that had fewer."""
    order, slot = torch.tensor([[0, 1], [1, 0]]), torch.zeros(2, 3, dtype=torch.int64)
    replay = samples(3, 4, 5).unsqueeze(0).joined(samples(6, 7, 8).unsqueeze(0))
    weight = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    return Observation(samples(1, 2), order, replay, weight, slot, torch.zeros(2, dtype=torch.int64))


def test_an_observation_gives_its_draws_and_its_batch_in_their_order(observed: Observation) -> None:
    drawn, weight = observed.draw(1)
    assert_same(drawn, samples(6, 7, 8))
    assert weight.tolist() == [1, 0, 0]
    assert_same(observed.shuffled_batch(1), samples(2, 1))


def test_a_batch_comes_before_its_draws_with_weight_1(observed: Observation) -> None:
    together, weight = observed.batch_with_draws()
    assert_same(together.at(1), samples(1, 2, 6, 7, 8))
    assert weight.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    one = observed.draw(1).after(observed.batch)
    assert_same(one.samples, together.at(1))
    assert torch.equal(one.weight, weight[1])


def test_weighted_samples_gain_and_lose_axes_together(observed: Observation) -> None:
    wide = observed.draws().unsqueeze(2)
    assert wide.samples.x.shape == (2, 3, 1, 2)
    assert wide.weight.shape == (2, 3, 1)
    assert isinstance(wide.at(0), WeightedSamples)
    assert_same(wide.at(0).at(1).samples, samples(4))


def test_an_episode_gives_its_mini_batches_or_the_whole_support() -> None:
    x, y = torch.arange(6.0).view(3, 2), torch.arange(3)
    episode = Episode(x, y, x, y, torch.tensor([[2, 0], [1, 1]]))
    (first_x, first_y), (_, second_y) = episode.inner_batches(2)
    assert torch.equal(first_x, x[[2, 0]])
    assert (first_y.tolist(), second_y.tolist()) == ([2, 0], [1, 1])
    whole = episode._replace(batches=torch.zeros(0, 0, dtype=torch.int64)).inner_batches(3)
    assert len(whole) == 3
    assert all(torch.equal(batch_x, x) for batch_x, _ in whole)


def test_a_trajectory_passes_as_one_batch_and_is_split_again() -> None:
    x, y = torch.arange(12.0).view(3, 2, 2), torch.arange(6).view(3, 2)
    trajectory = Trajectory(x, y, -x[0], y[0], torch.arange(2), torch.zeros(2, 0))
    assert trajectory.num_learned == 6
    learned, queries = trajectory.split(trajectory.all_x())
    assert torch.equal(learned.view(3, 2, 2), x)
    assert torch.equal(queries, -x[0])
    assert [step_y.tolist() for _, step_y in trajectory.steps()] == [[0, 1], [2, 3], [4, 5]]
