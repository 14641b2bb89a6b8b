"""Numbers that were not finite, which a run stores as null: the report is written, whatever is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.reporting import figures, paper_figures, report
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.reporting.sentences import sentence
from metacl_run.storage.stored_run import StoredRun
from tests.support.stored_acting import with_recovery, with_task_vectors
from tests.support.stored_streams import build_stream

MEASURED = ("recovery", "open_loop", "control", "task_vectors")


def without(values: Any, places: int | None) -> Any:
    """Nested lists and mappings with null in place of the first numbers of every list of numbers; of all where None."""
    if isinstance(values, dict):
        return {key: value if key == "size" else without(value, places) for key, value in values.items()}
    if not isinstance(values, list):
        return values
    if values and isinstance(values[0], list):
        return [without(value, places) for value in values]
    count = len(values) if places is None else min(places, len(values))
    return [None] * count + values[count:]


@pytest.mark.parametrize("places", [1, None])
@pytest.mark.parametrize("replicates", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*MEASURED, "metrics"])
def test_a_run_with_numbers_that_are_not_finite_gets_its_report(
    name: str, replicates: int, places: int | None, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_run(tasks=2, replicates=replicates, score="mse")
    with_recovery(directory)
    with_task_vectors(directory)
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    if name == "metrics":
        for metric in summary["metrics"].values():
            metric |= {"values": without(metric["values"], places), "mean": None, "std": None, "ci95": [None, None]}
    else:
        summary[name] = without(summary[name], places)
    path.write_text(json.dumps(summary))
    chosen = [figure for figure in figures.FIGURES if figure.name in (*MEASURED[::3], "open_loop_error", "control_returns")]
    monkeypatch.setattr(figures, "FIGURES", chosen)
    run = StoredRun(directory)
    assert len(figures.draw(run)) == 2 * len(chosen)
    paper_figures.draw(run)
    report.write(run)
    assert is_drawn(directory)


def test_a_stream_whose_score_is_not_finite_is_said_to_be_so(tmp_path: Path) -> None:
    path = build_stream(tmp_path / "run", domains=["a", "b"]).directory / "summary.json"
    summary = json.loads(path.read_text())
    summary["metrics"]["accuracy"] = {"mean": None, "std": None, "ci95": [None, None], "values": [None, 0.5]}
    path.write_text(json.dumps(summary))
    assert sentence(StoredRun(path.parent)).startswith("Predicting before learning, accuracy is not finite (a 0.")
