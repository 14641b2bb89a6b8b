"""Any folder with a sub-folder of PNG or JPEG images for each class."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.data.files.cache import cached
from metacl_run.data.files.reading import data_root, listed, printed, stamp, sub_folders
from metacl_run.data.images.decoding import decode, stacked
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.images.image_source import ImageSource
from metacl_run.data.message_words import counted
from metacl_run.data.sources.source import Catalogue, LabelledExamples

ENDINGS = (".png", ".jpg", ".jpeg")
MOST_ENDINGS = 6
"""Other endings that a note counts one by one."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageSource):
    """Classes may hold different numbers of images of different sizes; all are resized to one square."""

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
        return _catalogue(list_images(self.root))

    def contents(self) -> dict[str, Any]:
        listing = list_images(self.root)
        names = [str(file.relative_to(listing.root)) for files in listing.files.values() for file in files]
        return _catalogue(listing).contents(names)

    def read_images(self) -> LabelledExamples:
        listing = list_images(self.root)
        files = [file for class_files in listing.files.values() for file in class_files]

        def make() -> np.ndarray:
            images = (decode(file, name=printed(file), channels=self.channels, image_size=self.image_size) for file in files)
            return stacked(images, count=len(files), channels=self.channels, image_size=self.image_size)

        key = ["image_folder", self.image_size, self.channels, *map(stamp, files)]
        catalogue, pixels = _catalogue(listing), cached(key, make)
        return LabelledExamples(catalogue=catalogue, x=pixels, notes=[*listing.left_out(), *on_pixels(catalogue, pixels)])


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in a folder of class folders."""

    root: Path
    files: dict[Path, list[Path]]
    """The image files of every class folder, all sorted by name."""
    others: Counter[str]
    """What else lies in class folders, by its ending, in small letters; "/" for folders."""
    loose: int
    """Image files beside the class folders."""

    def left_out(self) -> list[str]:
        """A note for each kind of file that is not read."""
        inner = self.others["/"]
        endings = sorted((-count, ending) for ending, count in self.others.items() if ending != "/")
        notes = []
        if endings:
            kinds = [f"{-count} {ending or 'without one'}" for count, ending in endings[:MOST_ENDINGS]]
            kinds += [f"{len(endings) - MOST_ENDINGS} more endings"] if len(endings) > MOST_ENDINGS else []
            files = counted(-sum(count for count, _ in endings), "file")
            notes.append(f"left out by the ending: {files} in class folders ({', '.join(kinds)}); {' '.join(ENDINGS)} are read")
        if inner:
            notes.append(f"not looked into: {counted(inner, 'folder')} within class folders")
        if self.loose:
            notes.append(f"left out, since no class has them: {counted(self.loose, 'image')} beside the class folders")
        return [f"{printed(self.root)}: {note}" for note in notes]


def list_images(root: str) -> Listing:
    """Names that begin with a dot, and `__MACOSX`, are passed over.

    Raises:
        DataError: there is no such folder, something in it cannot be read, or a class has no image.
    """
    base = data_root(root)
    if not base.is_dir():
        raise DataError(
            f"{printed(base)} is not a folder: data.root must be one with a sub-folder of images for each class. "
            "What runs now without it: metacl-run data=split_glyphs"
        )
    folders = sub_folders(base)
    if not folders:
        raise DataError(f"data.root={printed(base)}: has no sub-folders; one for each class was expected.")
    files: dict[Path, list[Path]] = {}
    others: Counter[str] = Counter()
    for folder in folders:
        content = listed(folder)
        files[folder] = [path for path in content if _is_image(path)]
        rest = Counter(_ending(path) for path in content if not _is_image(path))
        if not files[folder]:
            raise DataError(f"{printed(folder)}: {_nothing(folder, rest)}")
        others += rest
    loose = sum(_is_image(path) for path in listed(base)) - sum(_is_image(folder) for folder in folders)
    return Listing(root=base, files=files, others=others, loose=loose)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _ending(path: Path) -> str:
    return "/" if os.path.isdir(path) else path.suffix.lower()


def _nothing(folder: Path, rest: Counter[str]) -> str:
    """Why a class has no image."""
    if not rest:
        return "this class has 0 images: the folder is empty. Remove it, or put images there."
    if set(rest) == {"/"}:
        return (
            f"this class has 0 images, but {counted(rest['/'], 'sub-folder')}: data.root must be the folder that holds one "
            f"folder of images for each class. data.root={printed(folder)}?"
        )
    others = ", ".join(f"{count} {'folders' if ending == '/' else ending or 'without one'}" for ending, count in rest.items())
    return f"this class has 0 images with one of the endings that are read ({' '.join(ENDINGS)}); it holds others: {others}."


def _catalogue(listing: Listing) -> Catalogue:
    names = [printed(Path(folder.name)) for folder in listing.files]
    counts = np.array([len(files) for files in listing.files.values()])
    return Catalogue(names=names, counts=counts, groups=names)
