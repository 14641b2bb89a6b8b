"""A record of the store as flat names and numbers, for listeners that draw one curve a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def scalars(record: Mapping[str, Any], seeds: Sequence[int], score: str) -> dict[str, float]:
    """{name: value} of a record; empty for kinds that are not curves.

    For a probe of protocol `meta_continual`: `probe/accuracy`, `probe/memory`.

    The mean over replicates is `train/loss`, `eval/accuracy_seen`, `eval/accuracy_all`, `eval/task_03` (the third task), of
    what was evaluated, and where there is batch norm `eval/transductive_accuracy_seen` and `_all`; of several replicates, seed
    7 alone is `seed_7/train/loss` and so on. Values may be NaN (a diverged loss).
    Another `score` than "accuracy" gives its name: `eval/mse_seen`.
    """
    return _named(_replicates(record, score), seeds)


def meta_test_curves(summary: Mapping[str, Any], seeds: Sequence[int]) -> dict[int, dict[str, float]]:
    """{classes learned: {name: value}} of the meta-test that ends a run of protocol `meta_continual`; else empty.

    The means over orders are `meta_test/accuracy` (or as the score is called), `meta_test/memory` and, where there is an upper
    bound, `meta_test/joint`; over replicates and for each seed as in `scalars`.
    """
    content = summary.get("meta_test") or {"lengths": []}
    found = {}
    for index, length in enumerate(content["lengths"]):
        curves = {name: content[name] for name in (content["score"], "memory", "joint") if content[name] is not None}
        each = {f"meta_test/{name}": np.array(values, dtype=float)[:, index].mean(axis=1) for name, values in curves.items()}
        found[int(length)] = _named(each, seeds)
    return found


def _named(each: Mapping[str, np.ndarray], seeds: Sequence[int]) -> dict[str, float]:
    """Means over replicates and, of several, every seed's own; `each` is [R] by name."""
    named = {name: float(values.mean()) for name, values in each.items()}
    if len(seeds) > 1:
        for name, values in each.items():
            named |= {f"seed_{seed}/{name}": float(value) for seed, value in zip(seeds, values, strict=True)}
    return named


def _replicates(record: Mapping[str, Any], score: str) -> dict[str, np.ndarray]:
    """{name: [R]}; JSON's null is NaN."""
    if record["kind"] == "train":
        return {f"train/{name}": np.array(values, dtype=float) for name, values in record["metrics"].items()}
    if record["kind"] == "probe":
        return {f"probe/{name}": np.array(record[name], dtype=float) for name in (score, "memory")}
    if record["kind"] != "eval":
        return {}
    scores, tasks = np.array(record[score], dtype=float), evaluated(record, score)  # [R, K] of these tasks
    named = {f"eval/task_{task + 1:02d}": scores[:, place] for place, task in enumerate(tasks)}
    seen = num_seen(record)
    for name in (score, f"transductive_{score}"):
        if name in record:
            each = np.array(record[name], dtype=float)
            named |= {} if "tasks" in record else {f"eval/{name}_all": each.mean(axis=1)}
            if seen and list(tasks[:seen]) == list(range(seen)):
                named[f"eval/{name}_seen"] = each[:, :seen].mean(axis=1)
    return named


def evaluated(record: Mapping[str, Any], score: str) -> Sequence[int]:
    """The tasks that an "eval" record has scores of, in their order: where it does not say, all of them."""
    return record.get("tasks") or range(len(record[score][0]))


def num_seen(record: Mapping[str, Any]) -> int:
    """Tasks an "eval" record finds learned, or being learned; 0 before any learning."""
    return int(record["task"]) + 1 if record["row"] is None else int(record["row"])
