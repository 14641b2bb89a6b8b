"""Tiny ImageNet's folder, and what is refused of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.data.images import tinyimagenet_files
from metacl_run.data.images.tinyimagenet_files import read_tinyimagenet


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with two classes of three training and two validation images; class c is the colour (200 * c, 0, 90)."""
    for name, value in {"CLASSES": 2, "TRAIN_IMAGES": 3, "TEST_IMAGES": 2}.items():
        monkeypatch.setattr(tinyimagenet_files, name, value)
    folder = tmp_path / "root" / "tiny-imagenet-200"
    (folder / "val" / "images").mkdir(parents=True)

    def paint(path: Path, colour: int) -> None:
        Image.new("RGB", (64, 64), (200 * colour, 0, 90)).save(path, "JPEG", quality=95)

    lines = []
    for colour, name in enumerate(("n01443537", "n02124075")):
        (folder / "train" / name / "images").mkdir(parents=True)
        for number in range(3):
            paint(folder / "train" / name / "images" / f"{name}_{number}.JPEG", colour)
        for number in range(2):
            paint(folder / "val" / "images" / f"val_{2 * number + colour}.JPEG", colour)
            lines.append(f"val_{2 * number + colour}.JPEG\t{name}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(sorted(lines)))
    return tmp_path / "root"


def test_a_stream_keeps_the_parts_and_the_colours(make: Callable[..., Any], tiny: Path) -> None:
    stream = make("split_tinyimagenet", root=str(tiny), num_tasks=1, classes_per_task=2, shuffled=False, normalize="none")
    stream.check()
    pool = stream.load([0])
    assert pool.examples.shape == (10, 3, 64, 64)
    assert pool.samples_per_task == 6
    for samples in (pool.gather(0, np.arange(6)), pool.test(0, None)[0]):
        assert np.bincount(samples.y).tolist() == [len(samples.y) // 2] * 2
        red, _, blue = (samples.x[:, channel].mean((1, 2)) * 255 for channel in range(3))
        torch.testing.assert_close(red, 200.0 * samples.y, atol=6, rtol=0)
        torch.testing.assert_close(blue, torch.full_like(blue, 90), atol=6, rtol=0)


def test_grey_photographs_and_other_sizes_are_read(tiny: Path) -> None:
    Image.new("L", (64, 64), 77).save(tiny / "tiny-imagenet-200" / "train" / "n01443537" / "images" / "n01443537_0.JPEG")
    pixels, _ = read_tinyimagenet(str(tiny), image_size=32, download=False)
    assert pixels.shape == (10, 3, 32, 32)
    assert np.abs(pixels[0].astype(int) - 77).max() <= 2


def test_files_of_macos_are_passed_over(tiny: Path) -> None:
    folder = tiny / "tiny-imagenet-200"
    for path in (
        folder / "train/n02124075/images/._n02124075_1.JPEG",
        folder / "val/images/._val_3.JPEG",
        folder / "train/.x/1",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\26\7")
    assert read_tinyimagenet(str(tiny), image_size=64, download=False)[0].shape == (10, 3, 64, 64)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "train/n02124075/images/n02124075_1.JPEG").unlink(),
            "train: expected 3 .* n02124075, found 2",
        ),
        (lambda folder: (folder / "val/images/val_3.JPEG").unlink(), "val_3.JPEG: is not there"),
        (lambda folder: fifo(folder / "val/images/val_3.JPEG"), r"val_3.JPEG: cannot be read \(a FIFO, not a file\)"),
        (lambda folder: fifo(folder / "val/val_annotations.txt"), "Tiny ImageNet was not found"),
        (lambda folder: os.truncate(folder / "val/val_annotations.txt", 2**25), "cannot be read .more than 16777216 bytes"),
        (lambda folder: (folder / "train" / "other").mkdir(), "expected 2 folders of classes, found 3"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text("val_0.JPEG n01443537\n"), "line 1 is not"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text("../x.JPEG\tn01443537\n"), "line 1 is not"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text("val_0.JPEG\tn01443537\n"), "expected 2 .*, found 1"),
        (lambda folder: (folder / "val/images/val_3.JPEG").write_bytes(b"no"), "val_3.JPEG: this image cannot be decoded"),
        (
            lambda folder: (folder / "val/val_annotations.txt").unlink(),
            "(?s)Tiny ImageNet was not found.*tiny-imagenet-200/train",
        ),
    ],
)
def test_a_wrong_tinyimagenet_is_refused(tiny: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tiny / "tiny-imagenet-200")
    with pytest.raises(DataError, match=message):
        read_tinyimagenet(str(tiny), image_size=64, download=False)
