"""Confused classes and forgotten examples in the report and on the terminal: what the file says, escaped, in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metacl_run.core.errors import StorageError
from metacl_run.reporting import report, terminal
from metacl_run.reporting.prediction_grids import MOST_PAIRS, confused_grid, forgotten_grid
from metacl_run.storage.stored_run import StoredRun

EVIL = "</td><script>alert('text')</script> [red]& more"


def with_predictions(run_dir: Path, **changes: Any) -> StoredRun:
    pairs = [{"class": 0, "predicted": 1, "samples": [3, 4], "share": 0.35, "cosine": 0.9}] + [
        {"class": 1, "predicted": None, "samples": [1, 0], "share": 0.05, "cosine": None}
    ] * 20
    quotes = [{"text": EVIL, "class": 0, "predicted": 1}, {"text": "pay the bill", "class": 2, "predicted": None}]
    content = {
        "samples_per_task": None,
        "classes": ["transfer", "<b>balance</b>", "pay_bill"],
        "tested": [[10, 10], [10, 10], [10, 10]],
        "confused": pairs,
        "nearest": [[[1, 0.9], [2, 0.4]], [[0, 0.9], [2, 0.3]], [[0, 0.4], [1, 0.3]]],
        "tasks": [
            {"right": [9, 8], "forgotten": [4, 2], "quotes": quotes},
            *[{"right": [9, 9], "forgotten": [0, 0], "quotes": []}] * 2,
        ],
    }
    (run_dir / "predictions.json").write_text(json.dumps({**content, **changes}))
    return StoredRun(run_dir)


def texts(grid: Any) -> list[list[str]]:
    return [[cell.text for cell in row] for row in grid.rows]


def test_the_tables_say_what_the_file_says(make_run: Callable[..., Path]) -> None:
    run = with_predictions(make_run(tasks=3, replicates=2))
    confused, forgotten = confused_grid(run), forgotten_grid(run)
    assert confused is not None
    assert forgotten is not None
    assert texts(confused)[0] == ["transfer", "0.350", "<b>balance</b>", "0.900", "<b>balance</b> 0.900, pay_bill 0.400"]
    assert texts(confused)[1][1:4] == ["0.050", "no class of the task", "-"]
    assert len(confused.rows) == MOST_PAIRS
    assert "Mean of 2 seeds." in confused.notes[0]
    assert "has 21 pairs" in confused.notes[1]
    assert texts(forgotten) == [
        ["1: glyphs 1", f"“{EVIL}”", "transfer", "<b>balance</b>"],
        ["", "“pay the bill”", "pay_bill", "no class of the task"],
    ]
    assert forgotten.rows[0][0].detail == "4 of 9 forgotten"
    assert "(seed 0)" in forgotten.notes[0]


def test_texts_and_names_are_escaped_on_the_page_and_on_the_terminal(make_run: Callable[..., Path]) -> None:
    run = with_predictions(make_run(tasks=3, replicates=2))
    page = report.write(run).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;text&#39;)" in page
    assert "<b>balance" not in page
    console = Console(record=True, width=160)
    terminal.show(run, console)
    assert "Most confused at the end: transfer as <b>balance</b> (35%)" in console.export_text()


def test_without_texts_there_is_the_table_of_classes_alone(make_run: Callable[..., Path]) -> None:
    tasks = [{"right": [9, 8], "forgotten": [4, 2], "quotes": []}] * 3
    run = with_predictions(make_run(tasks=3, replicates=2), nearest=None, tasks=tasks, samples_per_task=7)
    confused = confused_grid(run)
    assert confused is not None
    assert texts(confused)[0] == ["transfer", "0.350", "<b>balance</b>"]
    assert "up to 7 of each task" in confused.notes[0]
    assert forgotten_grid(run) is None
    assert "Forgotten examples" not in report.write(run).read_text(encoding="utf-8")


def test_a_run_of_an_older_version_has_neither(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=3))
    assert confused_grid(run) is None
    assert forgotten_grid(run) is None
    assert "Confused and forgotten" not in report.write(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "[]", '{"classes": ["a"]}', "null"])
def test_a_damaged_file_is_named(content: str, make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3)
    (run_dir / "predictions.json").write_text(content)
    with pytest.raises(StorageError, match=r"predictions\.json: is truncated or damaged"):
        confused_grid(StoredRun(run_dir))
    with pytest.raises(StorageError, match="damaged"):
        confused_grid(with_predictions(run_dir, classes=["transfer"]))
