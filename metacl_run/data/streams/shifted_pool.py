"""A pool of samples whose tasks are seen under their shifts.

A shift that only reorders numbers is applied when samples are gathered; any other once and for all, before the stream starts.
Shapes: R seeds (replicates), T tasks.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.sources.source import Raw, inputs_of, rows_of
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.streams.sample_pool import SampleTable, TableSamplePool

SHIFTED_AT_ONCE = 1000
"""Examples shifted at a time; changes no number."""


def shifted_pool(pool: TableSamplePool, shift: TaskShift, raw: Raw | None) -> TableSamplePool:
    """The samples of a pool without a shift, each under that of its seed and task; out-of-scope examples stay as they are.

    Args:
        pool: the pool.
        shift: its shift.
        raw: what the source's examples were encoded from, if anything.
    """
    if not shift.changes or shift.is_gather:
        return dataclasses.replace(pool, shift=shift)
    tables = pool.train, pool.test_
    (learned, train), (tested, test) = (_shifted_rows(pool.examples, table, shift, raw) for table in tables)
    return dataclasses.replace(
        pool,
        examples=torch.cat([learned, tested]),
        train=train,
        test_=dataclasses.replace(test, rows=test.rows + len(learned)),
        writing=shift if shift.rewrites else NO_SHIFT,
    )


def _shifted_rows(examples: Tensor, table: SampleTable, shift: TaskShift, raw: Raw | None) -> tuple[Tensor, SampleTable]:
    """New examples, and the table of their rows. A task's samples that seeds share are stored once."""
    replicates, tasks, _ = table.rows.shape
    first_row: dict[tuple[int, bytes], int] = {}
    parts: list[Tensor] = []
    rows, length = np.zeros_like(table.rows), 0
    for replicate in range(replicates):
        for task in range(tasks):
            size = table.sizes[replicate, task]
            task_rows = table.rows[replicate, task, :size]
            shift_row = shift.row(replicate, task, tasks)
            key = shift_row, task_rows.tobytes()
            if key not in first_row:
                first_row[key] = length
                if shift.rewrites:
                    assert raw is not None
                    parts.append(shift.rewritten(rows_of(raw, task_rows), shift_row))
                else:
                    parts.append(shifted(examples[torch.from_numpy(task_rows)], shift, shift_row))
                length += size
            rows[replicate, task, :size] = first_row[key] + np.arange(size)
    return torch.cat(parts), dataclasses.replace(table, rows=rows, origins=table.rows)


def shifted(examples: Tensor, shift: TaskShift, row: int) -> Tensor:
    """Shifts examples [N, ...] as a source stores them by one row of the tables; they keep their type."""
    parts = []
    for stored in examples.split(SHIFTED_AT_ONCE):
        x = shift.apply(inputs_of(stored), torch.full((len(stored),), row))
        if stored.dtype == torch.uint8:
            x = x.mul_(255).round_().clamp_(0, 255)
        parts.append(x.to(stored.dtype))
    return torch.cat(parts)
