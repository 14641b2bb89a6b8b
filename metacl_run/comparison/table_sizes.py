"""Which stored runs are a paper's table at size smoke or reduced, so that no trial goes for a result."""

from __future__ import annotations

import csv
from pathlib import Path

SIZES = ("smoke", "reduced")


def sizes_under(output_dir: Path) -> dict[str, str]:
    """The size by "data/algo/run id", from the tables that were written there; a page that cannot be read says nothing."""
    found: dict[str, str] = {}
    for size in SIZES:
        for path in sorted(output_dir.glob(f"tables/*/{size}/table.csv")):
            try:
                with open(path, encoding="utf-8", newline="") as file:
                    runs = [row.get("run") for row in csv.DictReader(file)]
            except (OSError, ValueError, csv.Error):
                continue
            found |= {run: size for run in runs if run}
    return found
