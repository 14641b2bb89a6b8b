"""Finds the stored runs of a paper's table at size smoke or reduced, so that nobody takes a trial for a result."""

from __future__ import annotations

import csv
from pathlib import Path

SIZES = ("smoke", "reduced")


def sizes_under(output_dir: Path) -> dict[str, str]:
    """Returns the size by "data/algo/run id", from the tables in the folder; files that cannot be read are skipped."""
    size_of: dict[str, str] = {}
    for size in SIZES:
        for path in sorted(output_dir.glob(f"tables/*/{size}/table.csv")):
            try:
                with open(path, encoding="utf-8", newline="") as file:
                    runs = [run for row in csv.DictReader(file) for run in (row.get("run") or "").split()]
            except (OSError, ValueError, csv.Error):
                continue
            size_of |= dict.fromkeys(runs, size)
    return size_of
