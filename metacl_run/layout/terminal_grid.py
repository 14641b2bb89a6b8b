"""Prints grids on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.layout.grid import Grid


def print_grid(console: Console, *variants: Grid) -> None:
    """Prints the first of the variants that is no wider than the terminal, else the last; a file gets the first."""
    for grid in variants:
        table = _table(grid)
        width = console.measure(table, options=console.options.update(max_width=1000)).maximum
        if not console.is_terminal:
            table.width = width
            console.print(table, crop=False, soft_wrap=True)
            return
        if width <= console.width or grid is variants[-1]:
            console.print(table)
            return


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, heading in enumerate(grid.headings):
        width = min(len(heading), 8)
        table.add_column(escape(heading), justify="right" if column else "left", overflow="fold", min_width=width)
    for row in grid.rows:
        texts = (escape(cell.text + cell.mark) for cell in row)
        table.add_row(*(f"[bold]{text}[/]" if c.tone in ("good", "main") else text for c, text in zip(row, texts, strict=True)))
    return table
