"""Episodes of classes that a list divides: the splits are the list's, tasks are the seed's, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import ConfigError, SettingError
from tests.support.image_folders import noise_images

LISTS = "train: [class0, class3, class5, class6]\nvalidation: [class1, class2]\ntest: [class4, class7]\n"
SPLITS = {"train": {0, 3, 5, 6}, "validation": {1, 2}, "test": {4, 7}}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Any]:
    noise_images(tmp_path / "images", [3] * 9)
    (tmp_path / "lists.yaml").write_text(LISTS)
    return tmp_path


@pytest.mark.parametrize("num_tasks", [1, 2])
def test_splits_are_the_lists_and_tasks_the_seeds(make: Callable[..., Any], folder: Path, num_tasks: int) -> None:
    own = {"root": str(folder / "images"), "class_lists": str(folder / "lists.yaml"), "image_size": 8, "ways": 2}
    stream = make("listed_image_folder", num_tasks=num_tasks, queries=1, **own)
    if num_tasks == 1:
        stream.check(examples_per_class=2, replay_classes=None, split="test")
    pool = stream.load([0, 1])
    for replicate in range(2):
        for split, classes in SPLITS.items():
            members = [
                pool.members[split].table[replicate, task, : pool.members[split].sizes[replicate, task]]
                for task in range(num_tasks)
            ]
            assert {len(of_task) for of_task in members} == {len(classes) // num_tasks}
            assert set(np.concatenate(members).tolist()) == classes
    assert (pool.members["train"].table[0] == stream.load([0]).members["train"].table[0]).all()
    assert pool.notes == ["1 of 9 classes fill no task and are left out"]


def test_what_a_list_leaves_empty_or_too_small_is_refused(make: Callable[..., Any], folder: Path) -> None:
    own = {"root": str(folder / "images"), "class_lists": str(folder / "lists.yaml"), "image_size": 8, "queries": 1}
    with pytest.raises(
        SettingError, match="ways=3: must be at most 2: the smallest task of any seed has 8 classes, 2 of them for"
    ):
        make("listed_image_folder", ways=3, **own).check(examples_per_class=2, replay_classes=None, split="test")
    (folder / "lists.yaml").write_text("train: [class0, class3]\n")
    with pytest.raises(SettingError, match="lists no test classes, and the test split is evaluated"):
        make("listed_image_folder", ways=2, **own).check(examples_per_class=2, replay_classes=None, split="test")
    with pytest.raises(ConfigError, match=r"data\.class_lists=cifar_sf: must be one of"):
        make("cifar_fs", class_lists="cifar_sf")


def test_superclasses_stay_together(make: Callable[..., Any], tmp_path: Path) -> None:
    stream = make("fc100", root=str(tmp_path), num_tasks=4)
    catalogue = stream.source.catalogue()
    assert stream.check_splits(catalogue, "test") == [{"train": 15, "validation": 5, "test": 5}]
    for task in stream.deal(catalogue, 3):
        groups = [[catalogue.groups[place] for place in task[split]] for split in ("train", "validation", "test")]
        assert [{of_split.count(group) for group in of_split} for of_split in groups] == [{5}, {5}, {5}]
