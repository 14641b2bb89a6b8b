"""The interfaces of a source of images: labelled examples of shape [channels, side, side]."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from metacl_run.core.bounds import Side
from metacl_run.data.images.shift import KINDS, image_shift
from metacl_run.data.sources.source import LabelledSource, SplitSource
from metacl_run.data.sources.task_shift import TaskShift


@dataclass(frozen=True, kw_only=True)
class ImageSource(LabelledSource):
    """Images by class."""

    image_size: Side
    """Side of the square images, in pixels."""

    shifts = KINDS
    has_dark_ground: ClassVar[bool] = False
    """Whether the examples are bright strokes on a dark ground, as of characters and digits."""

    @property
    @abc.abstractmethod
    def num_channels(self) -> int:
        """1: grey, 3: red, green, blue."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return self.num_channels, self.image_size, self.image_size

    def task_shift(self, kind: str, *, seeds: Sequence[int], num_tasks: int) -> TaskShift:
        return image_shift(kind, seeds=seeds, num_tasks=num_tasks, image_size=self.image_size)


@dataclass(frozen=True, kw_only=True)
class SplitImageSource(SplitSource):
    """Images by class, in a training part and a test part."""

    image_size: Side
    """Side of the square images, in pixels."""

    shifts = KINDS
    has_dark_ground: ClassVar[bool] = False
    """Whether the examples are bright strokes on a dark ground, as of characters and digits."""

    @property
    @abc.abstractmethod
    def num_channels(self) -> int:
        """1: grey, 3: red, green, blue."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return self.num_channels, self.image_size, self.image_size

    def task_shift(self, kind: str, *, seeds: Sequence[int], num_tasks: int) -> TaskShift:
        return image_shift(kind, seeds=seeds, num_tasks=num_tasks, image_size=self.image_size)
