"""The "insight" records of a run (`protocols/insight.py`) as plain arrays. Shapes: R replicates, K compared tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Insight(NamedTuple):
    """What was seen inside a learner; empty where nothing was recorded."""

    rate_units: np.ndarray
    """[N], increasing."""
    rates: dict[str, np.ndarray]
    """[R, 3, N] by layer: 10% quantile, median, 90% quantile of the layer's learned rates."""
    tasks: list[int]
    """[K] the tasks whose gradients were compared, counted from 0."""
    cosines: dict[int, np.ndarray]
    """[R, K, K] by the number of tasks learned; NaN where a gradient was 0."""
    cosines_on: str
    """What gradients were taken on."""
    drift_units: np.ndarray
    """[M], increasing."""
    drift: dict[str, np.ndarray]
    """[R, M] by layer: CKA of features now and right after their task was learned, mean over the earlier tasks."""
    drift_on: str


def read(records: list[dict[str, Any]]) -> Insight:
    """From all records of a run; a unit repeated by a continued run counts once, as it came last."""
    by_unit = {record["unit"]: record for record in records if record.get("kind") == "insight"}
    found = [by_unit[unit] for unit in sorted(by_unit)]
    rated, aligned, drifted = ([each for each in found if part in each] for part in ("rates", "alignment", "drift"))
    return Insight(
        _units(rated),
        {layer: np.stack([_quantiles(each["rates"][layer]) for each in rated], -1) for layer in _layers(rated, "rates")},
        aligned[-1]["alignment"]["tasks"] if aligned else [],
        {each["row"]: np.array(each["alignment"]["cosine"], dtype=float) for each in aligned},
        aligned[-1]["alignment"]["on"] if aligned else "",
        _units(drifted),
        {layer: np.stack([_mean(each["drift"]["cka"][layer]) for each in drifted], -1) for layer in _layers(drifted, "drift")},
        drifted[-1]["drift"]["on"] if drifted else "",
    )


def _units(records: list[dict[str, Any]]) -> np.ndarray:
    return np.array([record["unit"] for record in records], dtype=int)


def _layers(records: list[dict[str, Any]], part: str) -> list[str]:
    if not records:
        return []
    content = records[0][part]
    return list(content["cka"] if part == "drift" else content)


def _quantiles(values: dict[str, list[float | None]]) -> np.ndarray:
    return np.array([values[name] for name in ("low", "median", "high")], dtype=float).T


def _mean(values: list[list[float | None]]) -> np.ndarray:
    return np.array(values, dtype=float).mean(axis=1)
