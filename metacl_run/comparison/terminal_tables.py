"""What a comparison prints: the table of every section, and where the files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.comparison.document import Contents, title
from metacl_run.comparison.metric_tables import metrics_grid
from metacl_run.layout.grid import Grid

MOST_SECTIONS, MOST_ROWS = 8, 20


def show(contents: Contents, files: Sequence[Path], console: Console | None = None) -> None:
    console = console or Console()
    wrap = not console.is_terminal
    for scored in contents.scored[:MOST_SECTIONS]:
        grid = metrics_grid(scored)
        console.print(f"[bold]{escape(grid.title)}[/]", highlight=False, soft_wrap=wrap)
        _print(grid, console)
        if len(grid.rows) > MOST_ROWS:
            console.print(f"[dim]and {len(grid.rows) - MOST_ROWS} more rows[/]", highlight=False)
        console.print()
    if len(contents.scored) > MOST_SECTIONS:
        console.print(f"[dim]and {len(contents.scored) - MOST_SECTIONS} more sections[/]", highlight=False)
    console.print(f"{title(contents)}, {len(contents.left_out)} left out", highlight=False, soft_wrap=wrap)
    for path in files:
        console.print(f"[dim]written[/] {escape(str(path))}", highlight=False, soft_wrap=True)


def _print(grid: Grid, console: Console) -> None:
    """All of it where there is room, and in a file; else the means alone."""
    table = _table(grid)
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    if not console.is_terminal:
        table.width = needed
        console.print(table, crop=False, soft_wrap=True)
    elif needed <= console.width:
        console.print(table)
    else:
        rows = [[row[0], *(replace(cell, text=cell.text.split(" (")[0]) for cell in row[1:])] for row in grid.rows]
        console.print(_table(Grid(grid.title, grid.headings, rows)))


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, heading in enumerate(grid.headings):
        table.add_column(
            escape(heading), justify="right" if column else "left", overflow="fold", min_width=min(len(heading), 8)
        )
    for row in grid.rows[:MOST_ROWS]:
        cells = [escape(cell.text + cell.mark) for cell in row]
        table.add_row(*(f"[bold]{text}[/]" if cell.tone == "good" else text for cell, text in zip(row, cells, strict=True)))
    return table
