"""The streams of few-shot episodes that are shipped: which classes are used, and what is refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import ConfigError, SettingError


@pytest.mark.parametrize("name", ["glyphs", "split_glyphs"])
def test_splits_are_disjoint_complete_and_decided_by_the_seed(make: Callable[..., Any], name: str) -> None:
    stream = make(name, num_classes=200, validation_classes=5)
    stream.check(examples_per_class=20, replay_classes=8, split="validation")
    two_seeds, one_seed = stream.load([4, 5]), stream.load([5])
    for replicate in range(2):
        classes = [
            two_seeds.members[split].table[replicate, task, : two_seeds.members[split].sizes[replicate, task]]
            for split in ("train", "validation", "test")
            for task in range(stream.count_tasks())
        ]
        assert sorted(np.concatenate(classes)) == list(range(200))
    assert two_seeds.task_names[1] == one_seed.task_names[0]
    first, second = (
        pool.sample(np.zeros((len(seeds), 6), int), "train", shots=1, queries=1, rngs=[np.random.default_rng(s) for s in seeds])
        for pool, seeds in ((two_seeds, (4, 5)), (one_seed, (5,)))
    )
    assert (first.query_x[1] == second.query_x[0]).all()
    assert tuple(first.query_x.shape[-3:]) == stream.input_shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ways": 1}, "ways=1: must be at least 2"),
        ({"shots": 0}, "shots=0: must be at least 1"),
        ({"queries": 0}, "queries=0: must be at least 1"),
        ({"shift": "rotat"}, "shift=rotat: must be one of none, rotate, permute, invert, background. Did you mean rotate"),
        ({"test_classes": 2.5}, "test_classes=2.5: must be a number of classes, or a fraction"),
        ({"validation_classes": -1}, "validation_classes=-1: must be at least 0"),
        ({"image_size": 4}, "image_size=4: must be at least 8"),
        ({"num_tasks": 0}, "num_tasks=0: must be at least 1"),
        ({"test_examples": 2}, "test_examples=2: has no effect under protocol=continual_meta; .* of online, meta_continual"),
        ({"num_classes": 5}, "num_classes=5: must be at least num_scripts=10"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[..., Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"):
        make("split_glyphs", **changes)


@pytest.mark.parametrize(
    ("name", "changes", "needs", "message"),
    [
        (
            "split_omniglot",
            {"ways": 60},
            {},
            "ways=60: must be at most 20: the smallest .* 81 classes, 20 of them for test",
        ),
        ("split_omniglot", {"num_tasks": 51}, {}, "num_tasks=51: must be at most the 50 alphabets"),
        (
            "split_omniglot",
            {"shots": 19, "queries": 2},
            {"examples_per_class": 21},
            "shots=19: with queries=2 an episode takes up to 21 examples of a class, but class .* has 20",
        ),
        ("split_omniglot", {}, {"split": "validation"}, "validation_classes=0: leaves no class to evaluate on"),
        ("omniglot", {"test_classes": 1623}, {}, "test_classes=1623: leaves no class to train on"),
        ("split_glyphs", {}, {"replay_classes": 4}, "ways=5: must be at most the 4 classes"),
        ("split_glyphs", {"tasks_from": "alphabets"}, {}, "tasks_from=alphabets: must be one of scripts, characters"),
        ("domains", {"ways": 6}, {}, "ways=6: must be at most 5: the smallest task of any seed has 10 classes"),
    ],
)
def test_what_the_data_cannot_give_is_refused_before_a_file_is_looked_at(
    make: Callable[..., Any], name: str, changes: dict[str, Any], needs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    root = {"root": str(tmp_path / "nowhere")} if name != "split_glyphs" else {}
    stream = make(name, **root, **changes)
    with pytest.raises(SettingError, match=message):
        stream.check(**{"examples_per_class": 2, "replay_classes": None, "split": "test", **needs})
    assert not (tmp_path / "nowhere").exists()
