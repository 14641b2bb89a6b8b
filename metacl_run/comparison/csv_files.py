"""The comparison for other programs: CSV files in long form."""

from __future__ import annotations

import json
from collections.abc import Sequence

from metacl_run.comparison.section_costs import cost_of_row
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.layout.csv_text import Field, csv_text
from metacl_run.storage.run_cost import RunCost

COLUMNS = {
    "scores.csv": ("section", "algorithm", "metric", "seeds", "mean", "low", "high", "iqm"),
    "pairs.csv": ("section", "metric", "first", "second", "seeds", "mean", "low", "high", "p", "p_holm"),
    "seeds.csv": ("section", "algorithm", "metric", "seed", "value"),
    "configurations.csv": ("section", "algorithm", "seeds", "directories", "settings"),
    "costs.csv": ("section", "algorithm", *RunCost._fields),
}
"""A line for each configuration and metric; pair and metric; seed and metric; configuration, its settings as JSON;
configuration, what one seed of it cost to train."""


def csv_files(every: Sequence[SectionScores]) -> dict[str, str]:
    """Returns their texts by file name."""
    rows: dict[str, list[Sequence[Field]]] = {name: [columns] for name, columns in COLUMNS.items()}
    for scores in every:
        title = scores.section.title
        for label in scores.labels:
            configuration = scores.section.configurations[label]
            directories = " ".join(str(entry.directory) for entry in configuration.entries)
            seeds = " ".join(map(str, configuration.seeds))
            settings = json.dumps(configuration.settings, sort_keys=True)
            rows["configurations.csv"].append((title, label, seeds, directories, settings))
            costs = (cost_of_row(configuration, name) for name in RunCost._fields)
            rows["costs.csv"].append((title, label, *("" if cost is None else cost for cost in costs)))
            for metric in scores.metrics:
                rows["scores.csv"].append((title, label, metric, *scores.statistics[metric][label]))
                values = zip(configuration.seeds, scores.values[metric][label].tolist(), strict=True)
                rows["seeds.csv"] += [(title, label, metric, seed, value) for seed, value in values]
        rows["pairs.csv"] += [(title, *pair) for pair in scores.pairs]
    return {name: csv_text(lines) for name, lines in rows.items()}
