"""Split Tiny ImageNet: its 200 classes, dealt to tasks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from metacl_run.data.files.tinyimagenet_files import read_tinyimagenet, tinyimagenet_halves
from metacl_run.data.sources.catalogue import Catalogue
from metacl_run.data.streams.class_stream import ClassStream


@dataclass(frozen=True, kw_only=True)
class SplitTinyImageNet(ClassStream):
    """New classes with every task; colour."""

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the folder `tiny-imagenet-200`."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 3, self.image_size, self.image_size

    def halves(self) -> tuple[Catalogue, Catalogue]:
        return tinyimagenet_halves()

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return read_tinyimagenet(self.root, image_size=self.image_size, download=self.download)
