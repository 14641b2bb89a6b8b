"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels, 50,000 of them for training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from metacl_run.data.images.cifar_files import CIFAR10, CIFAR100, CifarFiles, read_cifar
from metacl_run.data.images.image_source import SplitImageSource
from metacl_run.data.sources.source import Catalogue, SplitExamples


@dataclass(frozen=True, kw_only=True)
class Cifar(SplitImageSource):
    """CIFAR-10 or CIFAR-100, in colour."""

    has_fixed_parts = True

    classes: Literal[10, 100]
    """CIFAR-10 or CIFAR-100."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the folder or the archive of the Python version."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download files that are missing."""

    num_channels = 3

    @property
    def origins(self) -> frozenset[str]:
        return frozenset({f"cifar{self.classes}"})

    def parts(self) -> tuple[Catalogue, Catalogue]:
        return self._files.parts()

    def read_split_images(self) -> SplitExamples:
        x, y = read_cifar(self._files, self.root, image_size=self.image_size, download=self.download)
        return SplitExamples(x=x, y=y, num_train=sum(self._files.train.values()))

    @property
    def _files(self) -> CifarFiles:
        return CIFAR10 if self.classes == 10 else CIFAR100
