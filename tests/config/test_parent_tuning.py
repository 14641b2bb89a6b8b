"""An option that builds on an algorithm does not get that one's settings for a model or data: the warning names them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metacl_run.config import parent_tuning
from metacl_run.config.components import config_dir
from metacl_run.config.compose import single_experiment
from metacl_run.config.load import Experiment

PAIRS = [
    ("er", "split_cifar100", "tuned/er_colour_images.yaml"),
    ("er", "planar_skills", "pair/er_mlp_policy.yaml"),
    ("maml", "sinusoid", "pair/maml_sinusoid.yaml"),
    ("reptile", "split_glyphs", "pair/reptile_split_glyphs.yaml"),
    ("meta_sgd", "planar_dynamics", "pair/meta_sgd_planar_dynamics.yaml"),
]
CIFAR = ("data=split_cifar100", "data.root=nowhere")


def write(folder: Path, option: str, text: str) -> None:
    path = folder / f"{option}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def built(folder: Path, *words: str) -> Experiment:
    return single_experiment([*words, "output_dir=runs"], str(folder))


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in node.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values


def differences(shipped: Experiment, own: Experiment) -> set[str]:
    """The settings in which two composed configs differ, as they are typed to have those of the first."""
    theirs, ours = flat(shipped.resolved), flat(own.resolved)
    assert theirs.keys() == ours.keys()
    return {f"{key}={str(value).lower()}" for key, value in theirs.items() if ours[key] != value}


def settings_in(warning: str) -> list[str]:
    named = re.search(r"has for [a-z]+=\w+: (.+) \((\S+)\); give", warning)
    assert named is not None
    return named[1].split(" ")


@pytest.mark.parametrize(("algo", "data", "file"), PAIRS)
def test_the_settings_are_those_in_which_the_composed_configs_differ(algo: str, data: str, file: str, tmp_path: Path) -> None:
    write(tmp_path, "algo/mine", f"defaults: [{algo}, _self_]\n")
    shipped, own = built(tmp_path, f"algo={algo}", f"data={data}"), built(tmp_path, "algo=mine", f"data={data}")
    assert shipped.warnings == []
    (warning,) = own.warnings
    assert warning.startswith(f"algo=mine: builds on {algo}, but does not get what {algo} has for ")
    assert f"({file}); give " in warning
    lacking = settings_in(warning)
    assert set(lacking) == differences(shipped, own) != set()

    typed = built(tmp_path, "algo=mine", f"data={data}", *lacking)
    assert (typed.warnings, differences(shipped, typed)) == ([], set())

    own_file = re.search(r"copy that file to (\S+)\.yaml in the folder of --config-dir$", warning)
    assert own_file is not None
    write(tmp_path, own_file[1], (config_dir() / file).read_text())
    copied = built(tmp_path, "algo=mine", f"data={data}")
    assert (copied.warnings, differences(shipped, copied)) == ([], set())


def test_a_file_for_the_data_counts_before_that_for_the_model(tmp_path: Path) -> None:
    """A setting of several files is named once, with the value that counts."""
    write(tmp_path, "algo/base", "defaults: [er, _self_]\n")
    write(tmp_path, "pair/base_resnet18", "# @package _global_\nalgo: {lr: 0.5, momentum: 0.9, updates: 8}\n")
    write(tmp_path, "tuned/base_colour_images", "lr: 1e-2\n")
    write(tmp_path, "pair/base_split_cifar100", "# @package _global_\nprotocol: {epochs: 3}\nalgo: {updates: 4}\n")
    write(tmp_path, "algo/mine", "defaults: [base, _self_]\n")
    words = ("model=resnet18", "model.norm=running", *CIFAR)
    base, own = built(tmp_path, "algo=base", *words), built(tmp_path, "algo=mine", *words)
    assert base.warnings == []  # it has a file of its own for the family
    named = [settings_in(warning) for warning in own.warnings]
    assert named == [["algo.momentum=0.9"], ["algo.lr=1e-2"], ["protocol.epochs=3", "algo.updates=4"]]
    assert built(tmp_path, "algo=mine", *words, *named[0], *named[1], *named[2]).resolved["algo"] == base.resolved["algo"]
    assert built(tmp_path, "algo=mine", *words, "algo.lr=0.01", *named[0], *named[2]).warnings == []


def test_an_option_that_builds_on_a_shipped_variant_lacks_what_the_variant_has(tmp_path: Path) -> None:
    """And nothing of what only the options have that the variant builds on, since the variant does not have it either."""
    write(tmp_path, "algo/mine", "defaults: [fomaml, _self_]\n")
    (warning,) = built(tmp_path, "algo=mine", "data=sinusoid").warnings
    assert "(pair/fomaml_sinusoid.yaml)" in warning
    write(tmp_path, "algo/other", "defaults: [linear_probe, _self_]\n")
    write(tmp_path, "pair/finetune_split_glyphs", "# @package _global_\nalgo: {inner_lr: 0.7}\n")  # linear_probe builds on it
    assert built(tmp_path, "algo=finetune").algo.inner_lr == 0.7 != built(tmp_path, "algo=linear_probe").algo.inner_lr
    assert built(tmp_path, "algo=other").warnings == []


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("", ["data=rotated_digits"]),  # er has no settings of its own there
        ("", [*CIFAR, "algo.lr=0.3"]),
        ("", [*CIFAR, "++algo.lr=0.3"]),
        ("", [*CIFAR, "experiment=mine"]),
        ("lr: 0.03\n", [*CIFAR]),
        ("lr: 0.1\n", [*CIFAR]),  # a value of the option's own is chosen
    ],
)
def test_no_warning_where_the_user_chose(own: str, words: list[str], tmp_path: Path) -> None:
    write(tmp_path, "algo/mine", f"defaults: [er, _self_]\nupdates: 2\n{own}")
    write(tmp_path, "experiment/mine", "# @package _global_\nalgo: {lr: 0.3}\n")
    assert built(tmp_path, "algo=mine", *words).warnings == []


def test_a_class_of_ones_own_that_repeats_the_settings_is_warned_of(tmp_path: Path) -> None:
    target = "_target_: metacl_run.algorithms.online.er.Replay\n"
    write(tmp_path, "algo/mine", f"defaults: [er, _self_]\n{target}lr: 0.3\nmomentum: 0.9\n")
    (warning,) = built(tmp_path, "algo=mine", *CIFAR).warnings
    assert settings_in(warning) == ["algo.lr=0.03"]


def test_a_shipped_algorithm_costs_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "algo/mine", "defaults: [er, _self_]\n")
    shipped, own = built(tmp_path, "algo=er", *CIFAR), built(tmp_path, "algo=mine", *CIFAR)

    def refuse(folder: str) -> None:
        raise AssertionError(folder)

    monkeypatch.setattr(parent_tuning, "OptionFiles", refuse)
    assert shipped.warnings == []
    with pytest.raises(AssertionError):
        own.warnings  # noqa: B018
