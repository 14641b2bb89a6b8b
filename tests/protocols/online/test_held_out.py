"""Held-out samples pass a network many tasks at a time, and are counted task by task."""

from __future__ import annotations

import pytest
import torch

from metacl_run.core.types import Samples
from metacl_run.protocols.online import held_out
from metacl_run.protocols.online.held_out import HeldOut


class Stream:
    """Two replicates that share their samples, or do not; task t has t % 3 + 2 of them."""

    def __init__(self, shared: bool) -> None:
        self.shared = shared

    def test(self, task: int, limit: int | None) -> list[Samples]:
        size = min(task % 3 + 2, limit or 100)

        def one(replicate: int) -> Samples:
            x = torch.arange(size, dtype=torch.float32)[:, None] + 10 * task + 100 * replicate
            return Samples(x, (x[:, 0] % 3).long(), torch.full((size,), task))

        return [one(0)] * 2 if self.shared else [one(0), one(1)]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("cached", [0, 200, 1e6])
@pytest.mark.parametrize("tasks", [range(11), range(4), range(5, 6), range(3, 9)])
def test_tasks_pass_together_and_are_summed_apart(
    monkeypatch: pytest.MonkeyPatch, shared: bool, cached: float, tasks: range
) -> None:
    monkeypatch.setattr(held_out, "AT_ONCE", 6)
    monkeypatch.setattr(held_out, "CACHE_BYTES", cached)
    stream, largest = Stream(shared), []

    def scores_of(replicate: int, samples: Samples) -> torch.Tensor:
        largest.append(len(samples.y))
        return samples.x[:, 0] * (1 + replicate) + samples.task

    tested = HeldOut(stream, 11, None, torch.float64)  # type: ignore[arg-type]
    for _ in range(2):
        sums = tested.sums(tasks, scores_of)
        for replicate in range(2):
            for place, task in enumerate(tasks):
                scores = stream.test(task, None)[replicate].x[:, 0] * (1 + replicate) + task
                assert sums.samples[replicate, place] == len(scores)
                torch.testing.assert_close(sums.scores[replicate, place], scores.double().sum())
                torch.testing.assert_close(sums.squares[replicate, place], scores.double().square().sum())
    assert max(largest) <= 6
    kept = {id(samples): samples.x.nbytes for group in tested._cache.values() for samples in group}
    assert sum(kept.values()) <= cached
    assert bool(kept) == (cached > 0)
