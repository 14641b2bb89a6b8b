"""Turns a record of the store into flat names and numbers, for listeners that draw one curve per name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metacl_run.scoring.metric_table import TRANSDUCTIVE


def by_number(task: int) -> str:
    return f"task_{task + 1:02d}"


def scalars(
    record: Mapping[str, Any], seeds: Sequence[int], score: str, task_label: Callable[[int], str] = by_number
) -> dict[str, float]:
    """Returns {name: value} of a record; empty for kinds that are not curves.

    Means over replicates have the names `train/loss`, `eval/accuracy_seen`, `eval/accuracy_all`, `eval/task_03` (the third
    task), for evaluated tasks only; where there is batch norm also `eval/transductive_accuracy_seen` and `_all`; for a probe of
    protocol `meta_continual`, `probe/accuracy` and `probe/memory`. With several replicates, seed 7 alone is `seed_7/train/loss`
    and so on. Values may be NaN (a diverged loss). Another `score` than "accuracy" gives its name: `eval/mse_seen`, and another
    `task_label` other names of tasks.
    """
    return _mean_and_seeds(_replicates(record, score, task_label), seeds)


def meta_test_curves(summary: Mapping[str, Any], seeds: Sequence[int]) -> dict[int, dict[str, float]]:
    """Returns {classes learned: {name: value}} of the meta-test that ends a run of protocol `meta_continual`; else empty.

    Means over orders have the names `meta_test/accuracy` (or the score's name), `meta_test/memory` and, where there is an upper
    bound, `meta_test/joint`; means over replicates and single seeds are as in `scalars`.
    """
    content = summary.get("meta_test") or {"lengths": []}
    by_length = {}
    for index, length in enumerate(content["lengths"]):
        curves = {name: content[name] for name in (content["score"], "memory", "joint") if content[name] is not None}
        means = {f"meta_test/{name}": np.array(values, dtype=float)[:, index].mean(axis=1) for name, values in curves.items()}
        by_length[int(length)] = _mean_and_seeds(means, seeds)
    return by_length


def _mean_and_seeds(replicates: Mapping[str, np.ndarray], seeds: Sequence[int]) -> dict[str, float]:
    """Returns means over replicates and, if there are several, the values of every seed; `replicates` is {name: [R]}."""
    named = {name: float(values.mean()) for name, values in replicates.items()}
    if len(seeds) > 1:
        for name, values in replicates.items():
            named |= {f"seed_{seed}/{name}": float(value) for seed, value in zip(seeds, values, strict=True)}
    return named


def _replicates(record: Mapping[str, Any], score: str, task_label: Callable[[int], str]) -> dict[str, np.ndarray]:
    """Returns {name: [R]}; JSON's null is NaN."""
    if record["kind"] == "train":
        return {f"train/{name}": np.array(values, dtype=float) for name, values in record["metrics"].items()}
    if record["kind"] == "probe":
        return {f"probe/{name}": np.array(record[name], dtype=float) for name in (score, "memory")}
    if record["kind"] != "eval":
        return {}
    scores, tasks = np.array(record[score], dtype=float), evaluated(record, score)  # [R, K] of these tasks
    named = {f"eval/{task_label(task)}": scores[:, place] for place, task in enumerate(tasks)}
    seen = num_seen(record)
    for name in (score, f"{TRANSDUCTIVE}{score}"):
        if name in record:
            values = np.array(record[name], dtype=float)
            named |= {} if "tasks" in record else {f"eval/{name}_all": values.mean(axis=1)}
            if seen and list(tasks[:seen]) == list(range(seen)):
                named[f"eval/{name}_seen"] = values[:, :seen].mean(axis=1)
    return named


def evaluated(record: Mapping[str, Any], score: str) -> Sequence[int]:
    """Returns the tasks that an "eval" record has scores of, in order; all of them where it does not list any."""
    tasks: Sequence[int] = record.get("tasks") or range(len(record[score][0]))
    return tasks


def num_seen(record: Mapping[str, Any]) -> int:
    """Counts the tasks that were learned or being learned at an "eval" record; 0 before any learning."""
    return int(record["task"]) + 1 if record["row"] is None else int(record["row"])
