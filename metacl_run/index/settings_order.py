"""The order of the settings in the rows of an index: those in which the runs of a search or sweep differ stand first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from metacl_run.index.run_row import RunRow

OF_MACHINES = ("gpu", "hydra")
"""Groups of settings that say where a run is computed."""
CELL = re.compile(r"<td><code>(.*?)</code>")
BEFORE_A_SETTING = re.compile(r" (?=[~+]*[\w./@]+=)")


def with_settings_in_order(rows: Sequence[RunRow]) -> list[RunRow]:
    """Returns the rows with their settings in order.

    First come those with most different values among the runs of the same data and algorithm, where a run without a setting
    has a value of its own; last those of machines. Settings with equally many are in the order of their names, choices first.
    """
    groups: dict[str, list[list[str]]] = defaultdict(list)
    settings = [_settings(row) for row in rows]
    for row, words in zip(rows, settings, strict=True):
        groups[_group(row)].append(words)
    counts = {group: _different_values(of_group) for group, of_group in groups.items()}
    return [_with_settings(row, words, counts[_group(row)]) for row, words in zip(rows, settings, strict=True)]


def _with_settings(row: RunRow, words: Sequence[str], different: dict[str, int]) -> RunRow:
    words = sorted(words, key=lambda word: _place(word, different))
    cell = Markup("<td><code>{}</code>").format(" ".join(words))
    return row._replace(line=CELL.sub(lambda match: str(cell), row.line, count=1))


def _group(row: RunRow) -> str:
    return row.run.rpartition("/")[0]


def _settings(row: RunRow) -> list[str]:
    match = CELL.search(row.line)
    text = "" if match is None else str(Markup(match[1]).unescape())
    return BEFORE_A_SETTING.split(text) if text else []


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("~+")


def _different_values(every: Sequence[Sequence[str]]) -> dict[str, int]:
    """Returns by key the number of its different values."""
    rows = [{_key(word): word for word in words} for words in every]
    keys = {key for row in rows for key in row}
    return {key: len({row.get(key) for row in rows}) for key in keys}


def _place(word: str, different: dict[str, int]) -> tuple[bool, int, bool, str]:
    key = _key(word)
    return key.partition(".")[0] in OF_MACHINES, -different[key], "." in key, key
