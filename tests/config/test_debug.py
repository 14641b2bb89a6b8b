"""debug=true shortens any run to seconds, is a run of its own, and says so wherever its numbers are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metacl_run.cli import exit_status
from metacl_run.config.debug import shortened
from metacl_run.config.load import Experiment
from metacl_run.config.option_files import OptionFiles
from metacl_run.core.errors import DataError
from metacl_run.experiment import run
from metacl_run.storage.marks import DEBUG_MARK
from tests.support.composing import experiment_of
from tests.support.text_files import TEXTS

FILES = OptionFiles()
MOST_UNITS = {"continual_meta": 8, "meta_continual": 4, "online": 1000, "osaka": 24}


def units(experiment: Experiment) -> int:
    return int(experiment.protocol.count_units(experiment.algo, experiment.data))


@pytest.mark.parametrize("algo", FILES.names("algo"))
def test_every_algorithm_is_shortened(algo: str) -> None:
    experiment = experiment_of([f"algo={algo}", "debug=true"])
    assert experiment.debug
    assert units(experiment) <= MOST_UNITS[experiment.protocol.kind]


@pytest.mark.parametrize("data", FILES.names("data"))
def test_all_data_are_shortened(data: str) -> None:
    algos = {"continual_meta": "maml", "meta_continual": "alpaca" if data == "incremental_sine" else "oml", "online": "er"}
    algos["osaka"] = "continual_maml"
    model = ["model=mlp_small"] if data in TEXTS else []
    for kind in FILES.option("data", data).streams:
        try:
            experiment = experiment_of([f"algo={algos[kind]}", f"data={data}", *model, "debug=true"])
        except DataError:  # its files are not here
            continue
        assert units(experiment) <= MOST_UNITS[kind]


@pytest.mark.parametrize("words", [["protocol.updates_per_task=7"], ["data.num_tasks=3"], ["++data.num_tasks=3"]])
def test_the_command_line_counts_before_it(words: list[str]) -> None:
    key, value = words[0].lstrip("+").split("=")
    group, name = key.split(".")
    assert getattr(getattr(experiment_of(["debug=true", *words]), group), name) == int(value)


def test_files_of_ones_own_may_be_small(tmp_path: Path) -> None:
    rows = (f"words {number} of {label},{label}" for label in "abcdef" for number in range(10))
    (tmp_path / "mine.csv").write_text("\n".join(["text,label", *rows]))
    data = ["algo=er", "data=split_text_file", f"data.file={tmp_path / 'mine.csv'}", "data.num_tasks=3", "debug=true"]
    built = experiment_of(data)
    assert (built.data.train_per_task, built.data.test_per_task, built.data.classes_per_task) == (None, None, None)
    built.protocol.load(built.data, [0])  # which finds a task of as many texts as there are


def test_groups_of_classes_stay_whole_where_the_user_says_so() -> None:
    short = experiment_of(["algo=er", "data=split_glyphs", "debug=true"]).data
    whole = experiment_of(["algo=er", "data=split_glyphs", "data.tasks_from=scripts", "debug=true"]).data
    assert (short.tasks_from, short.classes_per_task) == ("characters", 5)
    assert (whole.tasks_from, whole.classes_per_task, whole.num_tasks) == ("scripts", None, 2)


def test_a_preset_is_shortened_and_is_another_run() -> None:
    plain, debug = (experiment_of(["experiment=sinusoid_maml_10shot", *words]) for words in ([], ["debug=true"]))
    assert units(debug) <= 4 < units(plain)
    assert plain.run_id != debug.run_id
    assert not plain.debug


def test_debug_alone_makes_another_run_but_false_does_not() -> None:
    overrides = ["algo=er", "protocol.log_every=1", "data.num_tasks=1"]
    assert experiment_of(overrides).run_id == experiment_of([*overrides, "debug=false"]).run_id
    assert experiment_of(overrides).run_id != experiment_of([*overrides, "debug=true"]).run_id


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        (5, 3, 3),
        (2, 3, 2),
        (None, 3, 3),
        ([1], [2], [2]),
        ([5, 6, 7], 2, [5, 6]),
        ("a", {"a": "b"}, "b"),
        ("c", {"a": "b"}, "c"),
    ],
)
def test_a_limit(value: object, limit: object, expected: object) -> None:
    assert shortened(value, limit) == expected


def test_a_debug_run_is_marked_and_stands_apart(tmp_path: Path) -> None:
    from metacl_run.comparison.report_cli import main

    experiment = experiment_of(["algo=er", "debug=true", "gpu.threads=1", f"output_dir={tmp_path}", "progress=none"])
    assert run(experiment) == 0
    assert json.loads((experiment.directory / "summary.json").read_text())["debug"] is True
    assert DEBUG_MARK in (experiment.directory / "report.html").read_text()
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--output", str(tmp_path / "report")])
    assert "debug runs, no results" in (tmp_path / "report" / "report.html").read_text()


def test_a_table_refuses_it_and_a_sweep_takes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("METACL_RUNS", str(tmp_path))
    assert exit_status(["table=mer", "debug=true"]) == 1
    assert "debug=true: would make table=mer another experiment" in capsys.readouterr().err
    assert exit_status(["-m", "algo=er,sgd", "debug=true", "sweep.status=true"]) in (0, 1, 130)
    assert "2" in capsys.readouterr().out


def test_classes_that_are_chosen_are_not_cut() -> None:
    words = [
        "algo=er",
        "data=split_glyphs",
        "data.num_classes=12",
        "data.num_scripts=3",
        "data.tasks_from=characters",
        "debug=true",
    ]
    listed = experiment_of([*words, "data.shuffled=false", "data.class_order=[5,1,7,2]"]).data
    assert (listed.count_tasks(), listed.classes_per_task) == (2, None)
    larger = experiment_of([*words, "data.num_tasks=3", "data.first_task_classes=8", "data.balance=none"]).data
    assert (larger.count_tasks(), larger.classes_per_task) == (3, None)
