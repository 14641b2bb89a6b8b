"""Reads Tiny ImageNet (Le and Yang 2015): 200 classes of ImageNet at 64 x 64, from the folder that its archive unpacks to.

500 training images of each class; the validation images, 50 of each, are the test part here, since the test images have no
labels. The content is checked by counts, not by checksums.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metacl_run.core.errors import DataError
from metacl_run.core.files import read_at_most
from metacl_run.data.files.cache import cached
from metacl_run.data.files.fetching import find_or_fetch
from metacl_run.data.files.reading import listed, reading, stamp, sub_folders
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.decoding import decode, stacked
from metacl_run.data.sources.source import Catalogue

FOLDER = "tiny-imagenet-200"
BELOW = ("", "tiny-imagenet", "tinyimagenet")
"""Where below the data root the folder may be."""
URL, MD5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"
CLASSES, TRAIN_IMAGES, TEST_IMAGES = 200, 500, 50
"""Classes, and images of each in the two parts."""

ANNOTATIONS_BYTES = 2**24
"""More than this the file of validation labels does not take; it takes half a MiB."""

Listing = list[list[Path]]
"""[C] the sorted image files of each class, classes sorted by name."""


def tinyimagenet_parts() -> tuple[Catalogue, Catalogue]:
    """What the training and the validation images are of."""
    names, groups = [f"class {number}" for number in range(CLASSES)], [FOLDER] * CLASSES
    of_parts = (np.full(CLASSES, count) for count in (TRAIN_IMAGES, TEST_IMAGES))
    train, test = (Catalogue(names=names, counts=counts, groups=groups) for counts in of_parts)
    return train, test


def read_tinyimagenet(root: str, *, image_size: int, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [110000, 3, image_size, image_size] uint8 and classes [110000] int64, the training part first, class by class.

    Raises:
        DataError: the folder is missing, incomplete or broken.
    """
    folder = find_or_fetch(
        root,
        name="Tiny ImageNet",
        looked_for=[str(Path(below, FOLDER, what)) for below in BELOW for what in ("train/", "val/val_annotations.txt")],
        find=_find,
        download=_download,
        verify=_parts,
        place=FOLDER,
        allowed=download,
    )
    parts = _parts(folder)
    files = [file for listing in parts for class_files in listing for file in class_files]

    def make() -> np.ndarray:
        images = (decode(file, name=str(file), channels=3, image_size=image_size) for file in files)
        return stacked(images, count=len(files), channels=3, image_size=image_size)

    labels = np.concatenate([np.repeat(np.arange(CLASSES), [len(class_files) for class_files in listing]) for listing in parts])
    return cached(["tinyimagenet", image_size, *map(stamp, files)], make), labels


def _find(root: Path) -> Path | None:
    for below in BELOW:
        folder = root / below / FOLDER
        if (folder / "train").is_dir() and (folder / "val" / "val_annotations.txt").is_file():
            return folder
    return None


def _download(folder: Path) -> None:
    torchvision_module("datasets").utils.download_and_extract_archive(URL, str(folder), md5=MD5)


def _parts(folder: Path) -> tuple[Listing, Listing]:
    """The training and the validation images, checked by counts.

    Raises:
        DataError: naming the place and what was expected.
    """
    names = [path.name for path in sub_folders(folder / "train")]
    if len(names) != CLASSES:
        raise DataError(f"{folder / 'train'}: expected {CLASSES} folders of classes, found {len(names)}. Half-unpacked?")
    train = [_images(folder / "train" / name / "images") for name in names]
    annotations = folder / "val" / "val_annotations.txt"
    classes: dict[str, list[str]] = {name: [] for name in names}
    with reading(annotations):
        lines = read_at_most(annotations, ANNOTATIONS_BYTES).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        file, _, rest = line.partition("\t")
        name = rest.split("\t")[0]
        if name not in classes or "/" in file or "\\" in file:
            raise DataError(f"{annotations}: line {number} is not a file name, a tab and one of the classes of train.")
        classes[name].append(file)
    there = {path.name: path for path in _images(folder / "val" / "images")}
    lacking = [file for class_files in classes.values() for file in class_files if file not in there]
    if lacking:
        raise DataError(f"{folder / 'val' / 'images' / lacking[0]}: is not there. Half-unpacked?")
    test = [[there[file] for file in sorted(class_files)] for class_files in classes.values()]
    for part, listing, count in ((folder / "train", train, TRAIN_IMAGES), (annotations, test, TEST_IMAGES)):
        for name, class_files in zip(names, listing, strict=True):
            if len(class_files) != count:
                raise DataError(f"{part}: expected {count} images of class {name}, found {len(class_files)}. Half-unpacked?")
    return train, test


def _images(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; none where there is no folder."""
    return [path for path in listed(folder) if path.suffix.lower() in (".jpeg", ".jpg")] if folder.is_dir() else []
