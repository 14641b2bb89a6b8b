"""Episodes drawn of classes in memory: which classes and examples, how varied and shifted, and by whose generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from metacl_run.data.images.image_episodes import QuarterTurns
from metacl_run.data.images.shift import image_shift
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.streams.episode_pool import ClassEpisodePool, Members

COUNTS = np.array([4, 9, 6, 5, 7, 4, 12, 5])
SIDE = 8


def pool_of(*, turned: bool = False, shift: TaskShift = NO_SHIFT, replicates: Sequence[int] = (0, 1, 2)) -> ClassEpisodePool:
    """Image i of class c has grey level 20 * c + i + 1 in its first pixel, whose place shows by how much the image is turned.

    Two tasks; replicate r has the classes of replicate 0 in an order of its own.
    """
    images = torch.zeros(int(COUNTS.sum()), 1, SIDE, SIDE, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor([20 * c + i + 1 for c, count in enumerate(COUNTS) for i in range(count)])
    members = Members.of([[np.roll([0, 1, 2, 3, 4], r), np.array([5, 6, 7])] for r in replicates])
    variants = QuarterTurns() if turned else None
    return ClassEpisodePool(
        task_names=[["a", "b"] for _ in replicates],
        ways=3,
        examples=images,
        counts=COUNTS,
        members={"train": members, "validation": members, "test": members},
        variants={"train": variants, "validation": variants, "test": variants},
        shift=shift,
    )


def rngs(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def class_and_number(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and number of every image of a pool without shift."""
    value = (inputs.flatten(-3).amax(-1) * 255).round().long() - 1
    return value // 20, value % 20


TASKS = np.array([[0, 1] * 50] * 3)


def test_shapes_labels_and_types() -> None:
    episode = pool_of().sample(TASKS, "train", shots=1, queries=2, rngs=rngs(0, 1, 2))
    assert episode.support_x.shape == (3, 100, 3, 1, SIDE, SIDE)
    assert episode.query_x.shape == (3, 100, 6, 1, SIDE, SIDE)
    assert episode.support_x.dtype == torch.float32
    assert episode.support_y[1, 7].tolist() == [0, 1, 2]
    assert episode.query_y[2, 3].tolist() == [0, 0, 1, 1, 2, 2]
    assert episode.batches.shape == (3, 100, 0, 0)


def test_classes_and_examples_are_drawn_without_replacement() -> None:
    episode = pool_of().sample(TASKS, "train", shots=2, queries=2, rngs=rngs(0, 1, 2))
    classes, numbers = class_and_number(torch.cat([episode.support_x, episode.query_x], 2))
    labels = torch.cat([episode.support_y, episode.query_y], 2)
    used: set[tuple[int, int]] = set()
    for place in np.ndindex(3, 100):
        classes_by_label = [set(classes[place][labels[place] == way].tolist()) for way in range(3)]
        assert all(len(classes_of_label) == 1 for classes_of_label in classes_by_label)
        assert len(set.union(*classes_by_label)) == 3
        assert set.union(*classes_by_label) <= ({0, 1, 2, 3, 4} if place[1] % 2 == 0 else {5, 6, 7})
        pairs = set(zip(classes[place].tolist(), numbers[place].tolist(), strict=True))
        assert len(pairs) == 12
        used |= pairs
    assert len(used) == COUNTS.sum()  # classes of different sizes, every example drawn at some time


def test_a_replicate_is_its_own_run() -> None:
    shift = image_shift("permute", seeds=[0, 1, 2], num_tasks=2, image_size=SIDE)
    together = pool_of(turned=True, shift=shift).sample(TASKS, "train", shots=1, queries=1, rngs=rngs(5, 6, 7), batches=(3, 2))
    for replicate, seed in enumerate((5, 6, 7)):
        own = image_shift("permute", seeds=[replicate], num_tasks=2, image_size=SIDE)
        alone = pool_of(turned=True, shift=own, replicates=(replicate,)).sample(
            TASKS[:1], "train", shots=1, queries=1, rngs=rngs(seed), batches=(3, 2)
        )
        for a, b in zip(together, alone, strict=True):
            assert torch.equal(a[replicate], b[0])


def test_classes_may_be_limited_to_the_leading_ones() -> None:
    limit = np.full(TASKS.shape, 3)
    tasks = np.zeros_like(TASKS)
    episode = pool_of().sample(tasks, "train", shots=1, queries=1, rngs=rngs(0, 1, 2), classes=limit)
    classes, _ = class_and_number(episode.support_x)
    for replicate in range(3):
        assert set(classes[replicate].flatten().tolist()) == set(np.roll([0, 1, 2, 3, 4], replicate)[:3].tolist())


def test_turns_are_per_class_and_all_four_come_up() -> None:
    tasks = np.zeros((3, 200), np.int64)
    episode = pool_of(turned=True).sample(tasks, "train", shots=2, queries=2, rngs=rngs(0, 1, 2))
    images = torch.cat([episode.support_x.unflatten(2, (3, 2)), episode.query_x.unflatten(2, (3, 2))], 3)
    where = images.flatten(-3).argmax(-1)  # [R, E, W, K]
    assert (where == where[..., :1]).all()
    corners = torch.zeros(4, SIDE, SIDE)
    corners[0, 0, 0] = 1
    expected = [int(corners[0].rot90(quarter).argmax()) for quarter in range(4)]
    shares = torch.tensor([(where == corner).float().mean() for corner in expected])
    assert shares.sum() == pytest.approx(1)
    assert (shares - 0.25).abs().max() < 0.06


def test_support_batches_index_the_support() -> None:
    episode = pool_of().sample(TASKS, "train", shots=2, queries=0, rngs=rngs(0, 1, 2), batches=(4, 3))
    assert episode.query_x.shape == (3, 100, 0, 1, SIDE, SIDE)
    assert episode.batches.shape == (3, 100, 4, 3)
    assert (episode.batches[:, :, :2].flatten(2).sort(-1).values == torch.arange(6)).all()


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(AssertionError, match="a class has fewer than 5 examples"):
        pool_of().sample(TASKS, "train", shots=2, queries=3, rngs=rngs(0, 1, 2))
    with pytest.raises(AssertionError, match="fewer than 3 classes in the train split"):
        pool_of().sample(TASKS, "train", shots=1, queries=1, rngs=rngs(0, 1, 2), classes=np.full(TASKS.shape, 2))


def test_to_gives_an_equal_pool() -> None:
    moved = pool_of().to(torch.device("cpu"))
    one, two = (pool.sample(TASKS, "test", shots=1, queries=1, rngs=rngs(0, 1, 2)) for pool in (pool_of(), moved))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert moved.members["train"].sizes[2, 1] == 3
