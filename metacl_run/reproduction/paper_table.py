"""A table as its YAML file describes it: the runs, the cells that they fill, and the published numbers beside them.

A table that no paper has (`paper: null`) is ours alone: neither it nor a cell of it has anything that a paper would print.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError

Size = Literal["paper", "reduced", "smoke"]
Unit = Literal["percent", "fraction", "mse"]
SpreadIs = Literal["std", "ci95", "not over seeds"]
Confidence = Literal["verbatim-source", "secondary", "memory"]
CONFIDENCE_WORDS: dict[Confidence, str] = {
    "verbatim-source": "seen in the paper, its code or its figures",
    "secondary": "seen in somebody else's text quoting the paper",
    "memory": "written down from memory; nothing at hand confirms it",
}
SMOKE_SEEDS = [0]
OF_A_PAPER = ("arxiv", "where", "spread", "spread_is", "published_seeds", "tolerance")
"""Settings of a table that describe the paper's side: a table with `paper` has them all, a table of ours none."""
OF_A_PUBLISHED_NUMBER = ("published", "spread", "published_seeds", "confidence", "source", "tolerance", "digitised")
"""Settings of a cell that describe its published number: without that number, none of them."""


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """The metric that gives our number, and the published one beside it.

    Attributes:
        column: name of its column.
        metric: a name among the metrics of summary.json; with `at`, one of "accuracy", "memory", "joint_accuracy" (or mse).
        at: the number of classes after which it is taken, under `meta_continual`; None: at the end.
        after_steps: the number of inner steps after which it is taken, of a run with protocol.by_step=true whose score, or
            transductive score, `metric` is; None: all.
        published, spread: in the table's unit; None: nothing is printed, or the table is ours alone.
        published_seeds: number of seeds, where it is not the table's.
        confidence: how sure the published number is; goes with `published`.
        source: where it was read.
        tolerance: where it is not the table's.
        digitised: whether it was read off a figure.
        note: a remark.
    """

    column: str
    metric: str
    at: int | None = None
    after_steps: int | None = None
    published: float | None = None
    spread: float | None = None
    published_seeds: int | None = None
    confidence: Confidence | None = None
    source: str | None = None
    tolerance: float | None = None
    digitised: bool = False
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class PaperRun:
    """One run of ours, which computes all its seeds, and the cells that it fills.

    Attributes:
        row: name of its row.
        experiment: an option of configs/experiment; None: there is none that could compute it, as a departure says.
        overrides: settings on top of the experiment.
        smoke, reduced: further overrides at that size, after the table's.
        seeds: seeds at size paper, where they are not the table's.
        departures: known differences of this run from the paper.
        cells: the cells that it fills.
    """

    row: str
    experiment: str | None
    cells: list[Any]
    overrides: list[str] = dataclasses.field(default_factory=list)
    smoke: list[str] = dataclasses.field(default_factory=list)
    reduced: list[str] = dataclasses.field(default_factory=list)
    seeds: list[int] | None = None
    departures: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of a paper, or one of ours that has no published twin.

    Attributes:
        title, paper, arxiv, where: the table's title, the paper, and the place in it; without a paper, None and nothing that
            `OF_A_PAPER` names.
        unit: unit of published numbers, spreads and tolerances.
        spread: the kind of the published spreads, in words; None: none are printed.
        spread_is: the same for the verdict: a standard deviation over seeds ("std"), half of a 95% interval over seeds
            ("ci95"), or something that is not over seeds, such as an interval over the test episodes of one model.
        published_seeds: number of seeds behind a published mean; 1 where the paper does not say.
        seeds, reduced_seeds: seeds of every run at size paper and at size reduced.
        tolerance: how far two means may lie apart and still be called the same; see `results.verdict`.
        departures: known differences from the paper that all cells share; in a table of ours what a reader must know.
        smoke, reduced: overrides of every run at that size.
        runs: our runs, as `PaperRun`.
    """

    title: str
    paper: str | None
    unit: Unit
    seeds: list[int]
    reduced_seeds: list[int]
    departures: list[str]
    smoke: list[str]
    reduced: list[str]
    runs: list[Any]
    arxiv: str | None = None
    where: str = ""
    spread: str | None = None
    spread_is: SpreadIs = "not over seeds"
    published_seeds: int = 1
    tolerance: float = 0.0

    def overrides_of(self, run: PaperRun, size: Size) -> list[str]:
        """Returns the overrides of a run at a size."""
        at_size = {"paper": [], "reduced": [*self.reduced, *run.reduced], "smoke": [*self.smoke, *run.smoke]}[size]
        seeds = {"paper": run.seeds or self.seeds, "reduced": self.reduced_seeds, "smoke": SMOKE_SEEDS}[size]
        return [f"experiment={run.experiment}", *run.overrides, *at_size, f"seeds={str(seeds).replace(' ', '')}"]


def parse(node: Mapping[str, Any]) -> PaperTable:
    """Checks the content of a YAML file and returns its table.

    Raises:
        ConfigError: a key is missing, unknown or of the wrong type, or a published number is half there; the message has the
            full key.
    """
    table: PaperTable = _fill_with_defaults(PaperTable, node, "table")
    _check_papers_side(node)
    runs = []
    for i, entry in enumerate(table.runs):
        run = _fill_with_defaults(PaperRun, entry, f"table.runs[{i}]")
        cells = [_cell(cell, f"table.runs[{i}].cells[{j}]", table) for j, cell in enumerate(run.cells)]
        runs.append(dataclasses.replace(run, cells=cells))
    if not any(run.cells for run in runs):
        raise ConfigError("table.runs: must have at least one run with a cell")
    places = [(run.row, cell.column) for run in runs for cell in run.cells]
    twice = [f"{row}, {column}" for row, column in dict.fromkeys(places) if places.count((row, column)) > 1]
    if twice:
        raise ConfigError(f"table: has two cells at {'; '.join(twice)}")
    return dataclasses.replace(table, runs=runs)


def _check_papers_side(node: Mapping[str, Any]) -> None:
    """Raises ConfigError unless the node has all settings of the paper's side, or none and `paper: null`."""
    if node["paper"] is None:
        extra = [key for key in OF_A_PAPER if node.get(key) is not None]
        if extra:
            raise ConfigError(f"table.paper=null: a table without a paper has no {', '.join(extra)} either")
    else:
        missing = [f"table.{key}" for key in OF_A_PAPER if key not in node]
        if missing:
            raise ConfigError(f"{', '.join(missing)}: is missing; only a table of ours (table.paper=null) goes without")


def _cell(node: Any, where: str, table: PaperTable) -> PaperCell:
    cell: PaperCell = _fill_with_defaults(PaperCell, node, where)
    there = [key for key in OF_A_PUBLISHED_NUMBER if getattr(cell, key) not in (None, False)]
    if there and table.paper is None:
        raise ConfigError(f"{where}: has {', '.join(there)}, but table.paper=null: name the paper, or leave them out")
    if there and (cell.published is None or cell.confidence is None):
        raise ConfigError(
            f"{where}: has {', '.join(there)}: a published number is `published` and `confidence` at least; "
            f"where nothing is printed, leave all of {', '.join(OF_A_PUBLISHED_NUMBER)} out"
        )
    return cell


def _fill_with_defaults(cls: type, node: Any, where: str) -> Any:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{where}: must have the settings {', '.join(field.name for field in dataclasses.fields(cls))}")
    defaults = {
        field.name: field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    }
    return fill(cls, {**defaults, **node}, where)
