"""The order of the settings in the rows of an index: those in which the runs of a search or sweep differ stand first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from metacl_run.index.run_row import RunRow

OF_MACHINES = ("gpu", "hydra")
"""Groups of settings that say where a run is computed."""


def with_settings_in_order(rows: Sequence[RunRow]) -> list[RunRow]:
    """Returns the rows with their settings in order.

    First come those with most different values among the runs of the same data and algorithm, where a run without a setting
    has a value of its own; last those of machines. Settings with equally many are in the order of their names, choices first.
    """
    groups: dict[str, list[RunRow]] = defaultdict(list)
    for row in rows:
        groups[_group(row)].append(row)
    counts = {group: _different_values(of_group) for group, of_group in groups.items()}
    return [_in_order(row, counts[_group(row)]) for row in rows]


def _in_order(row: RunRow, different: dict[str, int]) -> RunRow:
    return row._replace(settings=tuple(sorted(row.settings, key=lambda setting: _place(setting, different))))


def _group(row: RunRow) -> str:
    return row.run.rpartition("/")[0]


def _key(setting: str) -> str:
    return setting.partition("=")[0].lstrip("~+")


def _different_values(rows: Sequence[RunRow]) -> dict[str, int]:
    """Returns by key the number of its different values."""
    values = [{_key(setting): setting for setting in row.settings} for row in rows]
    keys = {key for of_row in values for key in of_row}
    return {key: len({of_row.get(key) for of_row in values}) for key in keys}


def _place(setting: str, different: dict[str, int]) -> tuple[bool, int, bool, str]:
    key = _key(setting)
    return key.partition(".")[0] in OF_MACHINES, -different[key], "." in key, key
