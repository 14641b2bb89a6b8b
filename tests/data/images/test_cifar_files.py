"""CIFAR's files: pickles as Python 2 wrote them, and what is refused of them."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import DataError
from metacl_run.data.images import cifar_files
from metacl_run.data.images.cifar_files import read_cifar
from metacl_run.data.sources import cifar as cifar_source
from tests.support.small_cifar import SMALL_CIFAR

NUMPY_1 = b"cnumpy.core.multiarray\n_reconstruct\n"


def python2_pickle(pixels: np.ndarray, labels: Sequence[int], key: str = "labels") -> bytes:
    """{"data": pixels, key: labels} as Python 2 wrote it: protocol 2, byte strings, numpy's old names."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    kind = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = NUMPY_1 + b"(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    shape = b"(" + b"".join(map(number, pixels.shape)) + b"t"
    array += b"(" + number(1) + shape + kind + b"\x89" + text(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + listed + b"u."


def cifar_content() -> dict[str, bytes]:
    """Three small files; byte b of image i is (i + 7 * b) modulo 251, its class i modulo 3."""
    files, first = {}, 0
    for name, count in {**SMALL_CIFAR.train, **SMALL_CIFAR.test}.items():
        images = first + np.arange(count)
        pixels = ((images[:, None] + 7 * np.arange(3072)) % 251).astype(np.uint8)
        files[name] = python2_pickle(pixels, (images % 3).tolist())
        first += count
    return files


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with the unpacked small CIFAR."""
    monkeypatch.setattr(cifar_source, "CIFAR10", SMALL_CIFAR)
    folder = tmp_path / "root" / SMALL_CIFAR.folder
    folder.mkdir(parents=True)
    for name, content in cifar_content().items():
        (folder / name).write_bytes(content)
    return tmp_path / "root"


def read_small(root: Path, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    return read_cifar(SMALL_CIFAR, str(root), **{"image_size": 32, "download": False, **changes})


@pytest.mark.parametrize("packed", [False, True])
def test_cifar_files_are_colour_planes_in_order(cifar: Path, packed: bool) -> None:
    if packed:
        with tarfile.open(cifar / SMALL_CIFAR.archive, "w:gz") as archive:
            archive.add(cifar / SMALL_CIFAR.folder, SMALL_CIFAR.folder)
        for file in (cifar / SMALL_CIFAR.folder).iterdir():
            file.unlink()
    pixels, labels = read_small(cifar)
    assert pixels.shape == (15, 3, 32, 32)
    image, channel, row, column = 8, 2, 5, 30
    assert pixels[image, channel, row, column] == (image + 7 * (1024 * channel + 32 * row + column)) % 251
    assert labels.tolist() == [number % 3 for number in range(15)]
    assert read_small(cifar, image_size=16)[0].shape == (15, 3, 16, 16)


def test_a_stream_keeps_the_parts_and_the_colours(make: Callable[..., Any], cifar: Path) -> None:
    stream = make("split_cifar10", root=str(cifar), num_tasks=3, classes_per_task=1, normalize="none")
    stream.check()
    pool = stream.load([0])
    assert pool.task_names == [["cat", "dog", "frog"]]
    assert stream.input_shape == (3, 32, 32)
    samples = pool.gather(0, np.arange(12))
    numbers = (samples.x[:, 0, 0, 0] * 255).round().int()
    assert sorted(numbers.tolist()) == list(range(12))
    assert (numbers % 3 == samples.y).all()
    assert (samples.x[:, 2, 0, 0] * 255).round().int().tolist() == [(int(i) + 7 * 2048) % 251 for i in numbers]
    test_numbers = torch.cat([pool.test(task, None)[0].x[:, 0, 0, 0] * 255 for task in range(3)]).round().int()
    assert test_numbers.tolist() == [12, 13, 14]


BUILDS = {
    "the function that stands for a type": b"cnumpy\ndtype\n",
    "a type": b"cnumpy\ndtype\n(T\2\0\0\0u1J\0\0\0\0J\0\0\0\0tR",
    "the function that makes an array": NUMPY_1,
    "the class of arrays": b"cnumpy\nndarray\n",
}
"""Objects that a pickle may get hold of, and set attributes on."""


@pytest.mark.parametrize("what", BUILDS)
def test_a_pickle_changes_nothing_of_ours(cifar: Path, what: str) -> None:
    names = b"T\x0c\0\0\0__defaults__"
    state = b"(N}" + names + b"(J\1\0\0\0tst"  # (None, {"__defaults__": (1,)}): set by setattr
    (cifar / SMALL_CIFAR.folder / "data_batch_1").write_bytes(b"\x80\x02" + BUILDS[what] + state + b"b.")
    names_before = [sorted(vars(owner)) for owner in (cifar_files, cifar_files._Bytes, np)]
    with pytest.raises(DataError, match="data_batch_1: not a pickle of arrays"):
        read_small(cifar)
    assert [sorted(vars(owner)) for owner in (cifar_files, cifar_files._Bytes, np)] == names_before
    with pytest.raises(AttributeError):
        cifar_files._Bytes().anything = 1  # type: ignore[attr-defined]


def test_pixels_are_bytes(cifar: Path) -> None:
    path = cifar / SMALL_CIFAR.folder / "data_batch_2"
    path.write_bytes(path.read_bytes().replace(b"T\2\0\0\0u1", b"T\2\0\0\0O8"))
    with pytest.raises(DataError, match=r"data_batch_2: not a pickle of arrays \(it asks for numbers of type O8"):
        read_small(cifar)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-2000], r"data_batch_2: not a pickle of arrays"),
        (lambda content: b"", r"data_batch_2: not a pickle of arrays"),
        (lambda content: pickle.dumps({"data": Evil()}), r"data_batch_2: not a pickle of arrays \(it asks for pathlib"),
        (lambda content: content.replace(NUMPY_1, b"cbuiltins\neval\n"), r"it asks for builtins.eval"),
        (lambda content: cifar_content()["test_batch"], r"data_batch_2: expected 'data', 6 x 3072 bytes, and 'labels', 6"),
        (lambda content: pickle.dumps([1, 2], 2), r"data_batch_2: expected 'data'"),
        (lambda content: content.replace(b"labels", b"lables"), r"data_batch_2: expected 'data'"),
        (lambda content: python2_pickle(np.zeros((6, 3072), np.uint8), [3] * 6), "6 numbers below 3; found something else"),
        (
            lambda content: python2_pickle(np.zeros((6, 3072), np.uint8), [0] * 6),
            "expected 4 images of every class, found 2 to 8",
        ),
    ],
)
def test_a_wrong_cifar_file_is_refused(
    cifar: Path, change: Callable[[bytes], bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cifar)
    path = cifar / SMALL_CIFAR.folder / "data_batch_2"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        read_small(cifar)
    assert not Path("evil").exists()


def test_a_wrong_cifar_archive_is_refused(cifar: Path) -> None:
    archive = cifar / SMALL_CIFAR.archive
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(cifar / SMALL_CIFAR.folder / "data_batch_1", f"{SMALL_CIFAR.folder}/data_batch_1")
    (cifar / SMALL_CIFAR.folder / "test_batch").unlink()
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: cifar-10-batches-py/data_batch_2 is not in the archive"):
        read_small(cifar)
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: cannot be read"):
        read_small(cifar)


def test_a_map_of_a_sparse_file_that_is_none_is_one_message(cifar: Path) -> None:
    with tarfile.open(cifar / SMALL_CIFAR.archive, "w:gz", format=tarfile.PAX_FORMAT) as packed:
        member = tarfile.TarInfo(f"{SMALL_CIFAR.folder}/data_batch_1")
        member.pax_headers = {"GNU.sparse.map": "a,b"}
        packed.addfile(member)
    (cifar / SMALL_CIFAR.folder / "test_batch").unlink()
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: cannot be read \(invalid literal"):
        read_small(cifar)


def test_cifar_is_fetched_whole_or_not_at_all(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = cifar_content()

    class Datasets:
        @staticmethod
        def CIFAR10(root: str, download: bool) -> None:  # noqa: N802
            place = Path(root) / SMALL_CIFAR.folder
            place.mkdir()
            for name, file_content in content.items():
                (place / name).write_bytes(file_content)

    monkeypatch.setattr(cifar_files, "torchvision_module", lambda _: Datasets)
    root = tmp_path / "empty"
    good, content["test_batch"] = content["test_batch"], b"half"
    with pytest.raises(
        DataError, match=r"(?s)CIFAR10 was not found, and the download failed .*test_batch.*Looked for:.*split_glyphs"
    ):
        read_small(root, download=True)
    assert not root.exists()
    content["test_batch"] = good
    assert (read_small(root, download=True)[0] == read_small(cifar)[0]).all()
    assert [path.name for path in root.iterdir() if path.is_dir()] == [SMALL_CIFAR.folder]
