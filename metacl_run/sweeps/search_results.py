"""What a search has found: search.json, the best trials on the terminal, and the command that tests the best."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.config.load import command_line
from metacl_run.core.files import write_text_atomically
from metacl_run.sweeps.search import SPLIT, Search

RESULTS = "search.json"
DIVERGED = "diverged"
"""The state of a trial whose loss was not finite."""
SHOWN = 10
"""Trials that are listed at the end, the best first, and after them as many that diverged."""


@dataclass(frozen=True)
class TrialEntry:
    """A trial as search.json lists it.

    Attributes:
        trial: its number, from 1.
        state: "completed", "pruned", "diverged", "failed", "running" or "waiting".
        value: of the metric, where it completed.
        params: the settings that it tries, by their keys, as they are written on the command line.
        run: the directory of its run.
    """

    trial: int
    state: str
    value: float | None
    params: dict[str, Any]
    run: str | None


def write_results(search: Search, trials: Sequence[TrialEntry]) -> None:
    """Writes search.json, and prints the best trials, those that diverged, and the command that tests the best."""
    ranked = _ranked(search, trials)
    best = None
    if ranked:
        words = [line for line in search.overrides(ranked[0].params) if not line.startswith(f"{SPLIT}=")]
        best = {**dataclasses.asdict(ranked[0]), "command": command_line(words, search.user_folder)}
    content = {
        "metric": search.metric,
        "direction": search.direction,
        "split": "validation",
        "searched": [dimension.text for dimension in search.dimensions],
        "best": best,
        "trials": [dataclasses.asdict(trial) for trial in trials],
    }
    write_text_atomically(search.folder / RESULTS, json.dumps(content, indent=2) + "\n")
    Console().print(_table(search, ranked, trials))
    if best is not None:
        print(f"to measure the best on test data (an interval needs three seeds or more): {best['command']}")
    print(f"results   {search.folder / RESULTS}")


def _ranked(search: Search, trials: Sequence[TrialEntry]) -> list[TrialEntry]:
    """Returns the completed trials, the best first."""
    sign = -1 if search.direction == "maximize" else 1
    values = {trial.trial: sign * trial.value for trial in trials if trial.value is not None}
    return sorted((trial for trial in trials if trial.trial in values), key=lambda trial: (values[trial.trial], trial.trial))


def _table(search: Search, ranked: Sequence[TrialEntry], trials: Sequence[TrialEntry]) -> Table:
    states = [trial.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    table = Table(title=f"search: {counts or 'no trials'}", title_justify="left", box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column(f"{search.metric} (validation)", justify="right")
    for dimension in search.dimensions:
        table.add_column(dimension.key, justify="right")
    diverged = [trial for trial in trials if trial.state == DIVERGED]
    for trial in [*ranked[:SHOWN], *diverged[:SHOWN]]:
        settings = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.params.values())
        score = DIVERGED if trial.value is None else f"{trial.value:.4g}"
        table.add_row(str(trial.trial), score, *(escape(text) for text in settings))
    if len(diverged) > SHOWN:
        table.add_row("", f"{len(diverged) - SHOWN} more {DIVERGED}")
    return table
