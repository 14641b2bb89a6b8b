"""Random crops and flips, the augmentation of small images in nearly all papers that learn CIFAR.

An image is shifted by up to `PADDING` pixels in either direction, as a crop of it with a black border is, and mirrored with
probability 1/2 (Krizhevsky 2009; He et al. 2016, arXiv 1512.03385, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metacl_run.data.streams.augmentation import Augmentation

PADDING = 4
"""Pixels, whatever the size of the images."""


@dataclass(frozen=True, kw_only=True)
class CropFlip(Augmentation):
    """Shifts and mirrors images.

    Attributes:
        black: [C, 1, 1] the value of a black pixel, as inputs are scaled.
    """

    black: Tensor

    numbers: ClassVar[int] = 3

    def to(self, device: torch.device) -> CropFlip:
        return CropFlip(black=self.black.to(device))

    def apply(self, x: Tensor, uniforms: Tensor) -> Tensor:
        (rows, has_row), (columns, has_column) = (_shifted(side, uniforms[:, place]) for place, side in enumerate(x.shape[2:]))
        mirrored = (uniforms[:, 2] < 0.5).unsqueeze(1)
        columns, has_column = (torch.where(mirrored, own.flip(1), own) for own in (columns, has_column))
        image = torch.arange(len(x), device=x.device).view(-1, 1, 1)
        pixels = x.movedim(1, -1)[image, rows.unsqueeze(2), columns.unsqueeze(1)].movedim(-1, 1)
        inside = (has_row.unsqueeze(2) & has_column.unsqueeze(1)).unsqueeze(1)
        return torch.where(inside, pixels, self.black.to(x.dtype))


def _shifted(side: int, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """[N, side] which pixels are shown along one axis, and whether they are in the image, for shifts by `uniform` [N]."""
    shift = (uniform * (2 * PADDING + 1)).long() - PADDING
    place = torch.arange(side, device=uniform.device) + shift.unsqueeze(1)
    return place.clamp(0, side - 1), (place >= 0) & (place < side)
