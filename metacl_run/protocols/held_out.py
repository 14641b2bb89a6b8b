"""The test or validation samples of a stream's tasks, passed through a network many tasks at a time.

Shapes: R replicates, T tasks, K tasks that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metacl_run.core.types import Samples
from metacl_run.data.streams.base import SamplePool

AT_ONCE = 2000
"""Samples that pass the network together."""
KEPT_BYTES = 256e6
"""Samples are gathered once and kept where those of all tasks and replicates take no more than this."""

Predict = Callable[[int, Tensor, Tensor], Tensor]
"""(replicate, inputs [N, ...], tasks [N]) -> outputs [N]."""


class HeldOut:
    """All tasks in groups of neighbours; a group passes the network at once, or in parts where one task is larger than that.

    Args:
        stream: gives the samples.
        num_tasks: T.
        limit: at most so many of each task, the first ones; None: all.
        dtype: of the inputs.
    """

    def __init__(self, stream: SamplePool, num_tasks: int, limit: int | None, dtype: torch.dtype) -> None:
        self._stream, self._num_tasks, self._limit, self._dtype = stream, num_tasks, limit, dtype
        first = stream.test(0, limit)
        self._largest = max(1, max(len(each.y) for each in first))
        each_bytes = sum(each.x[0].numel() * self._largest for each in _different(first)) * torch.finfo(dtype).bits // 8
        self._group = max(1, AT_ONCE // self._largest)
        self._keeps = each_bytes * num_tasks <= KEPT_BYTES
        self._kept: dict[int, list[Samples]] = {}

    def count(self, tasks: range, predict: Predict) -> tuple[Tensor, Tensor]:
        """Samples that are predicted rightly and samples there are, both [R, K] float64 on the CPU."""
        found = []
        for number in range(tasks.start // self._group, -(-tasks.stop // self._group)):
            begin = number * self._group
            wanted = range(max(tasks.start, begin), min(tasks.stop, begin + self._group))
            found.append(self._count(self._samples(number, wanted), wanted, predict))
        right, sizes = (torch.cat(parts, 1).double() for parts in zip(*found, strict=True))
        return right, sizes

    def _count(self, samples: Sequence[Samples], wanted: range, predict: Predict) -> tuple[Tensor, Tensor]:
        right, sizes = torch.zeros(2, len(samples), len(wanted), dtype=torch.int64)
        for replicate, (x, y, task) in enumerate(samples):
            hits = [predict(replicate, *part) == y_part for *part, y_part in _parts(x, task, y)]
            place = (task - wanted.start).cpu()
            right[replicate].index_add_(0, place, torch.cat(hits).long().cpu())
            sizes[replicate].index_add_(0, place, torch.ones_like(place))
        return right, sizes

    def _samples(self, number: int, wanted: range) -> list[Samples]:
        """[R] those of the wanted tasks of a group."""
        if not self._keeps:
            return self._gathered(wanted)
        begin = number * self._group
        whole = range(begin, min(begin + self._group, self._num_tasks))
        if number not in self._kept:
            self._kept[number] = self._gathered(whole)
        kept = self._kept[number]
        return kept if wanted == whole else [_of(each, wanted) for each in kept]

    def _gathered(self, tasks: range) -> list[Samples]:
        by_task = [self._stream.test(task, self._limit) for task in tasks]
        shared: dict[tuple[int, ...], Samples] = {}
        found = []
        for parts in zip(*by_task, strict=True):  # of one replicate
            key = tuple(map(id, parts))
            if key not in shared:
                x, y, task = (torch.cat(leaves) if len(leaves) > 1 else leaves[0] for leaves in zip(*parts, strict=True))
                shared[key] = Samples(x.to(self._dtype), y, task)
            found.append(shared[key])
        return found


def _of(samples: Samples, wanted: range) -> Samples:
    """Those of the wanted tasks, which lie side by side."""
    chosen = (samples.task >= wanted.start) & (samples.task < wanted.stop)
    return Samples(*(leaf[chosen] for leaf in samples))


def _different(samples: Sequence[Samples]) -> list[Samples]:
    return list({id(each): each for each in samples}.values())


def _parts(*leaves: Tensor) -> zip[tuple[Tensor, ...]]:
    return zip(*(leaf.split(AT_ONCE) for leaf in leaves), strict=True)
