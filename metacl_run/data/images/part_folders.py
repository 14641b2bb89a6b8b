"""Folders whose images are divided into a training part and a test part: `train/CLASS/*.jpg` and `test/CLASS/*.jpg`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metacl_run.core.errors import DataError, nearest_name
from metacl_run.data.files.reading import data_root, listed, printed, reading, sub_folders
from metacl_run.data.images.class_folders import Listing, is_image, list_images
from metacl_run.data.message_words import named

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation")
"""What the folders of the parts are called, in small letters; the likeliest first."""
MOST_FOLDERS = 10
"""Sub-folders that a message calls by name."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the two parts, as the settings name it."""

    key: str
    """Of the setting."""
    value: str
    usual: Sequence[str]
    """Its usual names."""

    @property
    def setting(self) -> str:
        return f"{self.key}={printed(Path(self.value))}"


def list_parts(root: str, *, train_folder: str, test_folder: str) -> tuple[Listing, Listing]:
    """Lists the images of the training part and of the test part, which have the same classes in the same order.

    Args:
        root: the folder to which the other two are relative.
        train_folder, test_folder: of the parts, each with a sub-folder for each class.

    Raises:
        DataError: a folder is missing or is that of both parts, something cannot be read, a class has no image, or the classes
            of the parts differ.
    """
    base = data_root(root)
    if not base.is_dir():
        raise DataError(
            f"{printed(base)} is not a folder: data.root must be one with a folder of training images and a folder of test "
            "images, which have a sub-folder for each class. What runs now without it: metacl-run algo=er data=split_glyphs"
        )
    train = Part(key="data.train_folder", value=train_folder, usual=TRAIN_NAMES)
    test = Part(key="data.test_folder", value=test_folder, usual=TEST_NAMES)
    absent = [part for part in (train, test) if not _is_folder(base / part.value)]
    if absent:
        raise DataError(_absent(base, absent, (train, test)))
    if os.path.samefile(base / train.value, base / test.value):
        raise DataError(f"{test.setting}: is the folder of {train.setting}, so that test images would be learned from.")
    of_train, of_test = (list_images(base / part.value, key=part.key, parent=base) for part in (train, test))
    _check_classes(of_train, of_test, test)
    return of_train, of_test


def parts_in(base: Path) -> tuple[str, str] | None:
    """The names of the two sub-folders that look like a training and a test part, by what they are called and since they hold
    folders and no images; None: there are no such two.

    Raises:
        DataError: a folder cannot be read.
    """
    folders = [folder.name for folder in sub_folders(base)]
    usual = [[name for name in _usual(names, folders) if _is_part(base / name)] for names in (TRAIN_NAMES, TEST_NAMES)]
    return (usual[0][0], usual[1][0]) if all(usual) else None


def _usual(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """The folders that have one of the names, the likeliest first."""
    return sorted((folder for folder in folders if folder.lower() in names), key=lambda folder: names.index(folder.lower()))


def _is_folder(path: Path) -> bool:
    with reading(path):
        return path.is_dir()


def _has_images(folder: Path) -> bool:
    return any(is_image(path) for path in listed(folder))


def _is_part(folder: Path) -> bool:
    return bool(sub_folders(folder)) and not _has_images(folder)


def _absent(base: Path, absent: Sequence[Part], parts: Sequence[Part]) -> str:
    """The message for parts that are not there."""
    folders = sub_folders(base)
    if any(map(_has_images, folders)) and not any(map(_is_part, folders)):
        return (
            f"data.root={printed(base)}: has no folder {printed(Path(absent[0].value))} ({absent[0].key}), and its sub-folders "
            "hold images, as if each were a class. data=split_image_folder reads such a folder and keeps some images of each "
            "class for test."
        )
    names = [printed(Path(folder.name)) for folder in folders]
    there = f"has the sub-folders {named(names, MOST_FOLDERS)}" if names else "has no sub-folders"
    lines = []
    for part in absent:
        others = [name for name in names if name not in {other.value for other in parts if other is not part}]
        likely = next(iter(_usual(part.usual, others)), None) or nearest_name(part.value, others)
        suggestion = f" {part.key}={likely}?" if likely else ""
        lines.append(f"{part.setting}: there is no such folder. {printed(base)} {there}.{suggestion}")
    return "\n".join(lines)


def _check_classes(train: Listing, test: Listing, part: Part) -> None:
    """Raises DataError where a class is in one part alone."""
    classes, test_classes = ({folder.name for folder in listing.files} for listing in (train, test))
    only = [(train, sorted(classes - test_classes)), (test, sorted(test_classes - classes))]
    places = [
        f"only {printed(listing.root)} has {named([printed(Path(name)) for name in names])}" for listing, names in only if names
    ]
    if places:
        raise DataError(f"{part.setting}: both parts must have the same classes, but {', and '.join(places)}.")
