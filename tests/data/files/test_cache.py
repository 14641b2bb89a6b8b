"""The cache of decoded pixels: an entry that is not exactly as it was written is made anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metacl_run.data.files.cache import cached

ARRAY = np.arange(7 * 64 * 64, dtype=np.uint8).reshape(7, 1, 64, 64)


class Maker:
    """Counts its calls."""

    def __init__(self, array: np.ndarray = ARRAY) -> None:
        self.array, self.calls = array, 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.array.copy()


@pytest.fixture
def entry(cache: Path) -> Path:
    """The file of ARRAY, written under the key "mine"."""
    make = Maker()
    assert np.array_equal(cached(["mine"], make), ARRAY)
    (path,) = cache.glob("images/*")
    assert np.array_equal(cached(["mine"], make), ARRAY)
    assert make.calls == 1
    return path


def flipped(place: int) -> Callable[[Path], object]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return flip


def replaced(by: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        by(path)

    return replace


def _npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, pixels=ARRAY)


def _other_shape(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, ARRAY[:3])


def _another_entry(path: Path) -> None:
    cached(["other"], Maker(255 - ARRAY))
    (other,) = (file for file in path.parent.iterdir() if file != path)
    os.replace(other, path)


def _huge_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(7, 1, 64, 64), }", b"(1125899906842624,), }"[:17]))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit in the header": flipped(30),
    "a flipped bit of a pixel": flipped(5000),
    "a flipped bit in the digest": flipped(-1),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "cut short": lambda path: os.truncate(path, 3000),
    "zeros from the middle on": lambda path: (os.truncate(path, 15000), os.truncate(path, 28832)),
    "a byte too many": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another type of file": replaced(_npz),
    "another shape, without a digest": replaced(_other_shape),
    "the entry of another key": _another_entry,
    "a header of 2**50 numbers": _huge_header,
    "a FIFO": replaced(os.mkfifo),
    "a folder": replaced(Path.mkdir),
    "a link to nothing": replaced(lambda path: path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_anew(entry: Path, damage: str) -> None:
    DAMAGE[damage](entry)
    make = Maker()
    assert np.array_equal(cached(["mine"], make), ARRAY)
    assert make.calls == 1
    assert np.array_equal(cached(["mine"], make), ARRAY)
    assert make.calls == (2 if damage == "a folder" else 1)  # nothing can be renamed over a folder


def test_an_entry_is_an_array_of_its_own_that_may_be_written_to(entry: Path) -> None:
    first = cached(["mine"], Maker())
    first += 1
    assert np.array_equal(cached(["mine"], Maker()), ARRAY)
    assert np.array_equal(np.load(entry), ARRAY)  # an .npy file for other readers


@pytest.mark.parametrize("array", [ARRAY[:0], ARRAY[:, :, ::2].transpose(3, 0, 1, 2)])
def test_shapes_and_strides_survive(cache: Path, array: np.ndarray) -> None:
    assert np.array_equal(cached(["a"], Maker(array)), array)
    again = cached(["a"], Maker(ARRAY))
    assert again.shape == array.shape
    assert np.array_equal(again, array)
