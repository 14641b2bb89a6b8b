"""Reads MNIST from its four IDX files, compressed or not: 70,000 digits of 28 x 28, here with both parts together."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.core.files import regular_file
from metacl_run.data.files.fetching import find_or_fetch
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.decoding import resized, stacked
from metacl_run.data.sources.source import Catalogue, LabelledExamples

FOLDERS = ("mnist/MNIST/raw", "MNIST/raw", "mnist", "")
"""Where below the data root the files may be; `MNIST/raw` is torchvision's."""
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


def mnist_parts() -> tuple[Catalogue, Catalogue]:
    """The ten digits in the training part and in the test part."""
    names, groups = [str(digit) for digit in range(10)], ["mnist"] * 10
    train, test = (Catalogue(names=names, counts=counts, groups=groups) for counts in (TRAIN_DIGITS, DIGITS - TRAIN_DIGITS))
    return train, test


def mnist_catalogue(most: int) -> Catalogue:
    """The ten digits with at most `most` images each."""
    names = [f"digit {digit}" for digit in range(10)]
    return Catalogue(names=names, counts=np.minimum(DIGITS, most), groups=["mnist"] * 10)


def read_mnist(root: str, *, most: int, image_size: int, download: bool) -> LabelledExamples:
    """The first `most` images of each digit, training part first, as [N, 1, image_size, image_size] uint8.

    Raises:
        DataError: MNIST is missing, incomplete or broken.
    """
    train_x, train_y, test_x, test_y = _read(root, download)
    images, labels = np.concatenate([train_x, test_x]), np.concatenate([train_y, test_y])
    chosen = images[np.concatenate([np.flatnonzero(labels == digit)[:most] for digit in range(10)])]
    return LabelledExamples(catalogue=mnist_catalogue(most), x=_at_size(chosen, image_size))


def read_mnist_parts(root: str, *, image_size: int, download: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images [60000, 1, image_size, image_size] uint8 and labels [60000] int64, then the 10,000 of the test part.

    Raises:
        DataError: MNIST is missing, incomplete or broken.
    """
    train_x, train_y, test_x, test_y = _read(root, download)
    return _at_size(train_x, image_size), train_y.astype(np.int64), _at_size(test_x, image_size), test_y.astype(np.int64)


def _at_size(images: np.ndarray, image_size: int) -> np.ndarray:
    if images.shape[1] == image_size:
        return images[:, None]
    changed = (np.asarray(resized(Image.fromarray(image), image_size)) for image in images)
    return stacked(changed, count=len(images), channels=1, image_size=image_size)


def _read(root: str, download: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels of the training part, then of the test part, checked by counts."""
    files = find_or_fetch(
        root,
        name="MNIST",
        looked_for=[str(Path(folder, f"{name}[.gz]")) for folder in FOLDERS for name in SHAPES],
        find=_find,
        download=_download,
        verify=lambda files: [_read_idx(path) for path in files],
        place="MNIST",
        allowed=download,
    )
    train_x, train_y, test_x, test_y = (_read_idx(path) for path in files)
    for path, labels, counts in ((files[1], train_y, TRAIN_DIGITS), (files[3], test_y, DIGITS - TRAIN_DIGITS)):
        digits = np.bincount(labels, minlength=10)
        if digits.tolist() != counts.tolist():
            raise DataError(f"{path}: expected {counts.tolist()} images of the ten digits, found {digits.tolist()}.")
    return train_x, train_y, test_x, test_y


def _find(root: Path) -> list[Path] | None:
    for folder in FOLDERS:
        candidates = [(root / folder / f"{name}.gz", root / folder / name) for name in SHAPES]
        if all(packed.is_file() or plain.is_file() for packed, plain in candidates):
            return [plain if plain.is_file() else packed for packed, plain in candidates]
    return None


def _download(folder: Path) -> None:
    torchvision_module("datasets").MNIST(str(folder), train=True, download=True)


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
        raise DataError(f"{path}: {expected}, found something else. Half-written or not MNIST; remove it.")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
