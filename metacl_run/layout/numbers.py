"""How numbers and their spread over seeds are written, on the terminal and on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import Score

LEAST = 1e-7
"""Below this a value is what rounding leaves of 0."""


def number(value: float | None) -> str:
    """Three decimals; two digits and an exponent where these would all be 0; a dash for what is not defined."""
    if value is None or value != value:
        return "-"
    if LEAST < abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{round(value, 3) + 0.0:.3f}"  # no -0.000


def interval(bounds: Sequence[float | None]) -> str:
    """ "0.701 to 0.745"; words, since bounds may be negative."""
    low, high = map(number, bounds)
    return "-" if "-" in (low, high) else f"{low} to {high}"


def score_text(value: float, score: Score, signed: bool = False) -> str:
    """A score, or with `signed` a difference of two, for a sentence: an accuracy to two decimals, an error to three digits."""
    return format(value, ("+" if signed else "") + (".2f" if score.higher_is_better else ".3g"))


def label_value(value: float, score: Score) -> str:
    """A score after the name of a line: always with as many decimals, unless an error is very small or large."""
    text = score_text(value, score) if score.higher_is_better or not 0.01 <= abs(value) < 100 else number(value)
    return f"\u00a0·\u00a0{text}"  # names may end in a number


def spread_heading(seeds: int) -> str:
    """The heading over `spread_text`; empty with one seed."""
    return "" if seeds < 2 else "both seeds" if seeds < FEWEST else "95% interval"


def spread_text(metric: Mapping[str, Any]) -> str:
    """The spread over the seeds of a metric of summary.json: its interval; with two seeds, both values."""
    values = metric["values"]
    return ", ".join(map(number, values)) if len(values) == 2 else interval(metric["ci95"])
