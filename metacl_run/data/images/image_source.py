"""The interfaces of a source of images: labelled examples, which are pixels or the features that an encoder makes of them.

Shapes: N images, D features.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from metacl_run.core.bounds import Side, added_setting
from metacl_run.core.errors import Check, shown
from metacl_run.data.images.image_encoder import PIXELS, encoder_of
from metacl_run.data.images.image_features import EncodedShift, encoded
from metacl_run.data.images.shift import KINDS, image_shift
from metacl_run.data.sources.source import LabelledExamples, LabelledSource, SplitExamples, SplitSource
from metacl_run.data.sources.task_shift import TaskShift

Read = TypeVar("Read", LabelledExamples, SplitExamples)


@dataclass(frozen=True, kw_only=True)
class AnyImageSource(LabelledSource):
    """What the sources of images have in common."""

    image_size: Side
    """Side of the square images, in pixels."""
    encoder: str = dataclasses.field(metadata=added_setting("encodes", off="pixels"))
    """What turns an image into an example, see `image_encoder.encoder_of`; "pixels": nothing does."""

    shifts = KINDS
    has_dark_ground: ClassVar[bool] = False
    """Whether the images are bright strokes on a dark ground, as of characters and digits."""

    def __post_init__(self) -> None:
        encoder_of(self.encoder)

    @property
    @abc.abstractmethod
    def num_channels(self) -> int:
        """1: grey, 3: red, green, blue."""

    @property
    def encodes(self) -> bool:
        """Whether an example is what an encoder makes of an image."""
        return self.encoder != PIXELS

    @property
    def fingerprint(self) -> str:
        encoder = encoder_of(self.encoder)
        return "" if encoder is None else encoder.fingerprint

    @property
    def example_shape(self) -> tuple[int, ...]:
        encoder = encoder_of(self.encoder)
        return (self.num_channels, self.image_size, self.image_size) if encoder is None else encoder.shape

    def examples_of(self, images: np.ndarray) -> np.ndarray:
        """Returns images [N, channels, side, side] uint8 as examples: themselves, or features [N, D]."""
        encoder = encoder_of(self.encoder)
        return images if encoder is None else encoded(encoder, images)

    def as_examples(self, images: Read) -> Read:
        """What was read, encoded where examples are; the images then stay beside them as what was encoded."""
        return dataclasses.replace(images, x=self.examples_of(images.x), raw=images.x) if self.encodes else images

    def task_shift(self, kind: str, *, seeds: Sequence[int], num_tasks: int) -> TaskShift:
        encoder = encoder_of(self.encoder)
        shift = image_shift(kind, seeds=seeds, num_tasks=num_tasks, image_size=self.image_size)
        return EncodedShift(of_images=shift, encoder=encoder) if encoder is not None and shift.changes else shift


@dataclass(frozen=True, kw_only=True)
class ImageSource(AnyImageSource):
    """Images by class."""

    @abc.abstractmethod
    def read_images(self) -> LabelledExamples:
        """Reads all images [N, channels, side, side] uint8.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

    def read(self) -> LabelledExamples:
        return self.as_examples(self.read_images())


@dataclass(frozen=True, kw_only=True)
class SplitImageSource(AnyImageSource, SplitSource):
    """Images by class, in a training part and a test part."""

    @abc.abstractmethod
    def read_split_images(self) -> SplitExamples:
        """Reads the images of both parts, [N, channels, side, side] uint8. Raises as `ImageSource.read_images` does."""

    def read_parts(self) -> SplitExamples:
        return self.as_examples(self.read_split_images())


def pixels_check(source: LabelledSource, field: str, value: object, off: object) -> Check:
    """The check, for `require_all`, of a setting that changes the pixels of an image whenever a learner sees it: there are none
    where images are encoded.

    Args:
        source: of the images.
        field, value: the setting.
        off: its value that changes nothing.
    """
    encoder = source.encoder if isinstance(source, AnyImageSource) else PIXELS
    allowed = f"changes pixels anew each time, but data.encoder={encoder} has encoded every image once; must be {shown(off)}"
    return encoder == PIXELS or value == off, field, value, allowed
