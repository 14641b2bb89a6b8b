"""Files that unpack to far more bytes than they should are refused before these are in memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metacl_run.core.errors import DataError
from metacl_run.data.images import mnist_files, omniglot_files
from metacl_run.data.images.cifar_files import read_cifar
from metacl_run.data.images.mnist_files import read_mnist
from metacl_run.data.images.omniglot_files import read_omniglot
from tests.support.pngs import WHITE
from tests.support.small_cifar import SMALL_CIFAR

MIB = 2**20
BOMB = 16 * MIB
"""Bytes of the unpacked content, all zeros."""


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Checks that Python and numpy take less than `size` bytes within."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(mnist_files, "SHAPES", {name: (10, *shape[1:]) for name, shape in mnist_files.SHAPES.items()})
    zeros = bytes(BOMB)
    for name in mnist_files.SHAPES:
        if packed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(zeros, 1))
        else:
            (tmp_path / name).write_bytes(zeros)
    del zeros
    with (
        at_most(MIB),
        pytest.raises(DataError, match=r"train-images-idx3-ubyte.*expected 10 x 28 x 28 bytes in IDX format, found"),
    ):
        read_mnist(str(tmp_path), most=2, image_size=28, download=False)


def _member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _long_name(archive: tarfile.TarFile) -> None:
    """A header that says that the next member's name takes BOMB bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, BOMB
    archive.addfile(info, io.BytesIO(bytes(BOMB)))


def _sparse(archive: tarfile.TarFile) -> None:
    """A member without content whose header says that it has BOMB bytes."""
    info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(BOMB)}
    archive.addfile(info)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda archive: _member(archive, "cifar-10-batches-py/data_batch_1", bytes(BOMB)), "it unpacks to more than"),
        (lambda archive: _member(archive, "something else", bytes(BOMB)), "it unpacks to more than"),
        (_long_name, "it unpacks to more than"),
        (_sparse, "cifar-10-batches-py/data_batch_1 has more than"),
    ],
)
def test_cifar_archive(tmp_path: Path, fill: Callable[[tarfile.TarFile], object], message: str) -> None:
    with tarfile.open(tmp_path / SMALL_CIFAR.archive, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        fill(archive)
    with at_most(10 * MIB), pytest.raises(DataError, match=rf"cifar-10-python.tar.gz: cannot be read \({message}"):
        read_cifar(SMALL_CIFAR, str(tmp_path), image_size=32, download=False)


def test_cifar_folder(tmp_path: Path) -> None:
    folder = tmp_path / SMALL_CIFAR.folder
    folder.mkdir()
    for name in (*SMALL_CIFAR.train, *SMALL_CIFAR.test):
        with open(folder / name, "wb") as file:
            file.truncate(BOMB)
    with at_most(MIB), pytest.raises(DataError, match=r"cifar-10-batches-py: cannot be read \(.*more than \d+ bytes"):
        read_cifar(SMALL_CIFAR, str(tmp_path), image_size=32, download=False)


def test_omniglot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omniglot_files, "SUBSETS", {"images_background": 1, "images_evaluation": 1})
    for subset in omniglot_files.SUBSETS:
        with zipfile.ZipFile(tmp_path / f"{subset}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(20):
                archive.writestr(f"{subset}/A/c/{number:02d}.png", bytes(BOMB) if number == 1 else WHITE)
    message = r"images_background.zip: images_background/A/c/01.png is damaged in the archive \(more than 1048576 bytes\)"
    with at_most(4 * MIB), pytest.raises(DataError, match=message):
        read_omniglot(str(tmp_path), image_size=8, download=False)
    monkeypatch.setattr(omniglot_files, "ARCHIVE_BYTES", 1000)
    with pytest.raises(DataError, match=r"images_background.zip: not a whole zip archive \(more than 1000 bytes\)"):
        read_omniglot(str(tmp_path), image_size=8, download=False)
