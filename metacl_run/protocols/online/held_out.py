"""The test or validation samples of a stream's tasks, passed through a network many tasks at a time.

Shapes: R replicates, T tasks, K evaluated tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metacl_run.core.types import Samples
from metacl_run.data.streams.stream import SamplePool

AT_ONCE = 2000
"""Samples that pass the network together."""
CACHE_BYTES = 256e6
"""Samples are gathered once and cached, as long as all that are cached take no more than this."""

ScoresOf = Callable[[int, Samples], Tensor]
"""(replicate, samples [N]) -> the score of every sample [N]."""


class ScoreSums(NamedTuple):
    """Sums over the samples of each task, all [R, K] float64 on the CPU."""

    scores: Tensor
    squares: Tensor
    samples: Tensor


class HeldOut:
    """All tasks in groups of neighbours; a group passes the network at once, or in parts where one task is larger than that.
    How many tasks are a group follows from the size of the first.

    Args:
        pool: of the samples.
        num_tasks: T.
        limit: at most so many samples of each task, the first ones; None: all.
        dtype: of the inputs.
    """

    def __init__(self, pool: SamplePool, num_tasks: int, limit: int | None, dtype: torch.dtype) -> None:
        self._pool, self._num_tasks, self._limit, self._dtype = pool, num_tasks, limit, dtype
        largest = max(1, max(len(samples.y) for samples in pool.test(0, limit)))
        self._group_size = max(1, AT_ONCE // largest)
        self._cache: dict[int, list[Samples]] = {}
        self._free_bytes = CACHE_BYTES

    def sums(self, tasks: range, scores_of: ScoresOf) -> ScoreSums:
        """Sums the scores of the samples of K tasks, their squares, and counts the samples."""
        sums = []
        for group in range(tasks.start // self._group_size, -(-tasks.stop // self._group_size)):
            begin = group * self._group_size
            part = range(max(tasks.start, begin), min(tasks.stop, begin + self._group_size))
            sums.append(_sums(self._samples(group, part), part, scores_of))
        return ScoreSums(*(torch.cat(parts, 1) for parts in zip(*sums, strict=True)))

    def _samples(self, group: int, tasks: range) -> list[Samples]:
        """[R] the samples of some tasks of a group."""
        begin = group * self._group_size
        whole = range(begin, min(begin + self._group_size, self._num_tasks))
        samples = self._cache.get(group)
        if samples is None:
            if self._free_bytes <= 0:
                return self._gather(tasks)
            samples = self._gather(whole)
            size = sum(own.x.nbytes for own in {id(own): own for own in samples}.values())  # replicates may share theirs
            if size <= self._free_bytes:
                self._cache[group] = samples
            self._free_bytes -= size
        return samples if tasks == whole else [_of_tasks(own, tasks) for own in samples]

    def _gather(self, tasks: range) -> list[Samples]:
        by_task = [self._pool.test(task, self._limit) for task in tasks]
        shared: dict[tuple[int, ...], Samples] = {}
        by_replicate = []
        for parts in zip(*by_task, strict=True):
            key = tuple(map(id, parts))
            if key not in shared:
                x, y, task = (torch.cat(leaves) if len(leaves) > 1 else leaves[0] for leaves in zip(*parts, strict=True))
                shared[key] = Samples(x, y, task).cast(self._dtype)
            by_replicate.append(shared[key])
        return by_replicate


def _sums(samples: Sequence[Samples], tasks: range, scores_of: ScoresOf) -> ScoreSums:
    """The sums of a group of tasks, by replicate and task."""
    by_replicate = []
    for replicate, own in enumerate(samples):
        parts = (slice(first, first + AT_ONCE) for first in range(0, max(1, len(own.y)), AT_ONCE))
        by_replicate.append(torch.cat([scores_of(replicate, own.at(part)) for part in parts]))
    # One wait for a card: its scores come to the host together.
    all_scores, all_places = (torch.cat(leaves).cpu() for leaves in (by_replicate, [own.task - tasks.start for own in samples]))
    sizes, sums = [len(own.y) for own in samples], ScoreSums(*torch.zeros(3, len(samples), len(tasks), dtype=torch.float64))
    for replicate, (scores, place) in enumerate(zip(all_scores.double().split(sizes), all_places.split(sizes), strict=True)):
        for sum_, values in zip(sums, (scores, scores.square(), torch.ones_like(scores)), strict=True):
            sum_[replicate].index_add_(0, place, values)
    return sums


def _of_tasks(samples: Samples, tasks: range) -> Samples:
    """The samples of some tasks, neighbours in the stream."""
    chosen = (samples.task >= tasks.start) & (samples.task < tasks.stop)
    return samples.at(chosen)
