"""A stream whose tasks are seen under their shifts: a pixel order when samples are gathered, other shifts once and for all.

Shapes: R replicates, T tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.streams.pixel_stream import PixelStream, Table
from metacl_run.data.streams.shift import Shift, ShiftKind, make_shift

MOVED_AT_ONCE = 1000
"""Images shifted at a time; changes no pixel."""


def shifted_stream(
    kind: ShiftKind,
    *,
    seeds: Sequence[int],
    task_names: list[list[str]],
    masks: Tensor | None,
    pixels: Tensor,
    train: Table,
    test: Table,
) -> PixelStream:
    """The samples of both tables, each under the shift of its replicate and task.

    Args:
        kind, seeds: as `make_shift` takes them.
        task_names, masks: as `SampleStream` has them.
        pixels: [rows, channels, H, W] uint8, H = W.
        train, test: rows of `pixels`.
    """
    replicates, tasks, _ = train.rows.shape
    shift = make_shift(kind, seeds=seeds, num_tasks=tasks, image_size=pixels.shape[-1])
    order = None if shift.order is None else shift.order.view(replicates, tasks, -1)
    if kind != "none" and order is None:
        (seen, train), (tested, test) = (_moved(pixels, table, shift, shared=kind == "rotate") for table in (train, test))
        test = dataclasses.replace(test, rows=test.rows + len(seen))
        pixels = torch.cat([seen, tested])
    return PixelStream(task_names=task_names, masks=masks, pixels=pixels, train=train, test_=test, order=order)


def _moved(pixels: Tensor, table: Table, shift: Shift, *, shared: bool) -> tuple[Tensor, Table]:
    """New pixels, and the table of their rows. A task's samples that replicates share are stored once."""
    replicates, tasks, _ = table.rows.shape
    done: dict[tuple[int, bytes], int] = {}
    parts: list[Tensor] = []
    rows, length = np.zeros_like(table.rows), 0
    for replicate in range(replicates):
        for task in range(tasks):
            size = table.sizes[replicate, task]
            wanted = table.rows[replicate, task, :size]
            key = (task if shared else replicate * tasks + task, wanted.tobytes())
            if key not in done:
                done[key] = length
                parts.append(_shifted(pixels, wanted, shift, replicate * tasks + task))
                length += size
            rows[replicate, task, :size] = done[key] + np.arange(size)
    return torch.cat(parts), dataclasses.replace(table, rows=rows, images=table.rows)


def _shifted(pixels: Tensor, wanted: np.ndarray, shift: Shift, row: int) -> Tensor:
    parts = []
    for index in torch.from_numpy(wanted).split(MOVED_AT_ONCE):
        images = pixels.index_select(0, index).float().div_(255)
        moved = shift.apply(images, torch.full((len(index),), row))
        parts.append(moved.mul_(255).round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(parts)
