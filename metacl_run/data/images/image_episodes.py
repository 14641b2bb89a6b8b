"""Few-shot episodes of images, in which a class turned by 90, 180 or 270 degrees counts as another one (as in MAML's code)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION
from metacl_run.data.streams.class_episodes import ClassEpisodeStream
from metacl_run.data.streams.episode_pool import ClassVariants
from metacl_run.data.streams.stream import Split


class QuarterTurns(ClassVariants):
    """Turns images [B, channels, side, side] by multiples of 90 degrees, counter-clockwise as `torch.rot90` does."""

    count = 4

    def apply(self, examples: Tensor, variant: np.ndarray) -> Tensor:
        for quarter in np.unique(variant[variant > 0]):
            where = torch.from_numpy(np.flatnonzero(variant == quarter)).to(examples.device)
            examples.index_copy_(0, where, examples.index_select(0, where).rot90(int(quarter), (2, 3)))
        return examples


@dataclass(frozen=True, kw_only=True)
class ImageEpisodes(ClassEpisodeStream):
    """Episodes of images."""

    rotations: bool
    """Turn each class of a training episode by a random multiple of 90 degrees: four times the classes, as in MAML."""
    test_rotations: Annotated[bool, AT_EVALUATION]
    """The same in validation and test episodes."""

    def variants(self, split: Split) -> QuarterTurns | None:
        return QuarterTurns() if (self.rotations if split == "train" else self.test_rotations) else None
