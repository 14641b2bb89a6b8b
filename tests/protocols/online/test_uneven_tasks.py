"""Streams whose tasks differ in length: the buffers by hand, and whole runs with what a reader is shown."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.config.load import Experiment
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.experiment import run
from metacl_run.protocols.online.replay_schedule import ReplayDraws, ReplaySchedule
from tests.support.runs import assert_same_run, stop_after

LENGTHS = TaskLengths.of([6, 2, 4])
BATCH = 2


def draws_of(keep: str, capacity: int, size: int, epochs: int = 1, **more: bool) -> ReplayDraws:
    draws = 3 if more.get("by_task") else 1
    spec = ReplaySpec(keep=keep, capacity=capacity, draws=draws, size=size, **more)  # type: ignore[arg-type]
    labels = np.array([0, 1] * 6) if keep == "ring" else None
    return ReplaySchedule(spec, 0, samples=LENGTHS, batch_size=BATCH, epochs=epochs, labels=labels).draw(0, 6 * epochs)


def contents(draws: ReplayDraws) -> list[list[int]]:
    """The samples of the first draw of each observation, in order."""
    return [sorted(number[0][weight[0] > 0].tolist()) for number, weight in zip(draws.number, draws.weight, strict=True)]


def test_buffers_by_hand() -> None:
    first, second = list(range(6)), [6, 7]
    assert contents(draws_of("seen", 0, 12)) == [first] * 3 + [first + second] + [list(range(12))] * 2
    assert contents(draws_of("all", 0, 12)) == [list(range(12))] * 6
    last = [3, 4, 5]  # of nine places three for each task, of which the second has two samples
    assert contents(draws_of("last", 9, 9)) == [[]] * 3 + [last] + [last + second] * 2
    assert contents(draws_of("ring", 6, 6, past=True)) == [[]] * 3 + [[4, 5]] + [[4, 5, 6, 7]] * 2
    by_task = draws_of("last", 9, 3, by_task=True)
    weights = by_task.weight.sum(-1).tolist()
    assert weights == [[0, 0, 0]] * 3 + [[3, 0, 0]] + [[3, 2, 0]] * 2
    assert by_task.number[4][by_task.weight[4] > 0].tolist() == [*last, *second]


def test_samples_enter_in_the_first_pass_over_their_own_task() -> None:
    write = draws_of("reservoir", 12, 1, epochs=2).write
    assert write.tolist() == [
        *([0, 1], [2, 3], [4, 5], [12, 12], [12, 12], [12, 12]),
        *([6, 7], [12, 12]),
        *([8, 9], [10, 11], [12, 12], [12, 12]),
    ]


STREAM = [
    *("data=split_glyphs", "data.num_classes=10", "data.num_scripts=2", "data.tasks_from=characters", "data.num_tasks=3"),
    *("data.classes_per_task=null", "data.image_size=8", "data.balance=none", "model.hidden=[6]", "gpu.threads=1"),
    *("protocol.eval_every=4", "protocol.log_every=2", "seeds=[0,1]", "algo.batch_size=10"),
]
OF_METHOD = {"er": ["algo.memory=20"], "gem": ["algo.memories_per_task=5"], "ewc": ["algo.fisher_samples=20"]}


@pytest.mark.parametrize("algo", OF_METHOD)
def test_a_run_goes_on_where_it_was_stopped(
    algo: str, experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    if algo != "er":
        monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
        monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)
    words = [f"algo={algo}", *OF_METHOD[algo], *STREAM]
    base = experiment(*words, tiny=[]).output_dir
    unbroken, broken = (experiment(*words, f"output_dir={base / name}", tiny=[]) for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    sizes = [60, 45, 45]  # 4, 3 and 3 classes of 15 drawings to learn from
    units = [size // 10 for size in sizes]
    assert unbroken.protocol.count_units(unbroken.algo, unbroken.data) == sum(units)
    for stop in (units[0] - 1, units[0], units[0] + units[1] + 2):
        stop_after(broken, stop)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    summary = json.loads((unbroken.directory / "summary.json").read_text())
    assert (summary["task_units"], summary["units_per_task"]) == (units, units[0])
    lines = [json.loads(line) for line in (unbroken.directory / "metrics.jsonl").read_text().splitlines()]
    rows = {line["row"]: line["unit"] for line in lines if line["kind"] == "eval" and line["row"] is not None}
    assert list(rows.values()) == [0, *np.cumsum(units).tolist()]
    matrix, tested = (
        np.load(unbroken.directory / "accuracy_matrix.npy"),
        np.array([4, 3, 3]),
    )  # classes of 5 drawings to test on
    by_hand = [[rows[i, :i] @ tested[:i] / tested[:i].sum() for i in (1, 2, 3)] for rows in matrix]
    assert summary["metrics"]["overall_accuracy"]["values"] == pytest.approx([own[-1] for own in by_hand])
    assert summary["metrics"]["incremental_accuracy"]["values"] == pytest.approx(np.mean(by_hand, 1).tolist())
    assert any("training samples of all tasks are left out" in warning for warning in summary["warnings"])
