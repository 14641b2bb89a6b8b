"""Split MNIST: the ten digits, dealt to tasks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from metacl_run.data.files.mnist_files import mnist_halves, read_mnist_halves
from metacl_run.data.sources.catalogue import Catalogue
from metacl_run.data.streams.class_stream import ClassStream


@dataclass(frozen=True, kw_only=True)
class SplitMnist(ClassStream):
    """New digits with every task."""

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds MNIST."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, self.image_size, self.image_size

    def halves(self) -> tuple[Catalogue, Catalogue]:
        return mnist_halves()

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        train_x, train_y, test_x, test_y = read_mnist_halves(self.root, image_size=self.image_size, download=self.download)
        return np.concatenate([train_x, test_x]), np.concatenate([train_y, test_y])
