"""Tiny ImageNet: 200 classes, each with 500 colour images for training and 50 for test (its validation images)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from metacl_run.data.images.image_source import SplitImageSource
from metacl_run.data.images.tinyimagenet_files import read_tinyimagenet, tinyimagenet_parts
from metacl_run.data.sources.source import Catalogue, SplitExamples


@dataclass(frozen=True, kw_only=True)
class TinyImageNet(SplitImageSource):
    """The 200 classes, in colour."""

    has_fixed_parts = True

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the folder `tiny-imagenet-200`."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download files that are missing."""

    num_channels = 3

    def parts(self) -> tuple[Catalogue, Catalogue]:
        return tinyimagenet_parts()

    def read_split_images(self) -> SplitExamples:
        x, y = read_tinyimagenet(self.root, image_size=self.image_size, download=self.download)
        return SplitExamples(x=x, y=y, num_train=int(self.parts()[0].counts.sum()))
