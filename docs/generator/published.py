"""Published numbers of an algorithm beside ours, and our stored runs: from configs/table and results/ alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metacl_run.config.option_files import OptionFiles
from metacl_run.reproduction.paper_table import CONFIDENCE_WORDS, PaperCell, PaperRun, PaperTable, parse

RESULTS = Path(__file__).parents[2] / "results"


class Published(NamedTuple):
    """One published number and what there is of ours."""

    table: str
    paper: str
    place: str
    """Row and column."""
    published: str
    ours: str
    verdict: str
    confidence: str


def published_results(files: OptionFiles) -> dict[str, list[Published]]:
    """Every published number that a paper's table of configs/table has, by algorithm."""
    numbers: dict[str, list[Published]] = {}
    for option in files.all("table"):
        table = parse({key: setting.value for key, setting in option.settings.items()})
        for run in table.runs:
            algo = "" if run.experiment is None else files.option("experiment", run.experiment).chooses.get("algo", "")
            cells = [_published(option.name, table, run, cell) for cell in run.cells if cell.published is not None]
            numbers.setdefault(algo, []).extend(cells)
    return numbers


def _published(name: str, table: PaperTable, run: PaperRun, cell: PaperCell) -> Published:
    ours, verdict = _ours(name, run, cell)
    spread = "" if cell.spread is None else f" ± {cell.spread:g}"
    confidence = "" if cell.confidence is None else CONFIDENCE_WORDS[cell.confidence].split(";")[0]
    where = f"{table.title}, {run.row}, {cell.column}"
    return Published(name, table.paper, where, f"{cell.published:g}{spread}", ours, verdict, confidence)


def _ours(name: str, run: PaperRun, cell: PaperCell) -> tuple[str, str]:
    """Our number and its verdict, from a stored table; empty where there is none."""
    for size in ("paper", "reduced"):
        folder = RESULTS / "tables" / (name if size == "paper" else f"{name}_{size}")
        for line in _rows(folder / "table.csv"):
            if (line["row"], line["column"]) == (run.row, cell.column) and line["ours mean"]:
                low, high = (float(line[key]) if line[key] else None for key in ("ours low", "ours high"))
                return _interval(float(line["ours mean"]), low, high), line["verdict"]
    return "", ""


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _interval(mean: float, low: float | None, high: float | None) -> str:
    return f"{mean:.3g}" if low is None or high is None else f"{mean:.3g} ({low:.3g} to {high:.3g})"


class StoredSummary(NamedTuple):
    """One summary.json under results/."""

    path: str
    """Under results/."""
    content: dict[str, Any]

    @property
    def score(self) -> str:
        """The score of the run with its interval."""
        return interval_of(self.content["metrics"][self.content.get("score", "accuracy")])


def interval_of(metric: Mapping[str, Any]) -> str:
    """A metric of a summary: its mean, with the 95% interval over seeds from three seeds on."""
    low, high = metric["ci95"] if len(metric["values"]) > 2 else (None, None)
    mean = f"{metric['mean']:.3f}"
    return mean if low is None else f"{mean} ({low:.3f} to {high:.3f})"


def stored_summaries() -> list[StoredSummary]:
    """All summaries of runs under results/, by path."""
    paths = sorted(RESULTS.rglob("*.json"))
    contents = [(str(path.relative_to(RESULTS)), json.loads(path.read_bytes())) for path in paths]
    return [StoredSummary(path, content) for path, content in contents if isinstance(content, dict) and "run_id" in content]
