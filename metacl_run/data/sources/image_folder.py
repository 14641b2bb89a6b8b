"""Any folder with a sub-folder of PNG or JPEG images for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from metacl_run.core.errors import DataError
from metacl_run.data.files.reading import data_root, printed
from metacl_run.data.images.class_folders import Listing, list_images, read_images
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.images.image_source import ImageSource
from metacl_run.data.images.part_folders import parts_in
from metacl_run.data.sources.source import Catalogue, LabelledExamples


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageSource):
    """Classes may hold different numbers of images of different sizes; all are resized to one square."""

    also_read_by = dict.fromkeys(("image_folder", "split_image_folder"), "data.root={root}")

    root: str
    """The folder of the class folders."""
    channels: Literal[1, 3]
    """1: grey, 3: red, green, blue."""

    @property
    def num_channels(self) -> int:
        return self.channels

    @property
    def origins(self) -> frozenset[str]:
        return frozenset({str(data_root(self.root).resolve())})

    def catalogue(self) -> Catalogue:
        return self._listing().catalogue()

    def contents(self) -> dict[str, Any]:
        return self._listing().contents()

    def read_images(self) -> LabelledExamples:
        listing = self._listing()
        catalogue = listing.catalogue()
        pixels = read_images(listing.images(), channels=self.channels, image_size=self.image_size)
        return LabelledExamples(catalogue=catalogue, x=pixels, notes=[*listing.left_out(), *on_pixels(catalogue, pixels)])

    def _listing(self) -> Listing:
        """Raises DataError where there is no such folder, or it is divided into a training and a test part."""
        base = data_root(self.root)
        if not base.is_dir():
            raise DataError(
                f"{printed(base)} is not a folder: data.root must be one with a sub-folder of images for each class. "
                "What runs now without it: metacl-run data=split_glyphs"
            )
        if names := parts_in(base):
            train, test = (printed(base / name) for name in names)
            chosen = [f"data.{key}={name}" for key, name in zip(("train_folder", "test_folder"), names, strict=True)]
            raise DataError(
                f"data.root={printed(base)}: a sub-folder of images for each class was expected, but {train} and {test} hold "
                f"folders, as a training and a test part do. data=split_train_test_images {' '.join(chosen)} reads both "
                f"(protocol online); data.root={train} reads the first alone."
            )
        return list_images(base)
