"""Streams of images for protocol `online` that bring new classes with every task: what a network sees of an image.

The augmentation is drawn anew whenever a training sample is observed, on the device, for the batch of the stream and for the
samples replayed with it alike (as in the code of DER, Buzzega et al. 2020). Never augmented are test samples, and those that a
method consolidates a task on (`StreamLearner.end_task`).
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
from metacl_run.data.sources.source import LabelledSource, SplitSource
from metacl_run.data.streams.class_samples import HeldOutClassSamples, SplitClassSamples
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.data.streams.sample_pool import TableSamplePool

Augment = Literal["none", "crop_flip"]
Normalize = Literal["none", "channels"]


@dataclass(frozen=True, kw_only=True)
class SplitImageSamples(SplitClassSamples):
    """Images in a training part and a test part."""

    augment: Augment
    """How training samples are altered at random: not, or shifted by up to 4 pixels and mirrored."""
    normalize: Normalize
    """How inputs are scaled: pixels to [0, 1] and features not at all, or each channel, or feature, to mean 0 and deviation
    1 over the training part."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_all(pixels_check(self.source, "augment", self.augment, "none"))

    def input_scale(self) -> InputScale | None:
        return _scale(self.source, self.normalize)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        return _prepared(super().load(seeds), self.augment, self.input_scale(), self.input_shape)


@dataclass(frozen=True, kw_only=True)
class HeldOutImageSamples(HeldOutClassSamples):
    """Images of which some of each class are kept for test."""

    augment: Augment
    """How training samples are altered at random: not, or shifted by up to 4 pixels and mirrored."""
    normalize: Normalize
    """How inputs are scaled: pixels to [0, 1] and features not at all, or each channel, or feature, to mean 0 and deviation
    1 over all images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_all(pixels_check(self.source, "augment", self.augment, "none"))

    def input_scale(self) -> InputScale | None:
        return _scale(self.source, self.normalize)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        return _prepared(super().load(seeds), self.augment, self.input_scale(), self.input_shape)


def _scale(source: LabelledSource, normalize: Normalize) -> InputScale | None:
    """The scale, of the training part where the source has one; the same for all seeds."""
    if normalize == "none":
        return None
    if isinstance(source, SplitSource):
        examples = source.read_parts()
        return InputScale.of(examples.x[: examples.num_train])
    return InputScale.of(source.read().x)


def _prepared(
    pool: TableSamplePool, augment: Augment, scale: InputScale | None, input_shape: tuple[int, ...]
) -> TableSamplePool:
    """The same pool, whose samples are scaled, and augmented where they are observed."""
    if augment == "none":
        return dataclasses.replace(pool, scale=scale)
    black = torch.zeros(input_shape[0], 1, 1, dtype=torch.float64)
    return dataclasses.replace(pool, scale=scale, augmentation=CropFlip(black=black if scale is None else scale.apply(black)))
