"""Reads the runs of folders and compares them: from directories to the tables of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from metacl_run.comparison.configurations import Configuration, check_keys, configurations, without_score
from metacl_run.comparison.document import Comparison
from metacl_run.comparison.entries import read_entries
from metacl_run.comparison.section_scores import check_against, check_metrics, score_section
from metacl_run.comparison.sections import sections
from metacl_run.core.errors import UserError
from metacl_run.storage.find_runs import find_runs


class NothingToCompareError(UserError):
    """There are no runs, or none that can be compared.

    Attributes:
        left_out: a message for each run that cannot.
    """

    def __init__(self, message: str, left_out: Sequence[str]) -> None:
        super().__init__(message)
        self.left_out = tuple(left_out)


def compare(
    paths: Sequence[Path], metrics: Sequence[str] = (), by: Sequence[str] = (), against: str | None = None
) -> Comparison:
    """Reads and compares the runs of these folders.

    Args:
        paths: folders of runs, or run directories.
        metrics: names, empty for the usual ones.
        by: settings whose values get separate tables.
        against: an algorithm or a row, for pairs of it and every other alone.

    Raises:
        NothingToCompareError: there are no runs, or none that can be compared.
        UserError: there is no such metric, setting or row.
    """
    directories, unreadable = find_runs(paths)
    entries, refused = read_entries(directories)
    every = configurations(entries)
    left_out = [*unreadable, *refused]
    if not any(configuration.has_scores for configuration in every):
        none = f"none of the {len(directories)} runs can be compared" if directories else "no runs (searched for summary.json)"
        raise NothingToCompareError(f"{', '.join(map(str, paths))}: {none}", [*left_out, *_without_scores(every)])
    check_keys(every, by)
    tables = sections(every, by)
    comparable = [section for section in tables if any(row.has_scores for row in section.configurations.values())]
    check_metrics(comparable, metrics)
    check_against(comparable, against)
    rows = [row for section in comparable for row in section.configurations.values()]
    left_out += _without_scores(
        row for section in tables if section not in comparable for row in section.configurations.values()
    )
    notes = [note for row in rows for note in row.notes]
    runs = sum(len(row.entries) for row in rows)
    return Comparison([score_section(section, metrics, against) for section in comparable], runs, left_out, notes)


def _without_scores(rows: Iterable[Configuration]) -> list[str]:
    return [f"{entry.directory}: {without_score(entry)}" for row in rows for entry in row.entries]
