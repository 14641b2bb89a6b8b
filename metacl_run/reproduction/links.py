"""Links the cells of a table's page to the reports of the runs that filled them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.page import report_link
from metacl_run.reproduction.results import Result


def linked_overview(grid: Grid, results: Sequence[Result], folder: Path) -> Grid:
    """Adds links to the overview, whose rows and columns have the names in the results, for a page in `folder`."""
    at = {(result.row, result.cell.column): result for result in results}
    rows = []
    for name, *cells in grid.rows:
        of_row = [at.get((name.text, column)) for column in grid.headings[1:]]
        rows.append([name, *(_linked(cell, result, folder) for cell, result in zip(cells, of_row, strict=True))])
    return replace(grid, rows=rows)


def linked_cells(grid: Grid, results: Sequence[Result], folder: Path) -> Grid:
    """Adds links to the table of all cells, which has a row for every result and the run in its last column."""
    pairs = zip(grid.rows, results, strict=True)
    return replace(grid, rows=[[*row[:-1], _linked_runs(row[-1], result, folder)] for row, result in pairs])


def _linked(cell: Cell, result: Result | None, folder: Path) -> Cell:
    links = [] if result is None else _links(result, folder)
    return replace(cell, links=links[:1]) if links else cell


def _linked_runs(cell: Cell, result: Result, folder: Path) -> Cell:
    links = _links(result, folder)
    if len(links) > 1:  # they follow the text
        return replace(cell, text=f"{len(links)} runs", links=links)
    return replace(cell, links=links) if links else cell


def _links(result: Result, folder: Path) -> list[tuple[str, str]]:
    output_dir = folder.parents[2]  # the page is in output_dir/tables/name/size
    addresses = ((run, report_link(output_dir / run, folder)) for run in result.runs)
    return [(run, address) for run, address in addresses if address is not None]
