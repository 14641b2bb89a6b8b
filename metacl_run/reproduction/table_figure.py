"""Draws ours, beside the paper's where there is one: one row of marks for every cell, one panel for every column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes

from metacl_run.layout.image_files import save
from metacl_run.layout.style import BLUE, GREY, INK, ORANGE, PALE, RC, page, parts
from metacl_run.reproduction.paper_table import PaperTable
from metacl_run.reproduction.results import Result
from metacl_run.reproduction.table_notes import NO_TWIN

PANELS_ACROSS = 3
ROW, PANEL_WIDTH, ACROSS, DOWN = 0.27, 2.1, 0.35, 0.75
"""Inches: height of a cell, width of a panel, gaps."""


def draw(folder: Path, table: PaperTable, results: Sequence[Result], size: str) -> list[Path]:
    """Writes figure.svg and figure.png; returns their paths."""
    columns = list(dict.fromkeys(result.cell.column for result in results))
    rows = list(dict.fromkeys(result.row for result in results))
    across = min(PANELS_ACROSS, len(columns))
    down = math.ceil(len(columns) / across)
    longest = max(map(len, rows))
    with matplotlib.rc_context(RC):
        figure, axes = page(
            table.title,
            "; ".join((size, table.unit.replace("mse", "mean squared error"), *([NO_TWIN] if table.paper is None else []))),
            f"Blue: ours with its 95% interval (over seeds; with one seed over what it was tested on); of two seeds, both as "
            f"small dots.{_orange(table)} A row without blue has no finished run.",
            (across * PANEL_WIDTH + (across - 1) * ACROSS, down * (len(rows) * ROW + 0.1) + (down - 1) * DOWN),
            left=0.25 + 0.075 * longest,
        )
        panels = parts(figure, axes, down, across, ACROSS, DOWN)
        for i, panel in enumerate(panels):
            if i >= len(columns):
                panel.remove()
                continue
            _panel(panel, columns[i], rows, [r for r in results if r.cell.column == columns[i]], named=i % across == 0)
        return save(figure, folder / "figure")


def _orange(table: PaperTable) -> str:
    if table.paper is None:
        return ""
    return f" Orange: the paper's{'' if table.spread is None else f', with {table.spread}'}."


def _panel(axes: Axes, column: str, rows: Sequence[str], results: Sequence[Result], *, named: bool) -> None:
    axes.set_title(column, fontsize=9, loc="left", color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows if named else [""] * len(rows))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, lw=0.6)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=4))
    below = 0.14 if any(result.cell.published is not None for result in results) else 0.0  # of ours, where both share a row
    for result in results:
        y, cell, ours = rows.index(result.row), result.cell, result.ours
        if cell.published is not None:
            axes.errorbar(cell.published, y - below, xerr=cell.spread, fmt="D", color=ORANGE, ms=4, lw=1.2, capsize=0)
        if ours is not None:
            if len(ours.values) == 2:
                axes.plot(ours.values, [y + below] * 2, "o", color=BLUE, ms=2.5, alpha=0.6)
            low, high = (ours.mean if end is None else end for end in (ours.low, ours.high))
            axes.errorbar(
                ours.mean, y + below, xerr=[[ours.mean - low], [high - ours.mean]], fmt="o", color=BLUE, ms=4.5, lw=1.2
            )
        elif cell.published is not None:
            axes.annotate(
                result.verdict, (cell.published, y + below), (0, 0), textcoords="offset points", fontsize=7, color=GREY,
                ha="center", va="center",
            )  # fmt: skip
