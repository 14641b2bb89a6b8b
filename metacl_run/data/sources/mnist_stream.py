"""MNIST under a shift of its own for each task: rotated, permuted, inverted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from metacl_run.data.files.mnist_files import SHAPES, read_mnist_halves
from metacl_run.data.streams.shifted_images import LabelledImages, ShiftedImages


@dataclass(frozen=True, kw_only=True)
class MnistStream(ShiftedImages):
    """Domain-incremental MNIST: ten digits in every task, one head of ten outputs."""

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds MNIST."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    def sizes(self) -> tuple[int, int]:
        return SHAPES["train-images-idx3-ubyte"][0], SHAPES["t10k-images-idx3-ubyte"][0]

    def read(self) -> LabelledImages:
        return LabelledImages(*read_mnist_halves(self.root, image_size=self.image_size, download=self.download))
