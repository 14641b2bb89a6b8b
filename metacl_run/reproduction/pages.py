"""Writes a table as Markdown, LaTeX, CSV and an HTML page. The same stored runs give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from metacl_run.core.files import storage_errors, write_atomically
from metacl_run.layout.grid import Cell, Grid, Tone, to_csv, to_html, to_latex, to_markdown
from metacl_run.layout.page import inline_svg, stylesheet, template
from metacl_run.reproduction.links import linked_cells, linked_overview
from metacl_run.reproduction.paper_table import PaperCell, PaperTable, Size
from metacl_run.reproduction.results import Result, Verdict
from metacl_run.reproduction.table_costs import COST_FIGURE, costs_grid, draw_costs
from metacl_run.reproduction.table_figure import draw
from metacl_run.reproduction.table_notes import (
    MARKS,
    NO_TWIN,
    counts,
    notes_of,
    notes_of_cells,
    notes_of_parts,
    source,
    verdict_words,
)

SIZE_WORDS: dict[Size, str] = {
    "paper": "full size",
    "reduced": "REDUCED size: shorter, smaller or fewer than at full size, so that no number here confirms or refutes another",
    "smoke": "SMOKE size: proves that the runs work, and nothing else; the numbers mean nothing",
}
TONES: dict[Verdict, Tone] = {"agrees": "good", "differs": "bad", "failed": "bad", "diverged": "bad", "unreadable": "bad"}
TONES_FROM_MEMORY: dict[Verdict, Tone] = {"failed": "bad", "diverged": "bad", "unreadable": "bad"}
"""Tones of cells whose published number was written down from memory: neither green nor red."""
MOST_COLUMNS = 10
"""Most columns of the overview on a page of 1400 pixels."""
OURS_BESIDE = "ours beside the paper's"
PRINTED: tuple[JustifyMethod, ...] = ("left", "left", "right", "right", "right", "left")
"""The columns of all cells that a terminal has room for: row, column, paper, ours, difference, verdict."""


def write(folder: Path, name: str, table: PaperTable, results: Sequence[Result], size: Size) -> list[Path]:
    """Writes table.md, .tex, .csv, .html and the figure; returns their paths, the page first."""
    overview, details = overview_grid(table, results, size), detailed_grid(table, results, size)
    costs = costs_grid(results, _size(size))
    more = "" if costs is None else "\n" + to_markdown(costs)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    figures = [*draw(folder, table, results, _size(size)), *draw_costs(folder, table, results, _size(size))]
    files = {
        "table.html": page(name, table, results, size, (overview, details), folder / "figure.svg").encode(),
        "table.md": (to_markdown(overview, level=2) + "\n" + to_markdown(details) + more).encode(),
        "table.tex": to_latex(overview, label=f"tab:{name}").encode(),
        "table.csv": to_csv(details).encode(),
    }
    for file, content in files.items():
        write_atomically(folder / file, content)
    return [*(folder / file for file in files), *figures]


def _title(table: PaperTable, size: Size) -> str:
    return f"{table.title} ({_size(size)}{f'; {NO_TWIN}' if table.paper is None else ''})"


def _size(size: Size) -> str:
    return SIZE_WORDS[size].split(":")[0]


def overview_grid(table: PaperTable, results: Sequence[Result], size: Size) -> Grid:
    """Returns the table with its rows and columns: ours, and the paper's in brackets where there is a paper."""
    rows = list(dict.fromkeys(result.row for result in results))
    columns = list(dict.fromkeys(result.cell.column for result in results))
    at = {(result.row, result.cell.column): result for result in results}
    body = [
        [Cell(row), *(_both(table, at[row, column]) if (row, column) in at else Cell("") for column in columns)] for row in rows
    ]
    return Grid(_title(table, size), ["", *columns], body, notes_of(table, results, size))


def detailed_grid(table: PaperTable, results: Sequence[Result], size: Size) -> Grid:
    """Returns a table with a line for every cell: ours and the run, and between them the paper's, difference and verdict."""
    body = []
    for result in results:
        ours = Cell("" if result.ours is None else _ours(table, result), numbers=_ours_numbers(result))
        middle = [_state(result, ours)] if table.paper is None else _beside_the_papers(table, result, ours)
        body.append([Cell(result.row), _words(result.cell.column), *middle, _words(" ".join(result.runs))])
    between = ["ours"] if table.paper is None else ["paper", "ours", "difference", "verdict", "confidence"]
    return Grid(f"Every cell ({_size(size)})", ["row", "column", *between, "run"], body, notes_of_cells(results))


def _beside_the_papers(table: PaperTable, result: Result, ours: Cell) -> list[Cell]:
    cell = result.cell
    difference = None if result.ours is None or cell.published is None else result.ours.mean - cell.published
    return [
        Cell(_published(table, cell), numbers={"mean": cell.published, "spread": cell.spread}),
        ours,
        Cell("" if difference is None else f"{difference:+.{_digits(table)}f}", numbers={"": difference}),
        Cell(verdict_words(result), tone=_tone(result) or "quiet", is_words=True),
        _words(cell.confidence or ""),
    ]


def _state(result: Result, ours: Cell) -> Cell:
    """Returns ours, or why there is none."""
    return ours if result.ours is not None else replace(ours, text=result.verdict, tone=_tone(result) or "quiet")


def page(name: str, table: PaperTable, results: Sequence[Result], size: Size, grids: tuple[Grid, Grid], figure: Path) -> str:
    """Returns one self-contained HTML page; `grids` are the overview and the details."""
    overview, details = grids
    costs = costs_grid(results, _size(size))
    return template("metacl_run.reproduction", "table_page.html.j2").render(
        stylesheet=stylesheet(),
        name=name,
        table=table,
        source=source(table),
        size=size,
        size_words=SIZE_WORDS[size],
        counts=counts(results),
        overview=to_html(_narrow(linked_overview(overview, results, figure.parent))),
        cells=to_html(linked_cells(details, results, figure.parent)),
        costs=None if costs is None else to_html(costs),
        figure=inline_svg(figure, f"{table.title}: {NO_TWIN if table.paper is None else OURS_BESIDE}"),
        cost_figure=inline_svg(figure.with_name(f"{COST_FIGURE}.svg"), f"{table.title}: what ours cost"),
    )


def _narrow(grid: Grid) -> Grid:
    """Exchanges rows and columns of a table with more columns than a page is wide."""
    if len(grid.headings) <= MOST_COLUMNS or len(grid.rows) >= len(grid.headings):
        return grid
    names, *columns = zip(*grid.rows, strict=True)
    rows = [[Cell(heading), *column] for heading, column in zip(grid.headings[1:], columns, strict=True)]
    return replace(grid, headings=["", *(cell.text for cell in names)], rows=rows)


def show(terminal: Console, table: PaperTable, results: Sequence[Result], size: Size) -> None:
    """Prints a line for every cell; of a table of ours its rows and columns."""
    details = detailed_grid(table, results, size)
    grid = overview_grid(table, results, size) if table.paper is None else details
    right: JustifyMethod = "right"
    justify = ("left", *[right] * (len(grid.headings) - 1)) if table.paper is None else PRINTED
    lines = Table(box=None, pad_edge=False)
    for heading, side in zip(grid.headings, justify, strict=False):
        lines.add_column(heading, justify=side)
    for row in grid.rows:
        lines.add_row(*(escape(cell.text) for cell in row[: len(justify)]))
    terminal.print(escape(_title(table, size)), style="italic", highlight=False, soft_wrap=True)
    terminal.print(lines)
    for note in [*details.notes, *notes_of_parts(results)]:
        terminal.print(escape(note), highlight=False)
    terminal.print(f"cells: {counts(results)}", highlight=False)


# ------------------------------------------------------------------------------------------------------------------- pieces


def _words(text: str) -> Cell:
    return Cell(text, is_words=True)


def _both(table: PaperTable, result: Result) -> Cell:
    """Returns "77.6 ± 1.4 (77.4 ± 0.8)"; in place of ours the verdict, where there is none; without a paper ours alone."""
    ours = result.verdict if result.ours is None else _ours(table, result)
    if table.paper is None:
        return Cell(ours, tone=_tone(result))
    mark = MARKS[result.cell.confidence] if result.cell.confidence else ""
    return Cell(f"{ours} ({_published(table, result.cell)})", mark, _tone(result))


def _tone(result: Result) -> Tone:
    return (TONES_FROM_MEMORY if result.cell.confidence == "memory" else TONES).get(result.verdict, "")


def _ours(table: PaperTable, result: Result) -> str:
    ours, digits = result.ours, _digits(table)
    assert ours is not None
    if len(ours.values) == 2:
        return ", ".join(f"{value:.{digits}f}" for value in ours.values)
    if ours.low is None or ours.high is None:
        return f"{ours.mean:.{digits}f}"
    return f"{ours.mean:.{digits}f} ± {(ours.high - ours.low) / 2:.{digits}f}"


def _published(table: PaperTable, cell: PaperCell) -> str:
    if cell.published is None:
        return "none printed"
    spread = "" if cell.spread is None else f" ± {cell.spread:.{_digits(table)}f}"
    return f"{cell.published:.{_digits(table)}f}{spread}"


def _digits(table: PaperTable) -> int:
    return 1 if table.unit == "percent" else 3


def _ours_numbers(result: Result) -> dict[str, float | None]:
    ours = result.ours
    values = (None, None, None, None) if ours is None else (ours.mean, ours.low, ours.high, float(len(ours.values)))
    return dict(zip(("mean", "low", "high", "seeds"), values, strict=True))
