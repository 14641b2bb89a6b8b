"""Reads the images of a folder that has a sub-folder of PNG or JPEG files for each class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.data.files.cache import cached
from metacl_run.data.files.reading import listed, printed, stamp, sub_folders
from metacl_run.data.images.decoding import decode, stacked
from metacl_run.data.message_words import counted
from metacl_run.data.sources.source import Catalogue

ENDINGS = (".png", ".jpg", ".jpeg")
MOST_ENDINGS = 6
"""Other endings that a note counts one by one."""


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

    def catalogue(self) -> Catalogue:
        """The classes, called by the names of their folders."""
        names = [printed(Path(folder.name)) for folder in self.files]
        counts = np.array([len(files) for files in self.files.values()])
        return Catalogue(names=names, counts=counts, groups=names)

    def contents(self) -> dict[str, Any]:
        """As `Catalogue.contents`, with the names of all files."""
        return self.catalogue().contents([str(file.relative_to(self.root)) for file in self.images()])

    def images(self) -> list[Path]:
        """All image files, class by class."""
        return [file for class_files in self.files.values() for file in class_files]

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


def list_images(base: Path, *, key: str = "data.root", parent: Path | None = None) -> Listing:
    """Lists a folder. Names that begin with a dot, and `__MACOSX`, are passed over.

    Args:
        base: the folder.
        key: of the setting that names it, for messages.
        parent: the folder to which the value of that setting is relative; None: it is the whole path.

    Raises:
        DataError: something in it cannot be read, it has no classes, or a class has no image.
    """
    folders = sub_folders(base)
    if not folders:
        place = "has" if parent is None else f"{printed(base)} has"
        raise DataError(f"{key}={_value(base, parent)}: {place} no sub-folders; one for each class was expected.")
    files: dict[Path, list[Path]] = {}
    others: Counter[str] = Counter()
    for folder in folders:
        content = listed(folder)
        files[folder] = [path for path in content if is_image(path)]
        rest = Counter(_ending(path) for path in content if not is_image(path))
        if not files[folder]:
            raise DataError(f"{printed(folder)}: {_nothing(rest, key, _value(folder, parent))}")
        others += rest
    loose = sum(is_image(path) for path in listed(base)) - sum(is_image(folder) for folder in folders)
    return Listing(root=base, files=files, others=others, loose=loose)


def read_images(files: Sequence[Path], *, channels: int, image_size: int) -> np.ndarray:
    """Pixels [N, channels, image_size, image_size] uint8 of N files, from the cache if it has them.

    Raises:
        DataError: naming the file that is no PNG or JPEG image, or cannot be read.
    """

    def make() -> np.ndarray:
        images = (decode(file, name=printed(file), channels=channels, image_size=image_size) for file in files)
        return stacked(images, count=len(files), channels=channels, image_size=image_size)

    return cached(["image_folder", image_size, channels, *map(stamp, files)], make)


def is_image(path: Path) -> bool:
    """Whether its name has one of the endings that are read."""
    return path.suffix.lower() in ENDINGS


def _ending(path: Path) -> str:
    return "/" if os.path.isdir(path) else path.suffix.lower()


def _value(folder: Path, parent: Path | None) -> str:
    return printed(folder if parent is None else Path(os.path.relpath(folder, parent)))


def _nothing(rest: Counter[str], key: str, value: str) -> str:
    """Why a class has no image.

    Args:
        rest: what its folder holds, as `Listing.others`.
        key, value: the setting for the folder of all classes, and its value if this folder is that one.
    """
    if not rest:
        return "this class has 0 images: the folder is empty. Remove it, or put images there."
    if set(rest) == {"/"}:
        return (
            f"this class has 0 images, but {counted(rest['/'], 'sub-folder')}: {key} must be the folder that holds one "
            f"folder of images for each class. {key}={value}?"
        )
    others = ", ".join(f"{count} {'folders' if ending == '/' else ending or 'without one'}" for ending, count in rest.items())
    return f"this class has 0 images with one of the endings that are read ({' '.join(ENDINGS)}); it holds others: {others}."
