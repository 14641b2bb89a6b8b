"""The files of a run's data change, or are moved, after it began: said, refused, or begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, DataError, UserError
from metacl_run.experiment import run
from metacl_run.trained_run import evaluation_of
from tests.support.composing import experiment_of
from tests.support.image_folders import noise_images
from tests.support.runs import stop_after


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return noise_images(tmp_path / "images", [6, 6, 6])


def composed(images: Path, *words: str) -> Experiment:
    settings = ["algo=er", "data=image_folder", f"data.root={images}", "data.image_size=8", "data.test_examples=2", "gpu=cpu"]
    quiet = ["progress=none", "figures.style=none", f"output_dir={images.parent / 'runs'}"]
    return experiment_of([*settings, "protocol.epochs=4", "protocol.checkpoint_every=0", *quiet, *words])


def replace_an_image(images: Path) -> None:
    """As many images as before, another name."""
    (images / "class0" / "0.png").rename(images / "class0" / "9.png")


def test_a_run_does_not_go_on_with_other_examples(images: Path) -> None:
    stop_after(composed(images), 2)
    (images / "class1" / "0.png").unlink()
    changed = r"have changed since this run began \(18 examples of 3 classes, now 17 examples of 3 classes\)"
    with pytest.raises(UserError, match=changed):
        run(composed(images))
    assert run(composed(images, "rerun=true")) == 0
    assert mr.load(composed(images).directory).status == "completed"


def test_an_evaluation_does_not_test_on_what_was_learned(images: Path) -> None:
    experiment = composed(images)
    assert run(experiment) == 0
    assert evaluation_of(experiment.directory).protocol == experiment.protocol
    replace_an_image(images)
    with pytest.raises(ConfigError, match=r"\(18 examples of 3 classes, now others\), so what is held out now may have been"):
        evaluation_of(experiment.directory)


def test_files_that_were_moved_are_looked_for_where_one_says(images: Path) -> None:
    experiment = composed(images)
    assert run(experiment) == 0
    there = images.rename(images.parent / "there")
    with pytest.raises(DataError, match=rf"is not a folder(.|\n)*The run had data.root={images}. .*: data.root=FOLDER"):
        evaluation_of(experiment.directory)
    evaluation = evaluation_of(experiment.directory, [f"data.root={there}"])
    assert run(evaluation) == 0
    again, whole = mr.load(evaluation.directory), mr.load(experiment.directory)
    assert again.metrics["accuracy"] == whole.metrics["accuracy"]
    replace_an_image(there)
    with pytest.raises(ConfigError, match="have changed since it learned"):
        evaluation_of(experiment.directory, [f"data.root={there}"])
