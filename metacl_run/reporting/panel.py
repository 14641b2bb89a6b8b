"""What is said about one figure, and words that captions share."""

from __future__ import annotations

from typing import NamedTuple

from metacl_run.intervals import FEWEST
from metacl_run.reporting.collect import Run


class Panel(NamedTuple):
    name: str
    """File name without suffix."""
    title: str
    caption: str
    """One line, drawn under the axes."""
    explanation: str
    """How to read the figure; for the report."""


def spread_words(run: Run) -> str:
    """What lines and bands are."""
    if run.num_replicates == 1:
        return "One seed, so no interval."
    if run.num_replicates < FEWEST:
        return f"Mean of {run.num_replicates} seeds; thin lines: each seed."
    return f"Mean of {run.num_replicates} seeds with its 95% interval (Student t)."
