"""How numbers and their spread over seeds are written, on the terminal and in every page."""

from __future__ import annotations

from typing import Any

from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE


def apart(metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics of summary.json: those of each query alone, and the transductive ones by the same names."""
    own = {name: metric for name, metric in metrics.items() if not name.startswith(TRANSDUCTIVE)}
    return own, {name.removeprefix(TRANSDUCTIVE): metric for name, metric in metrics.items() if name not in own}


def spread_heading(seeds: int) -> str | None:
    """Over the column of `spread_text`; None of one seed."""
    return None if seeds < 2 else "both seeds" if seeds < FEWEST else "95% interval"


def spread_text(metric: dict[str, Any]) -> str:
    """What the seeds of a metric of summary.json spread over: its interval; of two seeds, their values."""
    values = metric["values"]
    return ", ".join(map(number, values)) if len(values) == 2 else interval(metric["ci95"])


def number(value: float | None) -> str:
    """Three decimals, a dash for what is not defined."""
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"  # no -0.000


def interval(bounds: list[float | None]) -> str:
    """'0.701 to 0.745'; words, since bounds may be negative."""
    low, high = bounds
    return "-" if low is None or high is None else f"{number(low)} to {number(high)}"
