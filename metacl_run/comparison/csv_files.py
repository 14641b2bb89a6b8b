"""The comparison for other programs: CSV in long form, numbers unrounded, an empty field where there is none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from math import isnan
from typing import Any

from metacl_run.comparison.cell_text import Scored
from metacl_run.layout.grid import csv_text

COLUMNS = {
    "scores.csv": ("section", "algorithm", "metric", "seeds", "mean", "low", "high", "iqm"),
    "pairs.csv": ("section", "metric", "first", "second", "seeds", "mean", "low", "high", "p", "p_holm"),
    "seeds.csv": ("section", "algorithm", "metric", "seed", "value"),
    "configurations.csv": ("section", "algorithm", "seeds", "directories", "settings"),
}
"""A line a configuration and metric; a pair and metric; a seed and metric; a configuration, its settings as JSON."""


def csv_files(every: Sequence[Scored]) -> dict[str, str]:
    """By file name, their text (RFC 4180, lines ended by "\\n")."""
    rows: dict[str, list[Sequence[Any]]] = {name: [columns] for name, columns in COLUMNS.items()}
    for scored in every:
        title = scored.section.title
        for label in scored.labels:
            configuration = scored.section.configurations[label]
            directories = " ".join(str(entry.directory) for entry in configuration.entries)
            listed = " ".join(map(str, configuration.seeds))
            settings = json.dumps(configuration.settings, sort_keys=True)
            rows["configurations.csv"].append((title, label, listed, directories, settings))
            for metric in scored.metrics:
                rows["scores.csv"].append((title, label, metric, *scored.lines[metric][label]))
                values = zip(configuration.seeds, scored.values[metric][label].tolist(), strict=True)
                rows["seeds.csv"] += [(title, label, metric, seed, value) for seed, value in values]
        rows["pairs.csv"] += [(title, *pair) for pair in scored.pairs]
    return {name: _text(lines) for name, lines in rows.items()}


def _text(rows: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(map(_field, row) for row in rows)
    return file.getvalue()


def _field(value: Any) -> Any:
    """Texts as `csv_text` has them, and nothing for a number that is not defined."""
    if isinstance(value, str):
        return csv_text(value)
    return None if isinstance(value, float) and isnan(value) else value
