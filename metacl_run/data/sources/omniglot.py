"""Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from metacl_run.data.images.image_source import ImageSource
from metacl_run.data.images.omniglot_files import omniglot_catalogue, read_omniglot
from metacl_run.data.sources.source import Catalogue, LabelledExamples


@dataclass(frozen=True, kw_only=True)
class Omniglot(ImageSource):
    """The background set and the evaluation set together, grey, ink bright."""

    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the archives or folders, directly or in `omniglot` or `omniglot-py`."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download files that are missing."""

    num_channels = 1
    has_dark_ground = True

    def catalogue(self) -> Catalogue:
        return omniglot_catalogue()

    def read_images(self) -> LabelledExamples:
        return read_omniglot(self.root, image_size=self.image_size, download=self.download)
