"""Reads MNIST, and Fashion-MNIST, which has the same form, from four IDX files, compressed or not: 70,000 images of 28 x 28.

Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747) has ten kinds of clothing with 7,000 images each.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.core.files import regular_file
from metacl_run.data.files.fetching import find_or_fetch
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.decoding import resized, stacked
from metacl_run.data.sources.source import Catalogue, LabelledExamples

SHAPES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}
DIGITS = np.array([6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958])
"""Images of each digit, train and test together."""
TRAIN_DIGITS = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
"""Images of each digit in the training part."""
CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
CLOTHES_IMAGES, CLOTHES_TRAIN_IMAGES = np.full(10, 7000), np.full(10, 6000)
"""Images of each kind of clothing, train and test together; in the training part."""


class IdxFiles(NamedTuple):
    """One of the data sets in this form."""

    name: str
    """Its name in messages."""
    place: str
    """The folder that torchvision's download makes, which is also the name of its class there."""
    folders: tuple[str, ...]
    """Where below the data root the files may be."""
    counts: np.ndarray
    """Images of each class, train and test together."""
    train_counts: np.ndarray
    """Images of each class in the training part."""


def mnist_files() -> IdxFiles:
    return IdxFiles("MNIST", "MNIST", ("mnist/MNIST/raw", "MNIST/raw", "mnist", ""), DIGITS, TRAIN_DIGITS)


def fashion_mnist_files() -> IdxFiles:
    folders = "fashion_mnist/FashionMNIST/raw", "FashionMNIST/raw", "fashion_mnist"
    return IdxFiles("Fashion-MNIST", "FashionMNIST", folders, CLOTHES_IMAGES, CLOTHES_TRAIN_IMAGES)


def mnist_parts() -> tuple[Catalogue, Catalogue]:
    """The ten digits in the training part and in the test part."""
    names, groups = [str(digit) for digit in range(10)], ["mnist"] * 10
    train, test = (Catalogue(names=names, counts=counts, groups=groups) for counts in (TRAIN_DIGITS, DIGITS - TRAIN_DIGITS))
    return train, test


def mnist_catalogue(most: int) -> Catalogue:
    """The ten digits with at most `most` images each."""
    names = [f"digit {digit}" for digit in range(10)]
    return Catalogue(names=names, counts=np.minimum(DIGITS, most), groups=["mnist"] * 10)


def fashion_mnist_catalogue(most: int) -> Catalogue:
    """The ten kinds of clothing with at most `most` images each."""
    return Catalogue(names=CLOTHES, counts=np.minimum(CLOTHES_IMAGES, most), groups=["fashion_mnist"] * 10)


def read_mnist(root: str, *, most: int, image_size: int, download: bool) -> LabelledExamples:
    """The first `most` images of each digit, training part first, as [N, 1, image_size, image_size] uint8.

    Raises:
        DataError: MNIST is missing, incomplete or broken.
    """
    x = _first_images(mnist_files(), root, most=most, image_size=image_size, download=download)
    return LabelledExamples(catalogue=mnist_catalogue(most), x=x)


def read_fashion_mnist(root: str, *, most: int, image_size: int, download: bool) -> LabelledExamples:
    """The same of Fashion-MNIST.

    Raises:
        DataError: it is missing, incomplete or broken.
    """
    x = _first_images(fashion_mnist_files(), root, most=most, image_size=image_size, download=download)
    return LabelledExamples(catalogue=fashion_mnist_catalogue(most), x=x)


def _first_images(files: IdxFiles, root: str, *, most: int, image_size: int, download: bool) -> np.ndarray:
    train_x, train_y, test_x, test_y = _read(files, root, download)
    images, labels = np.concatenate([train_x, test_x]), np.concatenate([train_y, test_y])
    chosen = images[np.concatenate([np.flatnonzero(labels == label)[:most] for label in range(10)])]
    return _at_size(chosen, image_size)


def read_mnist_parts(root: str, *, image_size: int, download: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images [60000, 1, image_size, image_size] uint8 and labels [60000] int64, then the 10,000 of the test part.

    Raises:
        DataError: MNIST is missing, incomplete or broken.
    """
    train_x, train_y, test_x, test_y = _read(mnist_files(), root, download)
    return _at_size(train_x, image_size), train_y.astype(np.int64), _at_size(test_x, image_size), test_y.astype(np.int64)


def _at_size(images: np.ndarray, image_size: int) -> np.ndarray:
    if images.shape[1] == image_size:
        return images[:, None]
    changed = (np.asarray(resized(Image.fromarray(image), image_size)) for image in images)
    return stacked(changed, count=len(images), channels=1, image_size=image_size)


def _read(data: IdxFiles, root: str, download: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels of the training part, then of the test part, checked by counts."""
    files = find_or_fetch(
        root,
        name=data.name,
        looked_for=[str(Path(folder, f"{name}[.gz]")) for folder in data.folders for name in SHAPES],
        find=lambda base: _find(data, base),
        download=lambda folder: _download(data, folder),
        verify=lambda files: [_read_idx(path) for path in files],
        place=data.place,
        allowed=download,
    )
    train_x, train_y, test_x, test_y = (_read_idx(path) for path in files)
    test_counts = data.counts - data.train_counts
    for path, labels, counts in ((files[1], train_y, data.train_counts), (files[3], test_y, test_counts)):
        numbers = np.bincount(labels, minlength=10)
        if numbers.tolist() != counts.tolist():
            message = f"expected {counts.tolist()} images of the ten classes of {data.name}, found {numbers.tolist()}"
            raise DataError(f"{path}: {message}.")
    return train_x, train_y, test_x, test_y


def _find(data: IdxFiles, root: Path) -> list[Path] | None:
    for folder in data.folders:
        candidates = [(root / folder / f"{name}.gz", root / folder / name) for name in SHAPES]
        if all(packed.is_file() or plain.is_file() for packed, plain in candidates):
            return [plain if plain.is_file() else packed for packed, plain in candidates]
    return None


def _download(data: IdxFiles, folder: Path) -> None:
    getattr(torchvision_module("datasets"), data.place)(str(folder), train=True, download=True)


def _read_idx(path: Path) -> np.ndarray:
    """An IDX file: two zero bytes, type 8 (uint8), number of axes, their lengths as big-endian int32, the numbers."""
    shape = SHAPES[path.name.removesuffix(".gz")]
    expected = f"expected {' x '.join(map(str, shape))} bytes in IDX format"
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
    length = len(header) + math.prod(shape)
    try:
        regular_file(path)
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(length + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); {expected}. Half-written? Remove it.") from None
    if not content.startswith(header) or len(content) != length:
        raise DataError(f"{path}: {expected}, found something else. Half-written or another data set; remove it.")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
