"""Notes on what a stream leaves out of the data, and where a run says them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.reporting import figures, report
from tests.support.image_folders import noise_images
from tests.support.point_sources import split_points
from tests.support.runs import stop_at_once


def test_samples_beyond_the_smallest_task_are_noted() -> None:
    """Of seven classes, which have 12 to 18 training points, three tasks of two have 25, 29 and 33."""
    pool = split_points(shuffled=False).load([0])
    assert pool.samples_per_task == 25
    assert pool.notes == [
        "1 of 7 classes fill no task and are left out",
        "12 of 87 training samples are left out: every task takes 25, as many as the smallest task that a seed can deal, while "
        "the largest here has 33",
    ]
    assert not split_points(num_tasks=1, classes_per_task=None, train_per_task=9).load([0]).notes  # the user chose to


def test_examples_beyond_the_smallest_class_are_noted(make: Callable[..., Any], tmp_path: Path) -> None:
    root = str(noise_images(tmp_path / "images", [4, 6, 9]))
    stream = make("image_folder", "meta_continual", root=root, image_size=8, test_examples=1, meta_test_classes=1)
    (note,) = stream.load([0]).notes
    assert note == "7 of 19 examples are left out: every class gives 4, as many as the one with the fewest has"
    assert not make("image_folder", root=root, image_size=8, channels=1, test_classes=1, ways=2).load([0]).notes


@pytest.mark.parametrize("progress", ["plain", "none"])
def test_a_run_says_every_note_before_it_learns_and_with_its_results(
    progress: str,
    experiment: Callable[..., Experiment],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that goes on, too, since its terminal may be another; run.log has every note once."""
    root = noise_images(tmp_path / "images", [4, 6, 9, 5])
    (root / "class0" / "a.webp").write_bytes(b"")
    settings = ["data.num_tasks=2", "data.image_size=8", "data.test_examples=2", "algo.batch_size=2", f"data.root={root}"]
    settings.append(f"progress={progress}")
    monkeypatch.delenv("METACL_CACHE")  # compiling the kernels takes seconds: share the user's cache
    monkeypatch.setattr(figures, "draw", lambda directory: None)  # they take seconds, and print nothing
    monkeypatch.setattr(report, "write", lambda directory: None)
    built = experiment("algo=er", "model=mlp_small", "data=split_image_folder", *settings, "gpu.threads=1", tiny=[])
    stop_at_once(built)
    capsys.readouterr()
    assert run(built) == 0
    captured = capsys.readouterr()
    terminal, log = " ".join((captured.out + captured.err).split()), (built.directory / "run.log").read_text()
    warnings = json.loads((built.directory / "summary.json").read_text())["warnings"]
    # 4 + 5 images are the smallest task that a seed can deal, two of every class for test
    expected = [
        "left out by the ending: 1 file in class folders (1 .webp)",
        "6 of 16 training samples are left out: every task takes 5, as many as the smallest task that a seed can deal",
        "1 of the 5 training samples of each task are left out: observations are of 2",
    ]
    assert len(warnings) == len(expected)
    for text, warning in zip(expected, warnings, strict=True):
        assert text in warning
        assert log.count(text) == 1  # a run that goes on logs it no more
        before, evaluated, after = terminal.partition("after task 1/2: ")
        assert bool(evaluated) == (progress == "plain")
        assert before.count(text) == 1  # of progress=none, with the results
        assert after.count(text) == (progress == "plain")
