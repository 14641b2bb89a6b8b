"""Few-shot episodes of images, in which a class rotated by 90, 180 or 270 degrees counts as another class (as in MAML's
code)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION
from metacl_run.core.errors import require_all
from metacl_run.data.images.image_source import pixels_check
from metacl_run.data.streams.class_episodes import ClassEpisodeStream, DividedClassStream
from metacl_run.data.streams.episode_pool import ClassVariants
from metacl_run.data.streams.listed_classes import ListedClassStream
from metacl_run.data.streams.stream import Split


class QuarterTurns(ClassVariants):
    """Turns images [B, channels, side, side] by multiples of 90 degrees, counter-clockwise as `torch.rot90` does."""

    count = 4

    def apply(self, examples: Tensor, variant: Tensor) -> Tensor:
        if examples.is_cuda:
            return turned(examples, variant)
        for quarter in range(1, self.count):
            where = (variant == quarter).nonzero()[:, 0]
            examples.index_copy_(0, where, examples.index_select(0, where).rot90(quarter, (2, 3)))
        return examples


def turned(images: Tensor, quarters: Tensor) -> Tensor:
    """Turns images [B, channels, side, side] by so many quarters [B], in a few operations whatever the numbers are."""
    side = images.shape[-1]
    pixels = torch.arange(side * side, device=images.device).view(side, side)
    from_pixel = torch.stack([pixels.rot90(quarter).reshape(-1) for quarter in range(QuarterTurns.count)])
    index = from_pixel[quarters][:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


@dataclass(frozen=True, kw_only=True)
class TurnedClassStream(ClassEpisodeStream):
    """Episodes of images, whose classes may be rotated."""

    rotations: bool
    """Rotate each class of a training episode by a random multiple of 90 degrees: this gives four times the classes, as in
    MAML."""
    test_rotations: Annotated[bool, AT_EVALUATION]
    """Do the same in validation and test episodes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        turns = {name: getattr(self, name) for name in ("rotations", "test_rotations")}
        require_all(*(pixels_check(self.source, name, value, False) for name, value in turns.items()))

    def variants(self, split: Split) -> QuarterTurns | None:
        return QuarterTurns() if (self.rotations if split == "train" else self.test_rotations) else None


@dataclass(frozen=True, kw_only=True)
class ImageEpisodes(TurnedClassStream, DividedClassStream):
    """Episodes of images, of classes that the seed divides into splits."""


@dataclass(frozen=True, kw_only=True)
class ListedImageEpisodes(TurnedClassStream, ListedClassStream):
    """Episodes of images, of classes that a list divides into splits."""
