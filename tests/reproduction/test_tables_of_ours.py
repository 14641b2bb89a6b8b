"""A table without a published twin: its file, what its pages and the terminal show."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metacl_run.core.errors import ConfigError
from metacl_run.reproduction import pages
from metacl_run.reproduction.paper_table import parse
from metacl_run.reproduction.results import RunOfTable, results_of_table
from tests.reproduction.test_paper_tables import NODE, store

OURS: dict[str, Any] = {
    **{key: value for key, value in NODE.items() if key in ("title", "unit", "seeds", "reduced_seeds", "departures")},
    **{"paper": None, "smoke": [], "reduced": []},
    "runs": [{"row": row, "experiment": "mine", "cells": [{"column": "RA", "metric": "accuracy"}]} for row in ("ER", "SGD")],
}
"""A table without a published twin."""


def test_a_paper_and_its_side_of_the_table_come_together() -> None:
    for key in ("arxiv", "where", "spread", "spread_is", "published_seeds", "tolerance"):
        with pytest.raises(ConfigError, match=rf"^table\.{key}: is missing; only a table of ours \(table\.paper=null\) goes"):
            parse({name: value for name, value in NODE.items() if name != key})
    with pytest.raises(
        ConfigError, match=r"^table\.runs\[0\]\.cells\[0\]: has published, spread, confidence, but table\.paper=null"
    ):
        parse({**OURS, "runs": NODE["runs"]})


def test_a_table_without_a_paper_shows_ours_alone_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read, directory = parse(OURS), tmp_path / "runs" / "mnist" / "er" / "abc"
    store(directory, metrics={"accuracy": {"values": [0.75, 0.77, 0.79]}})
    results = results_of_table(read, [RunOfTable(read.runs[0], directory), RunOfTable(read.runs[1], tmp_path / "no")], "paper")
    assert [result.verdict for result in results] == ["computed", "not run"]
    half = f"{4.302652729911275 * 2.0 / math.sqrt(3):.1f}"  # t of 2 degrees of freedom, deviation 2 percent
    overview, details = (grid(read, results, "paper") for grid in (pages.overview_grid, pages.detailed_grid))
    assert [[cell.text for cell in row] for row in overview.rows] == [["ER", f"77.0 ± {half}"], ["SGD", "not run"]]
    assert details.headings == ["row", "column", "ours", "run"]
    assert [[cell.text for cell in row[:3]] for row in details.rows] == [
        ["ER", "RA", f"77.0 ± {half}"],
        ["SGD", "RA", "not run"],
    ]
    folder = tmp_path / "runs" / "tables" / "mine" / "paper"
    pages.write(folder, "mine", read, results, "paper")
    pages.show(Console(width=120), read, results, "paper")
    (row, _) = csv.DictReader((folder / "table.csv").read_text().splitlines())
    assert float(row["ours mean"]) == pytest.approx(77.0)
    texts = [capsys.readouterr().out, *((folder / f"table.{kind}").read_text() for kind in ("md", "html", "tex"))]
    for text in texts:
        assert "without a published twin" in text
        assert not re.search(r"paper's|verdict|agrees|none printed|None", re.sub(r"<style>.*?</style>", "", text, flags=re.S))
    assert "Note: Our streams are ours." in texts[1]
