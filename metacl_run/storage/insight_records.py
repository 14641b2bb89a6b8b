"""The "insight" records of a run (`protocols/insight.py`) as plain arrays. Shapes: R replicates, K compared tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Insight(NamedTuple):
    """Measurements inside a learner; empty where none were recorded."""

    rate_units: np.ndarray
    """[N], increasing."""
    rates: dict[str, np.ndarray]
    """[R, 3, N] by layer: 10% quantile, median, 90% quantile of the layer's learned rates."""
    tasks: list[int]
    """[K] the tasks whose gradients were compared, counted from 0."""
    cosines: dict[int, np.ndarray]
    """[R, K, K] by the number of tasks learned; NaN where a gradient was 0."""
    cosines_on: str
    """The samples or problems that gradients were taken on."""
    drift_units: np.ndarray
    """[M], increasing."""
    drift: dict[str, np.ndarray]
    """[R, M] by layer: CKA of features now and right after their task was learned, mean over the earlier tasks."""
    drift_on: str
    """The samples that features were computed of."""


def read(records: list[dict[str, Any]]) -> Insight:
    """Reads the insight records. If a unit was recorded twice, the last record counts."""
    by_unit = {record["unit"]: record for record in records if record["kind"] == "insight"}
    rates, alignments, drifts = (
        {unit: by_unit[unit][part] for unit in sorted(by_unit) if part in by_unit[unit]}
        for part in ("rates", "alignment", "drift")
    )
    last_alignment: dict[str, Any] = list(alignments.values())[-1] if alignments else {"tasks": [], "on": ""}
    last_drift: dict[str, Any] = list(drifts.values())[-1] if drifts else {"cka": {}, "on": ""}
    layers = list(rates.values())[-1] if rates else {}
    return Insight(
        rate_units=np.array(list(rates), dtype=int),
        rates={layer: np.stack([_quantiles(by_layer[layer]) for by_layer in rates.values()], -1) for layer in layers},
        tasks=last_alignment["tasks"],
        cosines={by_unit[unit]["row"]: np.array(alignment["cosine"], dtype=float) for unit, alignment in alignments.items()},
        cosines_on=last_alignment["on"],
        drift_units=np.array(list(drifts), dtype=int),
        drift={layer: np.stack([_mean(drift["cka"][layer]) for drift in drifts.values()], -1) for layer in last_drift["cka"]},
        drift_on=last_drift["on"],
    )


def _quantiles(values: dict[str, list[float | None]]) -> np.ndarray:
    return np.transpose(np.array([values[name] for name in ("low", "median", "high")], dtype=float))


def _mean(values: list[list[float | None]]) -> np.ndarray:
    return np.asarray(np.array(values, dtype=float).mean(axis=1))
