"""Joins runs that differ only in their seeds (and in what changes no metric) into configurations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metacl_run.comparison.entries import Entry
from metacl_run.core.errors import UserError, nearest


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Every seed of one config.

    Attributes:
        settings: by full keys.
        where: by seed, in increasing order, the run that has it and its place among that run's seeds.
        notes: what a reader should know of how its seeds were joined.
    """

    settings: dict[str, Any]
    where: dict[int, tuple[Entry, int]]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.where)

    @property
    def diverged(self) -> tuple[int, ...]:
        return tuple(seed for seed, (entry, _) in self.where.items() if entry.status == "diverged")

    @property
    def entries(self) -> list[Entry]:
        return list({entry.directory: entry for entry, _ in self.where.values()}.values())

    @property
    def score(self) -> str:
        return self.entries[0].score

    @property
    def kind(self) -> str:
        return self.entries[0].kind

    @property
    def has_scores(self) -> bool:
        """Whether any seed has a value of any metric."""
        return any(np.isfinite(values).any() for entry in self.entries for values in entry.metrics.values())

    def values(self, metric: str) -> np.ndarray:
        """Returns [seeds], NaN where a seed did not reach the metric."""
        missing = (np.nan,)
        return np.array([entry.metrics.get(metric, missing * len(entry.seeds))[i] for entry, i in self.where.values()])


def configurations(entries: Iterable[Entry]) -> list[Configuration]:
    """Joins entries in the order of their directories, completed ones first; a seed that comes twice is taken from the first.

    So a seed is not lost that completed in one run, and whose other run was ended by a seed that diverged."""
    by_identity: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.status != "completed"):
        by_identity[entry.identity].append(entry)
    return [_joined(same) for same in by_identity.values()]


def without_score(entry: Entry) -> str:
    """Says why a run has no score."""
    if entry.status != "diverged":
        return "has no score"
    when = re.search(r" at ([\w-]+ \d+)", entry.error or "")
    return f"diverged {f'at {when[1]}, ' if when else ''}before it had a score"


def _joined(entries: Sequence[Entry]) -> Configuration:
    where: dict[int, tuple[Entry, int]] = {}
    notes = []
    for entry in entries:
        for place, seed in enumerate(entry.seeds):
            if seed not in where:
                where[seed] = entry, place
                continue
            first, first_place = where[seed]
            equal = entry.metrics.keys() == first.metrics.keys() and all(
                np.array_equal(values[place], first.metrics[name][first_place], equal_nan=True)
                for name, values in entry.metrics.items()
            )
            numbers = "with the same numbers" if equal else "with other numbers"
            notes.append(f"{entry.directory}: left out for seed {seed}, which {first.directory} has too, {numbers}")
    return Configuration(settings=entries[0].settings, where=dict(sorted(where.items())), notes=tuple(notes))


def check_keys(every: Sequence[Configuration], by: Sequence[str]) -> None:
    """Refuses a setting that no run has.

    Raises:
        UserError: the key and the nearest one.
    """
    known = sorted({key for configuration in every for key in configuration.settings})
    unknown = [f"--by {key}: no run has such a setting.{nearest(key, known)}" for key in by if key not in known]
    if unknown:
        raise UserError("\n".join(unknown))
