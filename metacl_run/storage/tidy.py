"""The numbers of a run as tidy records: one value a record, every record with the same keys.

Tasks are numbered from 1, as in figures and reports. What has no unit, task or number of classes has None there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from metacl_run.scoring.metric_table import TRANSDUCTIVE
from metacl_run.storage.stored_run import StoredRun

Record = dict[str, Any]


def curves(run: StoredRun) -> list[Record]:
    """All values over time: {"kind", "unit", "task", "classes", "seed", "metric", "value"}.

    Kinds: "training" (means since the record before), "evaluation" (the score on each task), "probe" and "meta_test" (scores
    after learning that many unseen classes in sequence, mean over orders), "by_step" (the score after `unit` inner steps, mean
    over tasks). Values that are not finite are left out.
    """
    return [record for part in (_training(run), _evaluations(run), _sequences(run), _by_step(run)) for record in part]


def metrics(run: StoredRun) -> list[Record]:
    """The final metrics: {"metric", "seed", "value"}; what a seed did not reach is left out."""
    return [
        {"metric": name, "seed": seed, "value": value}
        for name, metric in run.summary["metrics"].items()
        for seed, value in zip(run.seeds, metric["values"], strict=True)
        if value is not None
    ]


def matrix(run: StoredRun) -> list[Record]:
    """The accuracy matrix: {"seed", "learned", "task", "name", "value"}, `learned` tasks before the evaluation."""
    names = run.summary["task_names"]
    return [
        {"seed": seed, "learned": learned, "task": task + 1, "name": names[replicate][task], "value": float(value)}
        for replicate, seed in enumerate(run.seeds)
        for (learned, task), value in np.ndenumerate(run.matrix[replicate])
        if math.isfinite(value)
    ]


def _training(run: StoredRun) -> Iterator[Record]:
    training, units = run.training, run.units
    for name, values in training.curves.items():
        for place, unit in enumerate(training.units.tolist()):
            task = None if not run.learns_task_by_task or not units.total else units.task_at(unit - 1) + 1
            yield from _of_seeds(run, values[:, place], "training", name, unit=unit, task=task)


def _evaluations(run: StoredRun) -> Iterator[Record]:
    evaluations = run.evaluations
    for place, unit in enumerate(evaluations.units.tolist()):
        for task in range(run.num_tasks):
            scores = evaluations.scores[:, place, task]
            yield from _of_seeds(run, scores, "evaluation", run.score.score_name, unit=unit, task=task + 1)


def _by_step(run: StoredRun) -> Iterator[Record]:
    measured = run.summary["by_step"] or {}
    for name, curve in ((run.score.score_name, measured.get("curve")), (TRANSDUCTIVE, measured.get("transductive"))):
        metric = name if name != TRANSDUCTIVE else f"{TRANSDUCTIVE}{run.score.score_name}"
        for step, values in enumerate(zip(*(curve or []), strict=True)):
            yield from _of_seeds(run, np.array(values, dtype=float), "by_step", metric, unit=step)


def _sequences(run: StoredRun) -> Iterator[Record]:
    results, score = run.sequences, run.score.score_name
    if results is None:
        return
    for place, unit in enumerate(results.probe_units.tolist()):
        for name, probes in ((score, results.probe_held_out), ("memory", results.probe_memory)):
            yield from _of_seeds(run, probes[:, place], "probe", name, unit=unit, classes=results.probe_length)
    test = results.meta_test
    if test is None:
        return
    by_metric = {score: test.held_out, "memory": test.memory}
    by_metric |= {} if test.joint is None else {f"joint_{score}": test.joint}
    by_metric |= {} if test.untrained is None else {f"untrained_{score}": test.untrained}
    for name, scores in by_metric.items():
        for place, length in enumerate(test.lengths.tolist()):
            yield from _of_seeds(run, scores[:, place].mean(-1), "meta_test", name, classes=length)


def _of_seeds(
    run: StoredRun,
    values: np.ndarray,
    kind: str,
    metric: str,
    *,
    unit: int | None = None,
    task: int | None = None,
    classes: int | None = None,
) -> Iterator[Record]:
    for seed, value in zip(run.seeds, values.tolist(), strict=True):
        if math.isfinite(value):
            place = {"kind": kind, "unit": unit, "task": task, "classes": classes}
            yield {**place, "seed": seed, "metric": metric, "value": value}
