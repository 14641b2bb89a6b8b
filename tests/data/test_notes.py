"""What is left out of the data is said: once, by the terminal, by summary.json and by run.log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams import notes
from metacl_run.experiment import run
from metacl_run.reporting import figures, report
from tests.data.test_class_stream import toy
from tests.support.pngs import GREY, png
from tests.support.runs import stop_at_once

NOISE = np.random.default_rng(0)


def fill(root: Path, counts: list[int]) -> Path:
    """Class c has counts[c] images of noise."""
    for number, count in enumerate(counts):
        (root / f"class{number}").mkdir(parents=True)
        for index in range(count):
            (root / f"class{number}" / f"{index}.png").write_bytes(png(NOISE.integers(0, 256, (8, 8)), GREY, 8))
    return root


def images(*classes: list[np.ndarray]) -> Images:
    counts = np.array([len(held) for held in classes])
    names = [f"class {number}" for number in range(len(classes))]
    pixels = np.stack([image for held in classes for image in held]).astype(np.uint8)
    return Images(catalogue=Catalogue(names=names, counts=counts, groups=names), pixels=pixels)


PLAIN, WHITE, BLACK = NOISE.integers(0, 256, (1, 4, 4)), np.full((1, 4, 4), 255), np.zeros((1, 4, 4))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([[PLAIN], [PLAIN]], []),
        ([[WHITE, WHITE], [WHITE]], ["3 of 3 images are of one colour (255 of 255): all of class 0, class 1"]),
        ([[WHITE, BLACK], [PLAIN]], ["2 of 3 images are of one colour each: all of class 0"]),
        ([[WHITE, PLAIN], [WHITE]], ["2 of 3 images are of one colour (255 of 255): all of class 1, some of class 0"]),
        (
            [[BLACK]] * 5 + [[PLAIN]],
            ["5 of 6 images are of one colour (0 of 255): all of class 0, class 1, class 2 and 2 more"],
        ),
        (
            [[np.arange(16).reshape(1, 4, 4)], [WHITE * 0 + 3]],
            ["1 of 2 images are of one colour (3 of 255): all of class 1", "0 and 15 of 0 to 255"],
        ),
    ],
)
def test_images_in_which_nothing_can_be_seen(classes: list[list[np.ndarray]], said: list[str]) -> None:
    found = notes.on_pixels(images(*classes))
    assert len(found) == len(said)
    assert all(expected in note for expected, note in zip(said, found, strict=True))


def test_a_colour_has_three_numbers() -> None:
    (note,) = notes.on_pixels(images([np.stack([WHITE[0], BLACK[0], BLACK[0]])]))
    assert note == "1 of 1 images are of one colour (255, 0, 0 of 255): all of class 0"


def test_files_that_are_not_read(make: Callable[..., Any], tmp_path: Path) -> None:
    root = fill(tmp_path / "images", [3, 3])
    for name in ("class0/a.webp", "class0/b.WEBP", "class1/c.bmp", "class1/README", "beside.png", "labels.csv"):
        (root / name).write_bytes(b"")
    (root / "class1" / "more").mkdir()
    assert make("image_folder", root=str(root), image_size=8).read().notes == [
        f"{root}: left out by the ending: 4 files in class folders (2 .webp, 1 without one, 1 .bmp); .png .jpg .jpeg are read",
        f"{root}: not looked into: 1 folder within class folders",
        f"{root}: left out, since no class has them: 1 image beside the class folders",
    ]


def test_samples_beyond_the_smallest_task() -> None:
    """Of the toy's seven classes, which have 12 to 18 training images, three tasks of two: 25, 29 and 33."""
    stream = toy(shuffled=False).load_samples([0])
    assert stream.samples_per_task == 25
    assert stream.notes == [
        "1 of 7 classes fill no task and are left out",
        "12 of 87 training samples are left out: every task takes 25, as many as the smallest task that a seed can deal, while "
        "the largest here has 33",
    ]
    assert not toy(num_tasks=1, classes_per_task=None, train_per_task=9).load_samples([0]).notes  # as was asked


def test_images_beyond_the_smallest_class(make: Callable[..., Any], tmp_path: Path) -> None:
    data = make(
        "image_folder", root=str(fill(tmp_path / "images", [4, 6, 9])), image_size=8, test_images=1, meta_test_classes=1
    )
    (note,) = data.load_concepts().notes
    assert note == "7 of 19 images are left out: every class gives 4, as many as the one with the fewest has"
    assert not make("image_folder", root=data.root, image_size=8, channels=1, test_classes=1, ways=2).load([0]).notes


def test_a_run_says_each_once(
    experiment: Callable[..., Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(tmp_path / "images", [4, 6, 9, 5])
    (root / "class0" / "a.webp").write_bytes(b"")
    settings = ["data.num_tasks=2", "data.image_size=8", "data.test_images=2", "algo.batch_size=2", f"data.root={root}"]
    monkeypatch.delenv("METACL_CACHE")  # compiling the kernels takes seconds: share the user's cache
    monkeypatch.setattr(figures, "draw", lambda directory: None)  # they take seconds, and say nothing on the terminal
    monkeypatch.setattr(report, "write", lambda directory: None)
    built = experiment("algo=er", "model=mlp_small", "data=split_image_folder", *settings, "gpu.threads=1", tiny=[])
    stop_at_once(built)
    capsys.readouterr()
    assert run(built) == 0
    captured = capsys.readouterr()
    shown, said = " ".join((captured.out + captured.err).split()), (built.directory / "run.log").read_text()
    warnings = json.loads((built.directory / "summary.json").read_text())["warnings"]
    # 4 + 5 images are the smallest task that a seed can deal, of which two of each class are for test
    expected = [
        "left out by the ending: 1 file in class folders (1 .webp)",
        "6 of 16 training samples are left out: every task takes 5, as many as the smallest task that a seed can deal",
        "1 of the 5 training samples of each task are left out: observations are of 2",
    ]
    assert len(warnings) == len(expected)
    for text, warning in zip(expected, warnings, strict=True):
        assert text in warning
        assert said.count(text) == shown.count(text) == 1
