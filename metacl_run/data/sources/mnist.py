"""MNIST: 70,000 handwritten digits, 60,000 of them for training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from metacl_run.data.images.image_source import SplitImageSource
from metacl_run.data.images.mnist_files import mnist_parts, read_mnist_parts
from metacl_run.data.sources.source import Catalogue, SplitExamples


@dataclass(frozen=True, kw_only=True)
class Mnist(SplitImageSource):
    """The ten digits, grey, ink bright."""

    has_fixed_parts = True

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds MNIST."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download files that are missing."""

    num_channels = 1
    has_dark_ground = True

    def parts(self) -> tuple[Catalogue, Catalogue]:
        return mnist_parts()

    def read_split_images(self) -> SplitExamples:
        train_x, train_y, test_x, test_y = read_mnist_parts(self.root, image_size=self.image_size, download=self.download)
        x, y = np.concatenate([train_x, test_x]), np.concatenate([train_y, test_y])
        return SplitExamples(x=x, y=y, num_train=len(train_y))
