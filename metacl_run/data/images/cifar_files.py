"""Reads CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their Python version: 60,000 colour images of 32 x 32.

Taken as the original archive, as the folder it unpacks to, or as torchvision keeps it. The files are pickles: only numpy arrays
and plain containers are rebuilt from them, nothing else is called. The content is checked by counts, not by checksums.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.core.files import read_at_most, regular_file
from metacl_run.data.files.fetching import find_or_fetch
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.cifar100_classes import SUPERCLASSES
from metacl_run.data.images.decoding import resized, stacked
from metacl_run.data.sources.source import Catalogue

SIDE = 32


@dataclass(frozen=True, kw_only=True)
class CifarFiles:
    """One of the two.

    Attributes:
        name: as messages and torchvision call it.
        folder, archive: what its files are in.
        train, test: images of each file.
        labels: the key of the labels in a file.
        classes: names of the classes.
        superclasses: the classes of every superclass; None: there are none.
    """

    name: str
    folder: str
    archive: str
    train: dict[str, int]
    test: dict[str, int]
    labels: str
    classes: list[str]
    superclasses: Mapping[str, Sequence[str]] | None = None

    @property
    def below(self) -> tuple[str, ...]:
        """Where below the data root the folder or the archive may be; torchvision's is directly below."""
        return "", "cifar", self.name.lower()

    def parts(self) -> tuple[Catalogue, Catalogue]:
        """The training part and the test part; the classes have equally many images."""
        groups, word = [self.name] * len(self.classes), "groups"
        if self.superclasses is not None:
            of_class = {name: group for group, names in self.superclasses.items() for name in names}
            groups, word = [of_class[name] for name in self.classes], "superclasses"
        counts = [np.full(len(groups), sum(files.values()) // len(groups)) for files in (self.train, self.test)]
        train, test = (Catalogue(names=self.classes, counts=part, groups=groups, group_word=word) for part in counts)
        return train, test


CIFAR10 = CifarFiles(
    name="CIFAR10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train={f"data_batch_{number}": 10000 for number in range(1, 6)},
    test={"test_batch": 10000},
    labels="labels",
    classes=["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
)
CIFAR100 = CifarFiles(
    name="CIFAR100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train={"train": 50000},
    test={"test": 10000},
    labels="fine_labels",
    classes=sorted(name for names in SUPERCLASSES.values() for name in names),
    superclasses=SUPERCLASSES,
)


def read_cifar(cifar: CifarFiles, root: str, *, image_size: int, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [60000, 3, image_size, image_size] uint8 and classes [60000] int64, the training part first.

    Raises:
        DataError: the files are missing, incomplete or broken.
    """
    place = find_or_fetch(
        root,
        name=cifar.name,
        looked_for=[str(Path(below, what)) for below in cifar.below for what in (f"{cifar.folder}/", cifar.archive)],
        find=lambda base: _find(cifar, base),
        download=lambda folder: getattr(torchvision_module("datasets"), cifar.name)(str(folder), download=True),
        verify=lambda place: _read(cifar, place),
        place=cifar.folder,
        allowed=download,
    )
    pixels, labels = _read(cifar, place)
    if image_size != SIDE:
        images = (Image.fromarray(image.transpose(1, 2, 0)) for image in pixels)
        changed = (np.asarray(resized(image, image_size)).transpose(2, 0, 1) for image in images)
        pixels = stacked(changed, count=len(pixels), channels=3, image_size=image_size)
    return pixels, labels


def _find(cifar: CifarFiles, root: Path) -> Path | None:
    """The folder, else the archive."""
    for below in cifar.below:
        folder, archive = root / below / cifar.folder, root / below / cifar.archive
        if all((folder / name).is_file() for name in (*cifar.train, *cifar.test)):
            return folder
        if archive.is_file():
            return archive
    return None


def _read(cifar: CifarFiles, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as they are on file, and classes.

    Raises:
        DataError: naming the file and what was expected.
    """
    expected = {**cifar.train, **cifar.test}
    pixels, labels = [], []
    for name, content in _contents(cifar, place, expected).items():
        x, y = _unpacked(content, cifar, f"{place}: {name}" if place.is_file() else str(place / name), expected[name])
        pixels.append(x)
        labels.append(y)
    flat, classes = np.concatenate(pixels), np.concatenate(labels)
    for catalogue, part in zip(cifar.parts(), np.split(classes, [sum(cifar.train.values())]), strict=True):
        counts, full = np.bincount(part, minlength=len(cifar.classes)), catalogue.counts
        if counts.tolist() != full.tolist():
            raise DataError(f"{place}: expected {full[0]} images of every class, found {np.min(counts)} to {np.max(counts)}.")
    return flat.reshape(-1, 3, SIDE, SIDE), classes


def _contents(cifar: CifarFiles, place: Path, expected: dict[str, int]) -> dict[str, bytes]:
    """The bytes of every file, from the folder or, without unpacking it, from the archive.

    Args:
        expected: images of each file, which bound the bytes that are read.
    """
    most = {name: 2 * images * 3 * SIDE**2 + 2**20 for name, images in expected.items()}  # twice what the pixels take
    try:
        if place.is_dir():
            return {name: read_at_most(place / name, most[name]) for name in expected}
        contents = _members(cifar, place, most)
    except Exception as error:  # a broken archive raises whatever its bytes happen to ask for
        reason = str(error) or type(error).__name__
        raise DataError(f"{place}: cannot be read ({reason}). Half-written, or not {cifar.name}? Remove it.") from None
    lacking = [name for name in expected if name not in contents]
    if lacking:
        raise DataError(f"{place}: {cifar.folder}/{lacking[0]} is not in the archive. Half-written or not {cifar.name}.")
    return {name: contents[name] for name in expected}


def _members(cifar: CifarFiles, place: Path, most: dict[str, int]) -> dict[str, bytes]:
    """The contents of the files named in `most`, from the archive."""
    whole, contents = sum(most.values()), dict[str, bytes]()
    regular_file(place)
    with gzip.open(place) as packed:
        content = packed.read(whole + 1)
    if len(content) > whole:
        raise OSError(f"it unpacks to more than {whole} bytes")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").partition("/")
            if folder == cifar.folder and name in most and member.isreg():
                if member.size > most[name]:  # a sparse file may say that it is longer than the archive
                    raise OSError(f"{member.name} has more than {most[name]} bytes")
                contents[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    return contents


def _unpacked(content: bytes, cifar: CifarFiles, name: str, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [images, 3072] uint8 and labels [images] int64 of one file."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a broken pickle raises whatever its bytes happen to ask for
        raise DataError(f"{name}: not a pickle of arrays ({error or type(error).__name__}). Half-written? Remove it.") from None
    pixels, labels = (batch.get(key) if isinstance(batch, dict) else None for key in ("data", cifar.labels))
    shape = (images, 3 * SIDE**2)
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == shape and isinstance(labels, list):
        known = range(len(cifar.classes))
        if len(labels) == images and all(type(label) is int and label in known for label in labels):
            return pixels, np.array(labels, np.int64)
    raise DataError(
        f"{name}: expected 'data', {images} x {shape[1]} bytes, and '{cifar.labels}', {images} numbers below "
        f"{len(cifar.classes)}; found something else. Not {cifar.name}; remove it."
    )


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays; refuses every other name a pickle may ask for."""

    ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
    """Where old and new numpy have what rebuilds an array."""

    def find_class(self, module: str, name: str) -> Any:
        if module in self.ARRAYS and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _Bytes()
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


class _Bytes:
    """Stands for numpy.dtype, as old pickles call it: the type of a byte, which pixels are of, and no other.

    It has no attributes, and makes a type of its own each time: what a pickle sets on either of them stays in the pickle.
    """

    __slots__ = ()

    def __call__(self, kind: str, align: int, copy: int) -> np.dtype:
        if kind != "u1":
            raise pickle.UnpicklingError(f"it asks for numbers of type {kind}")
        return np.dtype(kind, bool(align), True)
