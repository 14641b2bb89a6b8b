"""Draws ours, beside the paper's where there is one: one row of marks for every cell, one panel for every column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.image_files import save
from metacl_run.layout.style import BLUE, GREY, INK, ORANGE, PALE, RC, page, parts
from metacl_run.reproduction.paper_table import PaperCell, PaperTable
from metacl_run.reproduction.results import Ours, Result
from metacl_run.reproduction.table_notes import NO_TWIN
from metacl_run.reproduction.table_ranges import papers_bar, possible, ranges
from metacl_run.scoring.intervals import FEWEST, Bounds
from metacl_run.scoring.metric_table import BEFORE

PANELS_ACROSS = 3
ROW, PANEL_WIDTH, ACROSS, DOWN = 0.27, 2.1, 0.35, 0.95
"""Inches: height of a cell, width of a panel, gaps."""
FOR_WORDS = 0.8
"""Inches right of a panel that hold a verdict."""
MARGIN = 0.06
"""Of an axis, beyond its values."""
METRIC_WORDS = {"mse": "mean squared error", "bti": "BTI", "bwt": "BWT", "fwt": "FWT"}
UNITS = {"percent": ", percent", "fraction": "", "mse": ""}


def draw(folder: Path, table: PaperTable, results: Sequence[Result], size: str) -> list[Path]:
    """Writes figure.svg and figure.png; returns their paths."""
    columns = list(dict.fromkeys(result.cell.column for result in results))
    rows = list(dict.fromkeys(result.row for result in results))
    across = 2 if len(columns) == 4 else min(PANELS_ACROSS, len(columns))
    down = math.ceil(len(columns) / across)
    words = words_beside(results, across)
    gap = FOR_WORDS if any(i % across != across - 1 and columns[i] in words for i in range(len(columns))) else ACROSS
    limits = ranges(table, results)
    outside = any(_is_outside(table, result, limits[result.cell.column]) for result in results if result.ours is not None)
    with matplotlib.rc_context(RC):
        figure, axes = page(
            table.title,
            "; ".join((size, *([NO_TWIN] if table.paper is None else []))),
            caption(table, results, outside=outside),
            (across * PANEL_WIDTH + (across - 1) * gap, down * (len(rows) * ROW + 0.1) + (down - 1) * DOWN),
            left=0.25 + 0.075 * max(map(len, rows)),
            right=FOR_WORDS if words else 0.3,
        )
        panels = parts(figure, axes, down, across, gap, DOWN)
        for i, panel in enumerate(panels):
            if i >= len(columns):
                panel.remove()
                continue
            of_column = [result for result in results if result.cell.column == columns[i]]
            _panel(panel, table, rows, of_column, limits.get(columns[i]), named=i % across == 0)
            for row, text in words.get(columns[i], {}).items():
                panel.annotate(
                    text, (1.0, rows.index(row)), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                    fontsize=7.5, color=GREY, va="center", annotation_clip=False,
                )  # fmt: skip
        return save(figure, folder / "figure")


def words_beside(results: Sequence[Result], across: int) -> dict[str, dict[str, str]]:
    """Returns by column and row why there is no number of ours: what holds for all cells side by side at the last of them."""
    columns = list(dict.fromkeys(result.cell.column for result in results))
    cells = {(result.row, result.cell.column) for result in results}
    missing = {(result.row, result.cell.column): _why_missing(result) for result in results if result.ours is None}
    words: dict[str, dict[str, str]] = {}
    for start in range(0, len(columns), across):
        side_by_side = columns[start : start + across]
        for row in dict.fromkeys(result.row for result in results):
            of_row = {column: missing[row, column] for column in side_by_side if (row, column) in missing}
            whole = all(column in of_row for column in side_by_side if (row, column) in cells)
            if whole and len(set(of_row.values())) == 1:
                of_row = dict([list(of_row.items())[-1]])
            for column, text in of_row.items():
                words.setdefault(column, {})[row] = text
    return words


def _why_missing(result: Result) -> str:
    """The verdict; a smaller run may end before it reaches a cell."""
    return "not reached" if result.verdict in ("smoke", "reduced") else result.verdict


def caption(table: PaperTable, results: Sequence[Result], *, outside: bool) -> str:
    """Says what the marks are: only of those that are drawn."""
    ours = [result.ours for result in results if result.ours is not None]
    counts = {len(number.values) for number in ours}
    bars = [
        *(["over seeds"] if max(counts, default=0) >= FEWEST else []),
        *(["over what it was tested on (of one seed)"] if any(_has_interval(o) and len(o.values) == 1 for o in ours) else []),
    ]
    interval = f" with its 95% interval {' and '.join(bars)}" if bars else ""
    sentences = [
        *([f"Blue: ours{interval}."] if ours else []),
        *(["Of two seeds, both are small dots."] if 2 in counts else []),
        *_about_the_papers(table, [result.cell for result in results]),
        *(["An arrow: beyond the axis, with the number."] if outside else []),
        *(["Words at the right: why a row has no number of ours."] if len(ours) < len(results) else []),
    ]
    return " ".join(sentences)


def _has_interval(ours: Ours) -> bool:
    return ours.low is not None and ours.high is not None


def _about_the_papers(table: PaperTable, cells: Sequence[PaperCell]) -> list[str]:
    if not any(cell.published is not None for cell in cells):
        return []
    bars = [bar for cell in cells if (bar := papers_bar(table, cell)) is not None]
    sentences = ["Orange: the paper's."]
    if any(bar.is_interval for bar in bars):
        from_std = f", t·s/√n of the {table.spread} that it prints" if table.spread_is == "std" else ""
        sentences = [f"Orange: the paper's with its 95% interval over seeds{from_std}."]
    if any(not bar.is_interval for bar in bars):
        sentences.append(f"Dotted: what the paper prints, {table.spread}; no interval over seeds follows from it.")
    return sentences


def _panel(
    axes: Axes, table: PaperTable, rows: Sequence[str], results: Sequence[Result], limits: Bounds | None, *, named: bool
) -> None:
    axes.set_title(results[0].cell.column, fontsize=9, loc="left", color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows if named else [""] * len(rows))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, lw=0.6)
    axes.set_xlabel(" / ".join(dict.fromkeys(metric_words(table, result.cell) for result in results)))
    if limits is None:  # nothing is drawn
        axes.set_xticks([])
        return
    low, high = limits
    margin = MARGIN * (high - low) or 0.05 * abs(low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    below = 0.14 if any(result.cell.published is not None for result in results) else 0.0  # of ours, where both share a row
    for result in results:
        y = rows.index(result.row)
        _draw_papers(axes, table, result.cell, y - below)
        if result.ours is not None:
            _draw_ours(axes, result.ours, y + below, possible(table, result.cell), limits)


def _draw_papers(axes: Axes, table: PaperTable, cell: PaperCell, y: float) -> None:
    if cell.published is None:
        return
    bar = papers_bar(table, cell)
    if bar is not None:
        low, high = np.clip([cell.published - bar.half, cell.published + bar.half], *possible(table, cell))
        axes.hlines(y, low, high, color=ORANGE, lw=1.2, linestyles="solid" if bar.is_interval else "dotted")
    axes.plot(cell.published, y, "D", color=ORANGE, ms=4)


def _draw_ours(axes: Axes, ours: Ours, y: float, values: Bounds, limits: Bounds) -> None:
    """Draws the mean and its interval, as far as the axis goes; an arrow at its end for what goes on beyond."""
    if len(ours.values) == 2:
        axes.plot([value for value in ours.values if value <= limits[1]], [y] * sum(v <= limits[1] for v in ours.values), "o",
                  color=BLUE, ms=2.5, alpha=0.6)  # fmt: skip
    low, high = np.clip([ours.mean if end is None else end for end in (ours.low, ours.high)], *values).tolist()
    edge = axes.get_xlim()[1]
    if low < limits[1]:
        axes.hlines(y, low, high if high <= limits[1] else edge, color=BLUE, lw=1.2)
    if ours.mean <= limits[1]:
        axes.plot(ours.mean, y, "o", color=BLUE, ms=4.5)
    if max(ours.mean, high) > limits[1]:
        axes.plot(edge, y, ">", color=BLUE, ms=4.5, clip_on=False)
        text = f"mean {_rounded(ours.mean)}" if ours.mean > limits[1] else f"to {_rounded(high)}"
        axes.annotate(text, (edge, y), (-5, -3), textcoords="offset points", fontsize=7, color=BLUE, ha="right", va="top")


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _is_outside(table: PaperTable, result: Result, limits: Bounds) -> bool:
    """Whether a part of ours is beyond the axis."""
    assert result.ours is not None
    ends = [end for end in (result.ours.mean, result.ours.high) if end is not None]
    return min(max(ends), possible(table, result.cell)[1]) > limits[1]


def metric_words(table: PaperTable, cell: PaperCell) -> str:
    """Names the metric of a panel, and its unit."""
    name = cell.metric.removeprefix(BEFORE)
    words = " ".join(METRIC_WORDS.get(word, word) for word in name.split("_"))
    return f"{words}{' before adapting' if name != cell.metric else ''}{UNITS[table.unit]}"
