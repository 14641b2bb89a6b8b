"""What the runs of a table cost to train: a table, and a figure with ours beside each measure of cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas, sheet_panels
from metacl_run.layout.cost_words import BESIDE_SCORES, MEASURES, about_costs, cost_text
from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.image_files import ON_SCREEN, save
from metacl_run.layout.log_axis import log_axis
from metacl_run.layout.style import INK, LINE_COLOURS, MARKERS, PALE, RC, label_points
from metacl_run.reproduction.paper_table import PaperTable
from metacl_run.reproduction.results import Ours, Result
from metacl_run.reproduction.table_figure import metric_words
from metacl_run.scoring.intervals import FEWEST
from metacl_run.storage.run_cost import RunCost

COST_FIGURE = "cost"
"""The name of its files."""
PANEL_WIDTH, PANEL_HEIGHT, ACROSS, DOWN = 2.4, 1.7, 0.35, 0.75
"""Inches: a panel, gaps."""


class Point(NamedTuple):
    """One completed run in a panel."""

    row: str
    cost: RunCost
    ours: Ours


def costs_grid(results: Sequence[Result], size_words: str) -> Grid | None:
    """Returns a line for every run that was completed: what its training cost; None where none was."""
    columns: dict[tuple[str, RunCost, str], list[str]] = {}
    for result in results:
        if result.cost is not None:
            columns.setdefault((result.row, result.cost, result.run or ""), []).append(result.cell.column)
    if not columns:
        return None
    # Where a row took several runs, their columns tell them apart.
    apart = len(columns) > len({row for row, *_ in columns})
    rows = []
    for (row, cost, run), of_run in columns.items():
        of_which = [Cell("; ".join(of_run), is_words=True)] if apart else []
        costs = [Cell(cost_text(name, value)) for name, value in cost._asdict().items()]
        rows.append([Cell(row), *of_which, *costs, Cell(run, is_words=True)])
    headings = ["row", *(["columns"] if apart else []), *MEASURES.values(), "run"]
    return Grid(f"Costs of training ({size_words})", headings, rows, [about_costs(MEASURES, rows)])


def draw_costs(folder: Path, table: PaperTable, results: Sequence[Result], size_words: str) -> list[Path]:
    """Writes cost.svg and cost.png; returns their paths. Leaves none where no two rows can be compared."""
    for suffix in ON_SCREEN:
        (folder / f"{COST_FIGURE}.{suffix}").unlink(missing_ok=True)
    columns = columns_with_costs(results)
    measures = [
        measure
        for measure in BESIDE_SCORES
        if all((getattr(point.cost, measure) or 0) > 0 for points in columns.values() for point in points)
    ]
    if not columns or not measures:
        return []
    rows = [row for row in dict.fromkeys(result.row for result in results) if row in _rows(columns)]
    colours = {row: LINE_COLOURS[place % len(LINE_COLOURS)] for place, row in enumerate(rows)}
    markers = {row: MARKERS[place // len(LINE_COLOURS) % len(MARKERS)] for place, row in enumerate(rows)}
    across, down = len(measures), len(columns)
    with matplotlib.rc_context(RC):
        canvas = Canvas(
            size=(across * PANEL_WIDTH + (across - 1) * ACROSS, down * PANEL_HEIGHT + (down - 1) * DOWN),
            right=max(1.4, 0.5 + 0.076 * max(map(len, rows))),
            mosaic=tuple(tuple(range(line * across, (line + 1) * across)) for line in range(down)),
            gap=(ACROSS, DOWN),
        )
        figure, panels = sheet_panels(canvas, f"{table.title}: what ours cost", size_words, _caption(columns))
        for line, (column, points) in enumerate(columns.items()):
            cell = next(result.cell for result in results if result.cell.column == column)
            of_column = panels[line * across : (line + 1) * across]
            for axes, measure in zip(of_column, measures, strict=True):
                for row, cost, ours in points:
                    _point(axes, getattr(cost, measure), ours, colours[row], markers[row])
                log_axis(axes, "x")
                axes.grid(axis="y", color=PALE, lw=0.6)
                axes.set_xlabel(MEASURES[measure] if line == down - 1 else "")
                axes.sharey(of_column[0])
                axes.tick_params(labelleft=axes is of_column[0])
            of_column[0].set_title(column, fontsize=9, loc="left", color=INK)
            of_column[0].set_ylabel(metric_words(table, cell))
        handles = [
            matplotlib.lines.Line2D([], [], color=colours[row], marker=markers[row], ms=5, ls="", label=row) for row in rows
        ]
        panels[across - 1].legend(
            handles=handles, frameon=False, fontsize=label_points(), handletextpad=0.2, borderaxespad=0.2, loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )  # fmt: skip
        return save(figure, folder / COST_FIGURE)


def columns_with_costs(results: Sequence[Result]) -> dict[str, list[Point]]:
    """Returns the points of every column that is the first of a run, where two rows or more have one."""
    columns: dict[str, list[Point]] = {}
    for result in _first_of_runs(results):
        if result.ours is not None and result.cost is not None:
            columns.setdefault(result.cell.column, []).append(Point(result.row, result.cost, result.ours))
    return {column: points for column, points in columns.items() if len({point.row for point in points}) > 1}


def _first_of_runs(results: Sequence[Result]) -> Iterator[Result]:
    """Yields the first cell of every run: the others measure the same training."""
    known = set()
    for result in results:
        if (result.row, result.run) not in known:
            known.add((result.row, result.run))
            yield result


def _rows(columns: dict[str, list[Point]]) -> set[str]:
    return {point.row for points in columns.values() for point in points}


def _caption(columns: dict[str, list[Point]]) -> str:
    counts = {len(point.ours.values) for points in columns.values() for point in points}
    bars = " Bars: the 95% interval over seeds." if max(counts) >= FEWEST else ""
    return (
        f"A point for every run that was completed, costs on logarithmic axes.{bars} The table of costs says what is counted."
    )


def _point(axes: Axes, cost: float, ours: Ours, colour: str, marker: str) -> None:
    axes.plot(cost, ours.mean, marker, color=colour, ms=5, zorder=3)
    if len(ours.values) >= FEWEST and ours.low is not None and ours.high is not None:
        axes.vlines(cost, ours.low, ours.high, color=colour, lw=1.2, zorder=2)
