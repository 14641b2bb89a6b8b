"""A row of a table whose seeds were computed in several runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from metacl_run.cli import command
from metacl_run.config.compose import single_experiment
from metacl_run.experiment import run
from metacl_run.reproduction.rows_in_parts import RowParts, joined
from metacl_run.storage.paper_table_sizes import sizes_under
from metacl_run.storage.run_files import SUMMARY
from metacl_run.storage.stored_run import StoredRun
from tests.reproduction.test_paper_tables import CELL, NODE
from tests.support.settings import TINY


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with a table of one run of three seeds, which is not drawn."""
    monkeypatch.setattr("metacl_run.reproduction.pages.draw", lambda *_: [])
    monkeypatch.setattr("metacl_run.reproduction.pages.draw_costs", lambda *_: [])
    folder = tmp_path / "configs"
    for group in ("table", "experiment"):
        (folder / group).mkdir(parents=True)
    preset = "# @package _global_\ndefaults:\n  - override /algo: maml\n  - override /data: split_glyphs\n"
    (folder / "experiment" / "mine.yaml").write_text(preset)
    runs = [{"row": "MAML", "experiment": "mine", "overrides": TINY, "cells": [CELL]}]
    (folder / "table" / "small.yaml").write_text(yaml.safe_dump({**NODE, "runs": runs}))
    return folder


def computed(configs: Path, seeds: str, *words: str) -> StoredRun:
    """A completed run of the row's experiment with some of its seeds."""
    overrides = ["experiment=mine", *TINY, f"seeds={seeds}", f"output_dir={configs.parent / 'runs'}", "progress=none", *words]
    built = single_experiment(overrides, str(configs))
    assert run(built) == 0
    return StoredRun(built.directory)


def row(configs: Path, *words: str) -> dict[str, str]:
    """The row of the table after a command."""
    overrides = ["table=small", f"output_dir={configs.parent / 'runs'}", "progress=none", "gpu.threads=1", *words]
    assert command(overrides, str(configs), multirun=False) == 0
    path = configs.parent / "runs" / "tables" / "small" / "paper" / "table.csv"
    (only,) = csv.DictReader(path.read_text().splitlines())
    return only


def values(run: StoredRun) -> list[float]:
    return [100 * value for value in run.summary["metrics"]["accuracy"]["values"]]


def test_runs_with_the_seeds_of_a_row_fill_it_and_nothing_is_computed(configs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    later, first = computed(configs, "[2,1]"), computed(configs, "[0,5]")  # 5 is no seed of the row
    computed(configs, "[0]", "algo.inner_lr=0.3")  # another setting
    filled = row(configs)
    assert "every row is put together from other runs" in " ".join(capfd.readouterr().out.split())
    page = (configs.parent / "runs" / "tables" / "small" / "paper" / "table.md").read_text()
    assert "- MAML is put together from runs with seeds 0, 1, 2: split_glyphs/maml/" in page
    expected = [values(first)[0], *values(later)]
    assert float(filled["ours mean"]) == pytest.approx(sum(expected) / 3)
    assert filled["verdict"].split(" ")[0] in ("agrees", "inconclusive", "differs")
    assert len(list(first.directory.parent.iterdir())) == 3  # no fourth run was made

    first.directory.rename(first.directory.with_name("0" * 12))  # as if of another version
    assert row(configs, "sweep.status=true")["verdict"] == "too few seeds"


def test_seeds_that_no_run_has_are_named_and_then_computed(configs: Path) -> None:
    first, page = computed(configs, "[0]"), configs.parent / "runs" / "tables" / "small" / "paper" / "table.md"
    partly = row(configs, "sweep.status=true")
    assert (partly["verdict"], float(partly["ours mean"])) == ("too few seeds", pytest.approx(values(first)[0]))
    assert "- MAML is put together from runs with seed 0; missing: 1, 2: " in page.read_text()
    whole = row(configs)
    assert whole["verdict"] != "too few seeds"
    assert "put together" not in page.read_text()
    assert whole["run"] != partly["run"]


def test_a_row_with_a_run_that_diverged_has_no_number(configs: Path) -> None:
    computed(configs, "[0,1]")
    path = computed(configs, "[2]").directory / SUMMARY
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "diverged", "metrics": {}}))
    diverged = row(configs)
    assert (diverged["verdict"], diverged["ours mean"]) == ("diverged", "")


def test_to_run_a_row_again_is_to_run_it_as_a_whole(configs: Path) -> None:
    parts = computed(configs, "[0,1,2]", "tags=[apart]"), computed(configs, "[0]")
    row(configs, "rerun=true")
    assert len(list(parts[0].directory.parent.iterdir())) == 2  # tags do not make it another run


def test_what_is_by_seed_is_joined_and_what_is_not_stays(tmp_path: Path) -> None:
    parts = []
    for name, seeds in (("a", [0]), ("b", [1, 2])):
        by_seed = [[seed / 10, seed / 5] for seed in seeds]
        summary = {
            **{"schema": 1, "status": "completed", "config": {}, "score": "accuracy", "seeds": seeds},
            "metrics": {"accuracy": {"values": seeds}, **({"bwt": {"values": seeds}} if name == "a" else {})},
            "meta_test": {"score": "accuracy", "lengths": [10, 50], "accuracy": by_seed, "joint": None},
            "by_step": {"score": "accuracy", "curve": by_seed},
            "timing": {"train_s": 30.0 * len(seeds)},
            "evaluation_half_width": by_seed,
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / SUMMARY).write_text(json.dumps(summary))
        parts.append(StoredRun(tmp_path / name))
    whole = joined(RowParts({0: (parts[0], 0), 1: (parts[1], 0), 2: (parts[1], 1)}))
    assert whole["seeds"] == [0, 1, 2]
    assert whole["evaluation_half_width"] == [[0.0, 0.0], [0.1, 0.2], [0.2, 0.4]]
    assert whole["metrics"] == {"accuracy": {"values": [0, 1, 2]}}
    assert whole["meta_test"]["lengths"] == [10, 50]
    assert whole["meta_test"]["accuracy"] == whole["by_step"]["curve"] == [[0.0, 0.0], [0.1, 0.2], [0.2, 0.4]]
    assert whole["timing"] == {"train_s": 90.0}


def rewrite(run: StoredRun, **changes: object) -> None:
    path = run.directory / SUMMARY
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_seed_that_completed_apart_counts_and_not_the_run_that_diverged(configs: Path) -> None:
    runs = [computed(configs, seeds) for seeds in ("[0,1,2,3]", "[0,1]", "[2]")]
    rewrite(runs[0], status="diverged", metrics={})
    filled = row(configs)
    assert float(filled["ours mean"]) == pytest.approx(sum(values(runs[1]) + values(runs[2])) / 3)


def test_parts_fill_a_row_whose_own_run_failed(configs: Path) -> None:
    own, one, two = (computed(configs, seeds) for seeds in ("[0,1,2]", "[0,1]", "[2]"))
    rewrite(own, status="failed", metrics={}, error="the card's memory does not suffice")
    filled = row(configs)
    assert float(filled["ours mean"]) == pytest.approx(sum(values(one) + values(two)) / 3)


def test_every_run_of_a_row_in_parts_is_of_the_size_of_the_table(configs: Path) -> None:
    runs = [computed(configs, "[0,1]"), computed(configs, "[2]")]
    assert len(row(configs)["run"].split()) == 2
    output_dir = configs.parent / "runs"
    paper, reduced = (output_dir / "tables" / "small" / size for size in ("paper", "reduced"))
    paper.rename(reduced)
    assert sizes_under(output_dir) == {"/".join(run.directory.parts[-3:]): "reduced" for run in runs}
