"""Any two folders of PNG or JPEG images, one for training and one for test, both with a sub-folder for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metacl_run.data.files.reading import data_root
from metacl_run.data.images.class_folders import Listing, read_images
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.images.image_source import SplitImageSource
from metacl_run.data.images.part_folders import list_parts
from metacl_run.data.sources.source import Catalogue, SplitExamples, contents_of_parts


@dataclass(frozen=True, kw_only=True)
class TrainTestImages(SplitImageSource):
    """Classes may hold different numbers of images of different sizes; all are resized to one square.

    Both parts must have the same classes: those of the training part, called by the names of their folders.
    """

    also_read_by = dict.fromkeys(("image_folder", "split_image_folder"), "data.root={root}/{train_folder}")

    root: str
    """The folder that holds the two parts."""
    train_folder: str
    """The folder of the training part, relative to `root`."""
    test_folder: str
    """The folder of the test part, relative to `root`."""
    channels: Literal[1, 3]
    """1: grey, 3: red, green, blue."""

    @property
    def num_channels(self) -> int:
        return self.channels

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self._folders())

    @property
    def test_origin(self) -> str:
        return " ".join(self._folders())

    def _folders(self) -> list[str]:
        """The folders of the training part and of the test part, wherever the command is given."""
        base = data_root(self.root)
        return [str((base / folder).resolve()) for folder in (self.train_folder, self.test_folder)]

    def parts(self) -> tuple[Catalogue, Catalogue]:
        train, test = self._listings()
        return train.catalogue(), test.catalogue()

    def contents(self) -> dict[str, Any]:
        train, test = self._listings()
        return contents_of_parts(train.contents(), test.contents())

    def read_split_images(self) -> SplitExamples:
        train, test = listings = self._listings()
        files, num_train = [*train.images(), *test.images()], len(train.images())
        pixels = read_images(files, channels=self.channels, image_size=self.image_size)
        notes = [*train.left_out(), *test.left_out()]
        for listing, part, name in zip(listings, np.split(pixels, [num_train]), ("training", "test"), strict=True):
            notes += [f"{name} part: {note}" for note in on_pixels(listing.catalogue(), part)]
        counts = [listing.catalogue().counts for listing in listings]
        labels = np.concatenate([np.repeat(np.arange(len(of_part)), of_part) for of_part in counts])
        return SplitExamples(x=pixels, y=labels, num_train=num_train, notes=notes)

    def _listings(self) -> tuple[Listing, Listing]:
        return list_parts(self.root, train_folder=self.train_folder, test_folder=self.test_folder)
