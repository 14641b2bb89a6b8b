"""`logger=`: none, one or several, from the command line and a user's folder; what earlier versions called their settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from metacl_run.cli import exit_status
from metacl_run.config.compose import expand, single_experiment
from metacl_run.core.errors import ConfigError
from metacl_run.sweeps.job import plan


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], []),
        (["logger=none"], []),
        (["logger=[]"], []),
        (["logger=csv"], ["csv"]),
        (["logger=[tensorboard,csv]"], ["tensorboard", "csv"]),
        (["logger=[csv,none]"], ["csv"]),
        (["logger=[wandb,csv]", "logger=tensorboard"], ["tensorboard"]),
        (["logger=csv", "logger=[wandb,csv]"], ["wandb", "csv"]),
    ],
)
def test_loggers_are_chosen_by_name_or_by_a_list(overrides: list[str], names: list[str]) -> None:
    experiment = single_experiment(overrides, None)
    assert list(experiment.logger) == names
    assert experiment.choices["logger"] == (",".join(names) or "none")
    assert experiment.run_id == single_experiment([], None).run_id


def test_settings_of_several_loggers() -> None:
    loggers = single_experiment(
        ["logger=[wandb,tensorboard]", "logger.wandb.project=x", "logger.tensorboard.flush_s=5"], None
    ).logger
    assert (loggers["wandb"].project, loggers["tensorboard"].flush_s) == ("x", 5)


def test_a_list_is_one_value_of_a_sweep() -> None:
    jobs = expand(["logger=[wandb,csv]", "seeds=[0],[1]"], multirun=True)
    assert jobs == [["logger=[wandb,csv]", "seeds=[0]"], ["logger=[wandb,csv]", "seeds=[1]"]]
    assert len(plan(jobs, None)) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["logger.project=x"], r"^logger\.project=x: is now called logger\.wandb\.project, since"),
        (["logger=csv", "logger.flush_s=5"], r"^logger\.flush_s=5: is now called logger\.tensorboard\.flush_s$"),
        (["logger=wandb", "logger.tags=[a]"], r"^logger\.tags=\['a'\]: is now the setting tags, which every logger receives$"),
        (
            ["logger=csv", "logger.wandb.project=x"],
            r"logger\.wandb\.project=x: .* not chosen\. logger=\[csv,wandb\] chooses it$",
        ),
        (["logger.csv.x=1"], r"^logger\.csv\.x=1: the logger csv is not chosen\. logger=csv chooses it$"),
        (["logger=wandb", "logger.wandb.projct=x"], r"Did you mean logger\.wandb\.project\?"),
        (["logger=csv", "logger.nope=1"], r"^logger\.nope=1: there is no such setting\..*as in logger\.csv\.nope$"),
        (
            ["logger=[wandb,cvs]"],
            r"^logger=cvs: there is no such option\. Did you mean csv\? Options: csv, mlflow, none, tensorboard",
        ),
        (["logger=[wandb,1]"], r"^logger=\[wandb,1\]: a group takes"),
        (["logger=wandb,csv"], r"^logger=wandb,csv: changes no result.*logger=\[wandb,csv\]"),
        (["tags=a,b"], r"^tags=a,b: changes no result.*tags=\[pilot,thesis\]"),
        (["tags=[a,1]"], r"^tags=\['a', 1\]: every entry must be a text$"),
        (["tags=['']"], r"^tags=\[''\]: every entry must have at least 1 character"),
        (["algo=[maml,reptile]"], r"a group takes one option"),
    ],
)
def test_mistakes_about_loggers(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        single_experiment(overrides, None)


def test_a_logger_of_the_users_own_says_where_its_settings_go(tmp_path: Path) -> None:
    (tmp_path / "logger").mkdir()
    target = "_target_: metacl_run.listeners.csv_listener.CsvLogger\n"
    (tmp_path / "logger" / "mine.yaml").write_text(target)
    with pytest.raises(ConfigError, match=r"^logger: the file of a logger must begin with the line `# @package logger\.NAME`"):
        single_experiment(["logger=mine"], str(tmp_path))
    (tmp_path / "logger" / "mine.yaml").write_text(f"# @package logger.mine\n{target}")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "pilot.yaml").write_text("# @package _global_\ndefaults:\n  - override /logger: [mine, csv]\n")
    assert list(single_experiment(["experiment=pilot"], str(tmp_path)).logger) == ["mine", "csv"]


def test_the_help_shows_the_settings_of_every_logger(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(["--help", "logger=[wandb,csv]"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("logger=wandb: ")
    assert "  logger.wandb.project=metacl-run\n" in text
    assert "@package" not in text
    assert "\nlogger=csv: " in text


def test_tags_are_words_and_one_needs_no_list() -> None:
    assert single_experiment(["tags=pilot"], None).tags == ["pilot"]
    tagged = single_experiment(["tags=[pilot,'chapter 3']"], None)
    assert tagged.tags == ["pilot", "chapter 3"]
    assert tagged.run_id == single_experiment([], None).run_id
