"""Compares summaries stored as results/<folder>/<experiment>.json with a paper's table; prints every cell and its verdict.

python scripts/stored_verdicts.py la_maml_mnist results/la_maml_mnist > results/la_maml_mnist/verdicts.md

Goes by the experiment's name alone, so only for tables whose every run has an experiment of its own, with the table's seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
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
    _refuse_shared_experiments(args.table, table)
    results = [result for run in table.runs for result in _results_of_run(table, run, args.folder)]
    sys.stdout.write(f"Cells: {counts(results)}.\n\n{to_markdown(detailed_grid(table, results, 'paper'))}")


def _refuse_shared_experiments(name: str, table: PaperTable) -> None:
    counts_by_name = Counter(run.experiment for run in table.runs if run.experiment is not None)
    shared = [f"{experiment} ({count} runs)" for experiment, count in counts_by_name.items() if count > 1]
    if shared:
        sys.exit(
            f"{name}: several of its runs share an experiment, so that <experiment>.json does not say which run it is of: "
            f"{', '.join(shared)}. `metacl-run table={name}` compares them"
        )


def _results_of_run(table: PaperTable, run: PaperRun, folder: Path) -> list[Result]:
    if run.experiment is None:
        return [Result(run.row, cell, "not offered", None, None, None) for cell in run.cells]
    path = folder / f"{run.experiment}.json"
    if not path.is_file():
        return [Result(run.row, cell, "not run", None, None, None) for cell in run.cells]
    summary = json.loads(path.read_bytes())
    seeds = run.seeds or table.seeds
    if summary["seeds"] != seeds:
        sys.exit(f"{path}: seeds={summary['seeds']}: must be {seeds}, the seeds of {run.row} in the table")
    return [of_cell(table, run, cell, summary, "paper", path.stem) for cell in run.cells]


if __name__ == "__main__":
    main()
