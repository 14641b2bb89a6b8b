"""A setting that a class does not have, and that nobody typed: the message says which file it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.config.compose import single_experiment
from metacl_run.core.errors import ConfigError

EWC = "metacl_run.algorithms.online.ewc.Ewc"
"""A class without the settings of a replay buffer, which er has."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for group in ("algo", "model", "experiment"):
        (tmp_path / group).mkdir()
    (tmp_path / "algo" / "plain.yaml").write_text(f"defaults: [er, _self_]\n_target_: {EWC}\nmisspelt: 3\n")
    (tmp_path / "algo" / "plainer.yaml").write_text("defaults: [plain, _self_]\n")
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nalgo: {memory: 9}\n")
    target = "metacl_run.models.mlp.Mlp"
    (tmp_path / "model" / "square.yaml").write_text(f"defaults: [conv4_small, _self_]\n_target_: {target}\nhidden: [3]\n")
    return tmp_path


def refusal(folder: Path, *words: str) -> dict[str, str]:
    """The messages by the setting that they are about."""
    with pytest.raises(ConfigError) as caught:
        single_experiment(list(words), str(folder))
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in str(caught.value).split("\n")}


def test_a_setting_of_the_option_that_it_builds_on(folder: Path) -> None:
    message = refusal(folder, "algo=plain")["algo.memory=200"]
    assert message.startswith(
        "Ewc has no such setting. It comes from er.yaml, which plain.yaml builds on: leave that out of its defaults list, and "
        "list all settings of Ewc in the file itself. It has: batch_size, lr, "
    )
    assert "from er.yaml, which plainer.yaml builds on:" in refusal(folder, "algo=plainer")["algo.memory=200"]
    assert "from plain.yaml, which plainer.yaml builds on:" in refusal(folder, "algo=plainer")["algo.misspelt=3"]


def test_a_setting_of_a_model(folder: Path) -> None:
    messages = refusal(folder, "algo=maml", "model=square")
    assert "It comes from conv4_small.yaml, which square.yaml builds on:" in messages["model.channels=32"]


@pytest.mark.parametrize("words", [["algo.memory=9"], ["+algo.memory=9"], ["experiment=mine"]])
def test_what_is_typed_or_in_a_preset_or_in_the_own_file_comes_from_no_other(words: list[str], folder: Path) -> None:
    messages = refusal(folder, "algo=plain", *words)
    assert messages["algo.memory=9"].startswith("Ewc has no such setting. It has: batch_size, lr, ")
    assert messages["algo.misspelt=3"].startswith("Ewc has no such setting. It has: batch_size, lr, ")
    assert "It comes from er.yaml" in messages["algo.replay=10"]


def test_the_message_of_a_shipped_option_is_as_it_was() -> None:
    with pytest.raises(ConfigError, match=r"^algo\.memry=9: Replay has no such setting\. Did you mean algo\.memory\? It has: "):
        single_experiment(["algo=er", "algo.memry=9"], None)
