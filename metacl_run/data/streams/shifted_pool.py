"""A pool of samples whose tasks are seen under their shifts.

A shift that only reorders numbers is applied when samples are gathered; any other once and for all, before the stream starts.
Shapes: R seeds (replicates), T tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.sources.source import inputs_of
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.streams.sample_pool import SampleTable, TableSamplePool

SHIFTED_AT_ONCE = 1000
"""Examples shifted at a time; changes no number."""


def shifted_pool(pool: TableSamplePool, shift: TaskShift) -> TableSamplePool:
    """The samples of a pool without a shift, each under that of its seed and task; out-of-scope examples stay as they are."""
    if not shift.changes or shift.is_gather:
        return dataclasses.replace(pool, shift=shift)
    tables = pool.train, pool.test_
    (shifted, train), (tested, test) = (_shifted_rows(pool.examples, table, shift, pool.texts) for table in tables)
    return dataclasses.replace(
        pool,
        examples=torch.cat([shifted, tested]),
        train=train,
        test_=dataclasses.replace(test, rows=test.rows + len(shifted)),
        writing=shift if shift.rewrites else NO_SHIFT,
    )


def _shifted_rows(
    examples: Tensor, table: SampleTable, shift: TaskShift, texts: Sequence[str] | None
) -> tuple[Tensor, SampleTable]:
    """New examples, and the table of their rows. A task's samples that seeds share are stored once."""
    replicates, tasks, _ = table.rows.shape
    first_row: dict[tuple[int, bytes], int] = {}
    parts: list[Tensor] = []
    rows, length = np.zeros_like(table.rows), 0
    for replicate in range(replicates):
        for task in range(tasks):
            size = table.sizes[replicate, task]
            task_rows = table.rows[replicate, task, :size]
            key = (task if shift.same_for_seeds else replicate * tasks + task, task_rows.tobytes())
            if key not in first_row:
                first_row[key] = length
                if shift.rewrites:
                    assert texts is not None
                    parts.append(shift.rewritten([texts[row] for row in task_rows], task))
                else:
                    parts.append(_shifted(examples, task_rows, shift, replicate * tasks + task))
                length += size
            rows[replicate, task, :size] = first_row[key] + np.arange(size)
    return torch.cat(parts), dataclasses.replace(table, rows=rows, origins=table.rows)


def _shifted(examples: Tensor, rows: np.ndarray, shift: TaskShift, shift_row: int) -> Tensor:
    parts = []
    for index in torch.from_numpy(rows).split(SHIFTED_AT_ONCE):
        stored = examples.index_select(0, index)
        shifted = shift.apply(inputs_of(stored), torch.full((len(index),), shift_row))
        if stored.dtype == torch.uint8:
            shifted = shifted.mul_(255).round_().clamp_(0, 255)
        parts.append(shifted.to(stored.dtype))
    return torch.cat(parts)
