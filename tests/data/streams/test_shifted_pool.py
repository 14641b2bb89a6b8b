"""Samples seen under the shift of their task: a permutation as they are gathered, any other shift once and for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.data.images.shift import ImageShift


@pytest.mark.parametrize("shift", ["invert", "permute"])
def test_a_replicate_is_what_its_seed_loads_alone(make: Callable[..., Any], shift: str) -> None:
    small = {"num_classes": 24, "num_scripts": 4, "num_tasks": 2, "images_per_class": 7}
    stream = make("split_glyphs", protocol="online", **small, shift=shift)
    together = stream.load([3, 9])
    if shift == "permute":
        assert isinstance(together.shift, ImageShift)
        assert not torch.equal(together.shift.order[1], together.shift.order[3])  # task 1 of both seeds
    for replicate, seed in enumerate((3, 9)):
        alone, index = stream.load([seed]), np.arange(2 * 12 * 2)
        for a, b in zip(together.gather(replicate, index), alone.gather(0, index), strict=True):
            assert torch.equal(a, b)
        for task in range(2):
            for a, b in zip(together.test(task, None)[replicate], alone.test(task, None)[0], strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("shift", ["permute", "rotate"])
def test_a_task_is_seen_under_its_shift(make: Callable[..., Any], shift: str) -> None:
    small = {"num_classes": 12, "num_scripts": 2, "num_tasks": 2, "images_per_class": 8, "test_examples": 3, "image_size": 12}
    plain, moved = (make("split_glyphs", protocol="online", **small, shift=kind).load([0]) for kind in ("none", shift))
    assert np.array_equal(plain.origins(0), moved.origins(0))
    for task in range(2):
        index = np.arange(30 * task, 30 * (task + 1))
        for a, b in ((plain.gather(0, index), moved.gather(0, index)), (plain.test(task, None)[0], moved.test(task, None)[0])):
            assert torch.equal(a.y, b.y)
            if task == 0:
                torch.testing.assert_close(b.x, a.x)
            elif shift == "rotate":  # two tasks: the second is turned by 90 degrees
                torch.testing.assert_close(b.x, a.x.rot90(1, (2, 3)), atol=0.01, rtol=0)
            else:
                assert not torch.equal(a.x, b.x)
                torch.testing.assert_close(a.x.flatten(1).sort().values, b.x.flatten(1).sort().values)


def test_seeds_that_share_a_shift_share_the_test_samples(make: Callable[..., Any]) -> None:
    small = {"num_tasks": 2, "train_per_task": 20, "test_per_task": 10, "train_hands": 8, "test_hands": 4, "image_size": 8}
    rotated, permuted = (make("rotated_digits", **small, shift=shift).load([0, 1]) for shift in ("rotate", "permute"))
    first, second = rotated.test(1, None)
    assert first is second
    assert len(rotated.examples) == 2 * 2 * 20 + 2 * 10  # stored once for both seeds
    first, second = permuted.test(1, None)
    assert torch.equal(first.y, second.y)
    assert not torch.equal(first.x, second.x)
