"""Shifts of images: every task has a transformation of its own, the first task has none.

Shapes: B images, R seeds, T tasks, P = H * W pixels. Tables have a row for each seed and task: row r * T + t.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift

KINDS = ("none", "rotate", "permute", "invert", "background")
"""The values of a stream's setting `shift`, for images."""

CELLS = 4
"""`invert` cuts the image into CELLS x CELLS cells and inverts half of them."""
PATCHES = 5
"""`background` interpolates PATCHES x PATCHES random grey levels."""
BRIGHTEST = 0.7
"""Brightest grey of a background, so that ink still shows."""


@dataclass(frozen=True, kw_only=True)
class ImageShift(TaskShift):
    """Moves pixels (`order` or `grid`), then blends them: x * scale + offset. A table that is None is not applied."""

    order: Tensor | None = None
    """[R * T, P] int64: pixel p of the result is pixel order[p] of the image."""
    grid: Tensor | None = None
    """[R * T, H, W, 2] float32 sampling positions in [-1, 1]."""
    scale: Tensor | None = None
    """[R * T, 1, H, W] float32."""
    offset: Tensor | None = None
    """[R * T, 1, H, W] float32."""
    task_names: Sequence[str] = ()
    same_for_seeds: bool = False

    @property
    def is_gather(self) -> bool:  # type: ignore[override]
        return self.order is not None

    def to(self, device: torch.device) -> ImageShift:
        order, grid, scale, offset = (
            None if table is None else table.to(device) for table in (self.order, self.grid, self.scale, self.offset)
        )
        return dataclasses.replace(self, order=order, grid=grid, scale=scale, offset=offset)

    def apply(self, x: Tensor, rows: Tensor) -> Tensor:
        """Shifts images [B, C, H, W] in [0, 1], each by its row [B], or all by one row [1]."""
        if self.order is not None:
            order = self.order[rows].unsqueeze(1).expand(len(x), x.shape[1], -1)
            x = x.flatten(2).gather(2, order).view_as(x)
        if self.grid is not None:
            grid = self.grid[rows].expand(len(x), -1, -1, -1)
            x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if self.scale is not None and self.offset is not None:
            x = torch.addcmul(self.offset[rows].to(x.dtype), x, self.scale[rows])
        return x


def image_shift(kind: str, *, seeds: Sequence[int], num_tasks: int, image_size: int) -> TaskShift:
    """The shifts of a stream of images; `kind` is one of `KINDS`.

    rotate: by angles spread evenly over [0, 180) degrees, bilinear, the same for every seed;
    permute: a fixed random order of the pixels;
    invert: half of the cells of a grid, drawn at random, turned from x to 1 - x;
    background: a smooth random texture of grey, painted over with the image's ink.
    """
    if kind == "none":
        return NO_SHIFT
    if kind == "rotate":
        names = [f"{180 * task / num_tasks:g} degrees" for task in range(num_tasks)]
        grid = _rotations(num_tasks, image_size).repeat(len(seeds), 1, 1, 1)
        return ImageShift(grid=grid, task_names=names, same_for_seeds=True)
    draw = {"permute": _permute, "invert": _invert, "background": _background}[kind]
    tables: list[dict[str, Tensor]] = []
    for seed in seeds:
        rngs = [generator(Purpose.SHIFT, seed, task) for task in range(num_tasks)]
        tables += [draw(rng, image_size, first=task == 0) for task, rng in enumerate(rngs)]
    stacked = {name: torch.stack([table[name] for table in tables]) for name in tables[0]}
    return ImageShift(
        order=stacked.get("order"),
        scale=stacked.get("scale"),
        offset=stacked.get("offset"),
        task_names=[f"{kind} {task + 1}" for task in range(num_tasks)],
    )


def _rotations(num_tasks: int, image_size: int) -> Tensor:
    """[T, H, W, 2]: counter-clockwise by 180 * t / T degrees, as `torch.rot90` turns."""
    angles = torch.arange(num_tasks) * (math.pi / num_tasks)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros(num_tasks)
    turn = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
    return F.affine_grid(turn, [num_tasks, 1, image_size, image_size], align_corners=False)


def _permute(rng: np.random.Generator, image_size: int, *, first: bool) -> dict[str, Tensor]:
    order = np.arange(image_size**2) if first else rng.permutation(image_size**2)
    return {"order": torch.from_numpy(order)}


def _invert(rng: np.random.Generator, image_size: int, *, first: bool) -> dict[str, Tensor]:
    chosen = rng.permutation(CELLS * CELLS).reshape(CELLS, CELLS) < (0 if first else CELLS * CELLS // 2)
    cell = np.arange(image_size) * CELLS // image_size
    inverted = torch.from_numpy(chosen[cell][:, cell]).float()[None]
    return {"scale": 1 - 2 * inverted, "offset": inverted}


def _background(rng: np.random.Generator, image_size: int, *, first: bool) -> dict[str, Tensor]:
    patches = torch.from_numpy(rng.random((1, 1, PATCHES, PATCHES))).float()
    texture = F.interpolate(patches, size=(image_size, image_size), mode="bicubic", align_corners=True)[0]
    texture = (texture - texture.min()) / (texture.max() - texture.min()) * (0 if first else BRIGHTEST)
    return {"scale": 1 - texture, "offset": texture}
