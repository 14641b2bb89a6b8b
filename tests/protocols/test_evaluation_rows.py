"""Which tasks are evaluated when, and that what is evaluated does not depend on what else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.listeners.scalars import scalars
from metacl_run.protocols.evaluation_rows import EvaluationRows
from metacl_run.reporting.sentences import not_evaluated, sentence
from metacl_run.storage.store import RunStore
from metacl_run.storage.stored_run import StoredRun
from tests.support.runs import stop_after
from tests.support.settings import SMALL_STREAM


def test_rows_come_every_so_many_tasks_or_further_and_further_apart() -> None:
    def found(every: int, tasks: int) -> list[int]:
        return [learned for learned in range(tasks + 1) if EvaluationRows(every=every).is_whole(learned, tasks)]

    assert found(1, 4) == [0, 1, 2, 3, 4]
    assert found(3, 10) == [0, 3, 6, 9, 10]
    assert found(0, 1000) == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert found(0, 120) == [0, 1, 2, 5, 10, 20, 50, 100, 120]


def test_the_task_just_learned_is_evaluated_whatever_the_plan() -> None:
    assert EvaluationRows().at_end(2, 5) == range(5)
    assert EvaluationRows(future="none").at_end(2, 5) == range(2)
    assert EvaluationRows(future="next").at_end(2, 5) == range(3)
    assert EvaluationRows(every=4, future="none").at_end(2, 9) == range(1, 2)
    assert EvaluationRows(every=4, future="next").at_end(2, 9) == range(1, 3)
    assert EvaluationRows(every=4, future="none").at_end(9, 9) == range(9)
    assert EvaluationRows(every=4, future="none").at_end(0, 9) == range(9)
    assert EvaluationRows(future="next").within(8, 9) == range(9)


# --------------------------------------------------------------------------------------------------------------- whole runs


@pytest.fixture
def finished(experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`finished("protocol.rows_every=2")` runs ER on six small tasks and gives its directory, matrix and metrics."""
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)

    def build(*overrides: str) -> tuple[Path, np.ndarray, dict[str, Any]]:
        built = experiment("algo=er", *overrides, "data.num_tasks=6", tiny=SMALL_STREAM)
        assert run(built) == 0
        summary = json.loads((built.directory / "summary.json").read_text())
        return built.directory, np.load(built.directory / "accuracy_matrix.npy"), summary["metrics"]

    return build


def test_fewer_evaluations_give_the_same_numbers_where_they_are(finished: Callable[..., Any]) -> None:
    _, whole, metrics = finished()
    directory, matrix, fewer = finished("protocol.rows_every=4", "protocol.eval_future=none")
    rows, tasks = np.arange(7)[:, None], np.arange(6)
    there = ((rows == 0) | (tasks == rows - 1) | (np.isin(rows, [4, 6]) & (tasks < rows)))[None]
    np.testing.assert_array_equal(np.isfinite(matrix), there)
    np.testing.assert_array_equal(matrix[there], whole[there])
    assert set(fewer) == {"accuracy", "learning_accuracy", "bti", "bwt"}
    assert all(fewer[name] == metrics[name] for name in fewer)
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    evaluated = {record["row"]: record.get("tasks") for record in records if record["kind"] == "eval"}
    assert evaluated == {0: None, 1: [0], 2: [1], 3: [2], 4: [0, 1, 2, 3], 5: [4], 6: None}
    loaded = StoredRun(directory)
    assert loaded.whole_rows == [0, 1, 4, 6]  # of the first row, the first task is all there is
    assert not loaded.future_is_evaluated
    assert "nan" not in sentence(loaded)
    assert not_evaluated(loaded) == (
        "Not evaluated, so left out: forgetting, anytime_accuracy, min_accuracy, worst_case_accuracy "
        "(by protocol.rows_every=4); fwt (by protocol.eval_future=none)."
    )


def test_the_next_task_is_all_that_forward_transfer_needs(finished: Callable[..., Any]) -> None:
    _, _, metrics = finished()
    directory, matrix, fewer = finished("protocol.eval_future=next")
    assert {name: fewer[name] for name in fewer if name != "forgetting"} == {
        name: metrics[name] for name in metrics if name != "forgetting"
    }
    assert np.isfinite(matrix[0]).sum() == 6 + sum(range(2, 7)) + 6
    assert not_evaluated(StoredRun(directory)) is None


def test_forgetting_without_tasks_to_come_is_since_each_was_learned(finished: Callable[..., Any]) -> None:
    _, whole, _ = finished()
    _, _, metrics = finished("protocol.eval_future=none")
    drops = [max(whole[0, i, j] for i in range(j + 1, 6)) - whole[0, 6, j] for j in range(5)]
    assert metrics["forgetting"]["mean"] == pytest.approx(np.mean(drops))


def test_a_run_with_fewer_rows_goes_on_to_the_same_matrix(
    finished: Callable[..., Any], experiment: Callable[..., Experiment]
) -> None:
    settings = ("protocol.rows_every=0", "protocol.eval_future=next", "protocol.eval_every=2", "protocol.probe_samples=20")
    directory, matrix, metrics = finished(*settings)
    shutil.rmtree(directory)
    built = experiment("algo=er", *settings, "data.num_tasks=6", tiny=SMALL_STREAM)
    stop_after(built, 13)
    assert run(built) == 0
    np.testing.assert_array_equal(np.load(built.directory / "accuracy_matrix.npy"), matrix)
    assert json.loads((built.directory / "summary.json").read_text())["metrics"] == metrics


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("protocol.rows_every=-1", r"protocol\.rows_every=-1: must be at least 0"),
        ("protocol.eval_future=some", r"protocol\.eval_future=some: must be one of all, next, none"),
    ],
)
def test_mistakes(experiment: Callable[..., Experiment], given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment("algo=er", given, tiny=SMALL_STREAM)


def test_probes_that_never_come_are_warned_of(finished: Callable[..., Any]) -> None:
    directory, _, metrics = finished("protocol.eval_every=4", "protocol.probe_samples=20")
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["warnings"] == [
        "protocol.eval_every=4: has no effect, since a task has 4 observations. Give less to probe within tasks"
    ]
    assert "probe" not in (directory / "metrics.jsonl").read_text()
    assert metrics == finished()[2]


def test_listeners_are_given_what_was_evaluated() -> None:
    only = {"kind": "eval", "task": 2, "row": 3, "tasks": [2], "accuracy": [[0.5]]}
    assert scalars(only, [0], "accuracy") == {"eval/task_03": 0.5}
    so_far = {"kind": "eval", "task": 1, "row": 2, "tasks": [0, 1, 2], "accuracy": [[0.5, 0.7, 0.1]]}
    found = scalars(so_far, [0], "accuracy")
    assert found == {
        "eval/task_01": 0.5,
        "eval/task_02": 0.7,
        "eval/task_03": 0.1,
        "eval/accuracy_seen": pytest.approx(0.6),
    }


# -------------------------------------------------------------------------------------------------------- matrix on the disk


def test_a_row_is_put_in_its_place(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((2, 5, 4))
    with RunStore(tmp_path) as store:
        store.write_matrix(np.full_like(matrix, np.nan))
        size = (tmp_path / "accuracy_matrix.npy").stat().st_size
        for row in (3, 0, 4, 1, 2):
            store.write_matrix_row(row, matrix[:, row])
            assert (tmp_path / "accuracy_matrix.npy").stat().st_size == size
            np.testing.assert_array_equal(np.load(tmp_path / "accuracy_matrix.npy")[:, row], matrix[:, row])
    np.testing.assert_array_equal(np.load(tmp_path / "accuracy_matrix.npy"), matrix)
