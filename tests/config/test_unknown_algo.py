"""An algorithm that does not exist: those that fit the protocol or the data of the command are named, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metacl_run.cli import exit_status
from metacl_run.config.compose import single_experiment
from metacl_run.config.options import options, options_that_are
from metacl_run.core.errors import ConfigError


def refusal(*words: str, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        single_experiment(list(words), folder and str(folder))
    return str(caught.value)


def learners(protocol: str) -> list[str]:
    """By the interfaces of the classes, where the message goes by the files."""
    return options_that_are("algo", options("protocol")[protocol].learner)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "where", "protocols"),
    [
        (["protocol=online"], "protocol=online", ["online"]),
        (["data=split_cifar100"], "data=split_cifar100", ["online"]),
        (["data=split_cifar100", "protocol=osaka"], "protocol=osaka", ["osaka"]),
        (["data=incremental_sine"], "data=incremental_sine", ["meta_continual"]),
        (["data=glyphs"], "data=glyphs", ["continual_meta", "online", "meta_continual"]),
    ],
)
def test_the_algorithms_that_fit_are_named(words: list[str], where: str, protocols: list[str]) -> None:
    fitting = sorted(name for protocol in protocols for name in learners(protocol))
    assert f"Options for {where}: {', '.join(fitting)}. Options of one's own" in refusal("algo=zzzz", *words)


def test_the_nearest_name_is_one_that_fits() -> None:
    assert "Did you mean finetune?" in refusal("algo=finetuning")
    assert "Did you mean finetune?" in refusal("algo=finetuning", "data=split_omniglot")
    assert "Did you mean finetune_osaka?" in refusal("algo=finetuning", "protocol=osaka")
    for word in ("data=split_cifar100", "protocol=online"):
        assert "Did you mean" not in refusal("algo=finetuning", word)


@pytest.mark.parametrize("word", ["seeds=[1]", "data=nope", "protocol=nope", "data="])
def test_all_are_named_where_nothing_says_what_fits(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["--help", "algo=mamll", word]) == 1
    message = capsys.readouterr().err
    assert "algo=mamll: there is no such option. Did you mean maml? Options: a_gem, " in message
    assert "vr_mcl" in message


def test_an_algorithm_of_ones_own_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "finetune_stream.yaml").write_text("defaults: [er, _self_]\n")
    text = refusal("algo=finetuning", "protocol=online", folder=tmp_path)
    assert "Did you mean finetune_stream? Options for protocol=online: a_gem, " in text
    assert re.search(r"finetune_stream, .*vr_mcl\.$", text)


def test_the_help_of_a_command_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["--help", "algo=finetuning", "data=split_cifar100"]) == 1
    message = capsys.readouterr().err
    assert "algo=finetuning: there is no such option. Options for data=split_cifar100: a_gem, " in message
