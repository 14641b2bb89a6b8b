"""Split CIFAR-10 and CIFAR-100: their classes, dealt to tasks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metacl_run.data.files.cifar_files import CIFAR10, CIFAR100, Cifar, read_cifar
from metacl_run.data.sources.catalogue import Catalogue
from metacl_run.data.streams.class_stream import ClassStream


@dataclass(frozen=True, kw_only=True)
class SplitCifar(ClassStream):
    """New classes with every task; colour."""

    classes: Literal[10, 100]
    """CIFAR-10 or CIFAR-100."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the folder or the archive of the Python version."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 3, self.image_size, self.image_size

    def halves(self) -> tuple[Catalogue, Catalogue]:
        return self._source.halves()

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return read_cifar(self._source, self.root, image_size=self.image_size, download=self.download)

    @property
    def _source(self) -> Cifar:
        return CIFAR10 if self.classes == 10 else CIFAR100
