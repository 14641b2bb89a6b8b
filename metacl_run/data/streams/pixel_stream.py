"""The loaded stream of samples: one tensor of pixels shared by all replicates, and tables that say which row is whose.

Shapes: R replicates, T tasks, N training samples of a task, M most test samples of a task, P = H * W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Samples
from metacl_run.data.streams.base import SampleStream


@dataclass(frozen=True, kw_only=True)
class Table:
    """Which pixels are the samples of every task in one half, training or test."""

    rows: np.ndarray
    """[R, T, N or M] int64 rows of the pixels; beyond `sizes` unused."""
    labels: np.ndarray
    """[R, T, N or M] int64."""
    sizes: np.ndarray
    """[R, T] int64."""
    images: np.ndarray | None = None
    """[R, T, N or M] int64, which image of the source each sample shows; None: the rows tell."""


@dataclass(frozen=True, kw_only=True)
class PixelStream(SampleStream):
    """Gathers samples by index from images in memory."""

    task_names: list[list[str]]
    masks: Tensor | None
    pixels: Tensor
    """[rows, channels, H, W] uint8."""
    train: Table
    test_: Table
    order: Tensor | None = None
    """[R, T, P] int64: pixel p of a task's sample is pixel order[p] of its row; None: as it is."""
    notes: Sequence[str] = ()

    @property
    def samples_per_task(self) -> int:  # type: ignore[override]
        return self.train.rows.shape[2]

    def to(self, device: torch.device) -> PixelStream:
        masks = None if self.masks is None else self.masks.to(device)
        order = None if self.order is None else self.order.to(device)
        return dataclasses.replace(self, pixels=self.pixels.to(device), masks=masks, order=order)

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        flat = index.reshape(-1)
        x = self._inputs(self.train.rows[replicate].reshape(-1)[flat])
        task = torch.from_numpy(flat // self.samples_per_task).to(self.pixels.device)
        if self.order is not None:
            order = self.order[replicate].index_select(0, task)
            x = x.flatten(2).gather(2, order.unsqueeze(1).expand(-1, x.shape[1], -1)).view_as(x)
        y = torch.from_numpy(self.train.labels[replicate].reshape(-1)[flat]).to(self.pixels.device)
        return Samples(x.view(*index.shape, *x.shape[1:]), y.view(index.shape), task.view(index.shape))

    def images(self, replicate: int) -> np.ndarray:
        shown = self.train.rows if self.train.images is None else self.train.images
        return shown[replicate].reshape(-1)

    def test(self, task: int, limit: int | None) -> list[Samples]:
        shared: dict[tuple[bytes, bytes, int], Samples] = {}
        found = []
        for replicate in range(len(self.task_names)):
            size = int(self.test_.sizes[replicate, task])
            size = size if limit is None else min(size, limit)
            rows, labels = self.test_.rows[replicate, task, :size], self.test_.labels[replicate, task, :size]
            key = (rows.tobytes(), labels.tobytes(), -1 if self.order is None else replicate)
            if key not in shared:
                x = self._inputs(rows)
                if self.order is not None:
                    x = x.flatten(2).index_select(2, self.order[replicate, task]).view_as(x)
                y = torch.from_numpy(labels).to(x.device)
                shared[key] = Samples(x, y, torch.full_like(y, task))
            found.append(shared[key])
        return found

    def _inputs(self, rows: np.ndarray) -> Tensor:
        return self.pixels.index_select(0, torch.from_numpy(rows).to(self.pixels.device)).float().div_(255)
