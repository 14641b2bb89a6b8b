"""Every shipped data YAML, and the messages for settings that cannot be."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from metacl_run.core.errors import ConfigError, SettingError
from metacl_run.data.files.torchvision_guard import torchvision_datasets

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "data").glob("*.yaml"))
IDS = [path.stem for path in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_yaml_has_every_field_with_a_comment(make: Callable, path: Path):
    fields = {field.name for field in dataclasses.fields(make(path.stem))}
    if "_target_" not in OmegaConf.load(path):  # a variant says what differs
        assert set(OmegaConf.load(path)) <= fields | {"defaults"}
        return
    assert set(OmegaConf.load(path)) - {"defaults"} == fields | {"_target_"}
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "_target_", "defaults", "  - "))]
    assert len(lines) == len(fields)
    assert all("  # " in line or " # " in line for line in lines)


def test_only_places_are_left_out_of_the_identity(make: Callable):
    for name in IDS:
        fields = {field.name: field.metadata.get("identity", True) for field in dataclasses.fields(make(name))}
        downloaded = "download" in fields  # else a root is the user's own folder, whose content is the data
        assert {name for name, inside in fields.items() if not inside} == ({"root", "download"} if downloaded else set())


@pytest.mark.parametrize("name", ["glyphs", "split_glyphs"])
def test_glyph_streams_are_disjoint_complete_and_repeatable(make: Callable, name: str):
    data = make(name, num_classes=200, validation_classes=5)
    data.check(examples_per_class=20, replay_classes=8, split="validation")
    one, two = data.load([4, 5]), data.load([5])
    for replicate in range(2):
        held = [
            one.members[split].table[replicate, task, : one.num_classes(replicate, task, split)]
            for split in ("train", "validation", "test")
            for task in range(data.count_tasks())
        ]
        assert sorted(np.concatenate(held)) == list(range(200))
    assert one.task_names[1] == two.task_names[0]
    episodes = [
        stream.sample(
            np.zeros((len(seeds), 6), int), "train", shots=1, queries=1, rngs=[np.random.default_rng(s) for s in seeds]
        )
        for stream, seeds in ((one, (4, 5)), (two, (5,)))
    ]
    assert (episodes[0].query_x[1] == episodes[1].query_x[0]).all()
    assert tuple(episodes[0].query_x.shape[-3:]) == data.input_shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ways": 1}, "ways=1: must be at least 2"),
        ({"shots": 0}, "shots=0: must be at least 1"),
        ({"queries": 0}, "queries=0: must be at least 1"),
        ({"shift": "rotat"}, "shift=rotat: must be one of none, rotate, permute, invert, background"),
        ({"test_classes": 2.5}, "test_classes=2.5: must be a number of classes, or a fraction"),
        ({"validation_classes": -1}, "validation_classes=-1: must be at least 0"),
        ({"image_size": 4}, "image_size=4: must be at least 8"),
        ({"num_tasks": 0}, "num_tasks=0: must be at least 1"),
        ({"test_examples": 0}, "test_examples=0: must be at least 1"),
        ({"scenario": "domian"}, "scenario=domian: must be one of domain, class, task"),
        ({"tasks_from": "alphabets"}, "tasks_from=alphabets: must be one of scripts, characters"),
        ({"num_classes": 5}, "num_classes=5: must be at least num_scripts=10"),
    ],
)
def test_fields_out_of_range(make: Callable, changes: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=rf"^data\.{message}"):
        make("split_glyphs", **changes)


@pytest.mark.parametrize(
    ("name", "changes", "asked", "message"),
    [
        (
            "split_omniglot",
            {"ways": 60},
            {},
            "ways=60: must be at most 20: the smallest task .* has 81 classes, 20 of them for test",
        ),
        ("split_omniglot", {"num_tasks": 51}, {}, "num_tasks=51: must be at most the 50 groups"),
        (
            "split_omniglot",
            {"shots": 19, "queries": 2},
            {"examples_per_class": 21},
            "shots=19: .*21 images .* has 20 images",
        ),
        ("split_omniglot", {}, {"split": "validation"}, "validation_classes=0: leaves no class to evaluate on"),
        ("omniglot", {"test_classes": 1623}, {}, "test_classes=1623: leaves no class to train on"),
        ("split_glyphs", {}, {"replay_classes": 4}, "ways=5: must be at most the 4 classes"),
        ("domains", {"ways": 6}, {}, "ways=6: must be at most 5: the smallest task .* has 10 classes"),
    ],
)
def test_what_the_data_cannot_give(make: Callable, name: str, changes: dict, asked: dict, message: str, tmp_path: Path):
    where = {"root": str(tmp_path / "nowhere")} if name != "split_glyphs" else {}
    data = make(name, **where, **changes)
    with pytest.raises(SettingError, match=message):
        data.check(**{"examples_per_class": 2, "replay_classes": None, "split": "test", **asked})
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("domains", "message"),
    [(["glyphs", "omniglott"], "Did you mean omniglot"), ([], "at least one"), (["mnist", "mnist"], "must all differ")],
)
def test_domains_are_known(make: Callable, domains: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        make("domains", domains=domains)


def test_torchvision_can_be_imported_and_is_not_by_the_package():
    assert hasattr(torchvision_datasets(), "Omniglot")
    modules = "glyphs, omniglot, image_folder, domains, split_mnist, split_cifar, split_tinyimagenet"
    code = f"from metacl_run.data import {modules}; import sys; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
