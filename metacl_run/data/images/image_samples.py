"""Streams of images for protocol `online` in which every task brings new classes: augmentation and scaling of images.

The augmentation is drawn anew whenever a training sample is observed, on the device, both for the batch of the stream and for
the replayed samples (as in the code of DER, Buzzega et al. 2020). Test samples are never augmented, nor are the samples on
which a method consolidates a task (`StreamLearner.end_task`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from metacl_run.core.errors import require_all
from metacl_run.data.images.crop_flip import CropFlip
from metacl_run.data.images.image_source import pixels_check
from metacl_run.data.sources.source import SplitSource
from metacl_run.data.streams.class_samples import HeldOutClassSamples, SplitClassSamples
from metacl_run.data.streams.class_tasks import ClassTasks
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.data.streams.sample_pool import TableSamplePool

Augment = Literal["none", "crop_flip"]
Normalize = Literal["none", "channels"]


@dataclass(frozen=True, kw_only=True)
class SeenImages(ClassTasks):
    """What a network sees of the images of a stream."""

    augment: Augment
    """How training samples are changed at random: not at all, or shifted by up to 4 pixels and mirrored."""
    normalize: Normalize
    """How inputs are scaled. "none": pixels to [0, 1], features not at all. "channels": each channel or feature to mean 0 and
    deviation 1 over the training part, or over all images if the source has no training part."""

    def check_pixels(self, shift: str) -> None:
        """Raises SettingError where features would be augmented, or images that their task shows under a shift."""
        apart = f"must be none with data.shift={shift}: it would move and mirror what the shift has made of an image"
        shifted = self.augment == "none" or shift == "none", "augment", self.augment, apart
        require_all(pixels_check(self.source, "augment", self.augment, "none"), shifted)

    def input_scale(self) -> InputScale | None:
        """The scale; the same for all seeds."""
        if self.normalize == "none":
            return None
        if isinstance(self.source, SplitSource):
            examples = self.source.read_parts()
            return InputScale.of(examples.x[: examples.num_train])
        return InputScale.of(self.source.read().x)

    def seen(self, pool: TableSamplePool) -> TableSamplePool:
        """The same pool, whose samples are scaled, and augmented where they are observed."""
        scale = self.input_scale()
        if self.augment == "none":
            return dataclasses.replace(pool, scale=scale)
        black = torch.zeros(self.input_shape[0], 1, 1, dtype=torch.float64)
        augmentation = CropFlip(black=black if scale is None else scale.apply(black))
        return dataclasses.replace(pool, scale=scale, augmentation=augmentation)


@dataclass(frozen=True, kw_only=True)
class SplitImageSamples(SeenImages, SplitClassSamples):
    """Images in a training part and a test part."""

    def __post_init__(self) -> None:
        SplitClassSamples.__post_init__(self)
        self.check_pixels(self.shift)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        return self.seen(super().load(seeds))


@dataclass(frozen=True, kw_only=True)
class HeldOutImageSamples(SeenImages, HeldOutClassSamples):
    """Images of which some of each class are kept for test."""

    def __post_init__(self) -> None:
        HeldOutClassSamples.__post_init__(self)
        self.check_pixels(self.shift)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        return self.seen(super().load(seeds))
