"""What is said about one figure, and words that captions share."""

from __future__ import annotations

from typing import NamedTuple

from metacl_run.scoring.intervals import FEWEST
from metacl_run.storage.marks import episode_settings
from metacl_run.storage.read_run import Run, marks


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


def mean_words(run: Run) -> str:
    """What numbers are that are shown without a spread."""
    return f"Mean of {run.num_replicates} seeds." if run.num_replicates > 1 else "One seed."


def subtitle(run: Run) -> str:
    """Which run this is, for someone who meets the image alone."""
    seeds = run.summary["seeds"]
    listed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    settings = episode_settings(run.summary["protocol_kind"], run.config)
    shape = [f"{settings[key]}-{word}" for key, word in (("ways", "way"), ("shots", "shot")) if settings.get(key)]
    problem = f", {' '.join(shape)}" if shape else ""
    status = run.summary["status"]
    ended = "" if status == "completed" else f"  ·  run {status}"
    ended += "".join(f"  ·  {mark}" for mark in marks(run.summary))
    return f"{run.summary['algo']}  ·  {run.summary['model']}  ·  {run.summary['data']}{problem}  ·  {listed}{ended}"
