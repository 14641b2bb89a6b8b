"""Compares summaries stored as results/<folder>/<experiment>.json with a paper's table; prints every cell and its verdict.

python scripts/stored_verdicts.py la_maml_mnist results/la_maml_mnist > results/la_maml_mnist/verdicts.md
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from metacl_run.config.components import config_dir
from metacl_run.layout.grid import to_markdown
from metacl_run.reproduction.pages import counts, detailed_grid
from metacl_run.reproduction.paper_table import PaperRun, PaperTable, parse
from metacl_run.reproduction.results import Result, of_cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="a name in configs/table")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    table = parse(yaml.safe_load((config_dir() / "table" / f"{args.table}.yaml").read_text(encoding="utf-8")))
    results = [result for run in table.runs for result in _results_of_run(table, run, args.folder)]
    sys.stdout.write(f"Cells: {counts(results)}.\n\n{to_markdown(detailed_grid(table, results, 'paper'))}")


def _results_of_run(table: PaperTable, run: PaperRun, folder: Path) -> list[Result]:
    path = folder / f"{run.experiment}.json"
    if not path.is_file():
        return [Result(run.row, cell, "not run", None, None, None) for cell in run.cells]
    summary = json.loads(path.read_bytes())
    return [of_cell(table, run, cell, summary, "paper", path.stem) for cell in run.cells]


if __name__ == "__main__":
    main()
