"""The IDX files of MNIST and Fashion-MNIST, and what is refused of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import DataError
from metacl_run.data.images import mnist_files
from metacl_run.data.images.mnist_files import CLOTHES, SHAPES, read_fashion_mnist, read_mnist


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of IDX files with 30 + 10 images; image i has grey level i."""
    parts = {"train": 30, "t10k": 10}
    shapes = {name: (parts[name.split("-")[0]], *shape[1:]) for name, shape in SHAPES.items()}
    monkeypatch.setattr(mnist_files, "SHAPES", shapes)
    monkeypatch.setattr(mnist_files, "DIGITS", np.full(10, 4))
    monkeypatch.setattr(mnist_files, "TRAIN_DIGITS", np.full(10, 3))
    monkeypatch.setattr(mnist_files, "CLOTHES_IMAGES", np.full(10, 4))
    monkeypatch.setattr(mnist_files, "CLOTHES_TRAIN_IMAGES", np.full(10, 3))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, shape in shapes.items():
        first = 30 * name.startswith("t10k") + np.arange(shape[0])
        values = np.broadcast_to(first[:, None, None], shape) if len(shape) == 3 else first % 10
        content = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes() + values.astype(np.uint8).tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return tmp_path


def test_examples_lie_by_digit(small_mnist: Path) -> None:
    examples = read_mnist(str(small_mnist), most=3, image_size=28, download=False)
    assert examples.x.shape == (30, 1, 28, 28)
    assert examples.x[:, 0, 5, 5].tolist() == [digit + 10 * i for digit in range(10) for i in range(3)]
    assert examples.catalogue.counts.tolist() == [3] * 10
    assert read_mnist(str(small_mnist), most=99, image_size=20, download=False).x.shape == (40, 1, 20, 20)


def test_unpacked_files_are_read_too(small_mnist: Path) -> None:
    for packed in (small_mnist / "MNIST" / "raw").iterdir():
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert read_mnist(str(small_mnist), most=4, image_size=28, download=False).x.shape == (40, 1, 28, 28)


def test_fashion_mnist_has_the_same_form_and_a_folder_of_its_own(small_mnist: Path) -> None:
    size = {"image_size": 28, "download": False}
    with pytest.raises(DataError, match=r"(?s)Fashion-MNIST was not found.*FashionMNIST/raw/train-images"):
        read_fashion_mnist(str(small_mnist), most=4, **size)  # MNIST's files are not taken for it
    (small_mnist / "MNIST").rename(small_mnist / "FashionMNIST")
    examples = read_fashion_mnist(str(small_mnist), most=4, **size)
    assert examples.x[:, 0, 0, 0].tolist() == [label + 10 * i for label in range(10) for i in range(4)]
    assert (examples.catalogue.names, examples.catalogue.counts.tolist()) == (CLOTHES, [4] * 10)
    with pytest.raises(DataError, match=r"(?s)MNIST was not found.*MNIST/raw/train-images"):
        read_mnist(str(small_mnist), most=4, **size)


def test_counts_of_the_classes_tell_a_wrong_data_set(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_files, "TRAIN_DIGITS", np.array([4, 2, *[3] * 8]))
    with pytest.raises(DataError, match=r"expected \[4, 2, 3, .*\] images of the ten classes of MNIST, found \[3, 3, 3, "):
        read_mnist(str(small_mnist), most=4, image_size=28, download=False)


@pytest.mark.parametrize("keep", [0, 20, -10])
def test_a_half_written_file_is_refused(small_mnist: Path, keep: int) -> None:
    path = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: .*expected 30 x 28 x 28 bytes"):
        read_mnist(str(small_mnist), most=4, image_size=28, download=False)


def test_a_wrong_file_is_refused(small_mnist: Path) -> None:
    folder = small_mnist / "MNIST" / "raw"
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes((folder / "train-images-idx3-ubyte.gz").read_bytes())
    with pytest.raises(DataError, match="expected 10 x 28 x 28 bytes in IDX format, found something else"):
        read_mnist(str(small_mnist), most=4, image_size=28, download=False)


def test_missing_mnist_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)MNIST was not found.*MNIST/raw/train-images.*split_glyphs"):
        read_mnist(str(tmp_path), most=4, image_size=28, download=False)
