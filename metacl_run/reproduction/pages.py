"""Writes a paper's table as Markdown, LaTeX, CSV and an HTML page. The same stored runs give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.core.files import storage_errors, write_atomically
from metacl_run.layout.grid import Cell, Grid, Tone, to_csv, to_html, to_latex, to_markdown
from metacl_run.layout.page import inline_svg, stylesheet, template
from metacl_run.reproduction.links import linked_cells, linked_overview
from metacl_run.reproduction.paper_table import CONFIDENCE_WORDS, PaperCell, PaperTable, Size
from metacl_run.reproduction.results import Result, Verdict
from metacl_run.reproduction.table_figure import draw
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE

SIZE_WORDS: dict[Size, str] = {
    "paper": "full size",
    "reduced": "REDUCED size: shorter, smaller or fewer than the paper's, so that no number here confirms or refutes it",
    "smoke": "SMOKE size: proves that the runs work, and nothing else; the numbers mean nothing",
}
UNIT_WORDS = {"percent": "in percent", "fraction": "as fractions", "mse": "mean squared errors, so lower is better"}
TONES: dict[Verdict, Tone] = {"agrees": "good", "differs": "bad", "failed": "bad", "diverged": "bad", "unreadable": "bad"}
TONES_OF_RECOLLECTIONS: dict[Verdict, Tone] = {"failed": "bad", "diverged": "bad", "unreadable": "bad"}
"""Tones of cells whose published number is a recollection: neither green nor red."""
MOST_COLUMNS = 10
"""Most columns of the overview on a page of 1400 pixels."""
MARKS = {"verbatim-source": "", "secondary": "s", "memory": "m"}
"""The mark behind a published number, by how sure it is."""


def write(folder: Path, name: str, table: PaperTable, results: Sequence[Result], size: Size) -> list[Path]:
    """Writes table.md, .tex, .csv, .html and the figure; returns their paths, the page first."""
    overview, details = overview_grid(table, results, size), detailed_grid(table, results, size)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    figure = draw(folder, table, results, _size(size))
    files = {
        "table.html": page(name, table, results, size, (overview, details), folder / "figure.svg").encode(),
        "table.md": (to_markdown(overview, level=2) + "\n" + to_markdown(details)).encode(),
        "table.tex": to_latex(overview, label=f"tab:{name}").encode(),
        "table.csv": to_csv(details).encode(),
    }
    for file, content in files.items():
        write_atomically(folder / file, content)
    return [*(folder / file for file in files), *figure]


def _size(size: Size) -> str:
    return SIZE_WORDS[size].split(":")[0]


def overview_grid(table: PaperTable, results: Sequence[Result], size: Size) -> Grid:
    """Returns the table with the paper's rows and columns: ours, and the paper's in brackets."""
    rows = list(dict.fromkeys(result.row for result in results))
    columns = list(dict.fromkeys(result.cell.column for result in results))
    at = {(result.row, result.cell.column): result for result in results}
    body = [
        [Cell(row), *(_both(table, at[row, column]) if (row, column) in at else Cell("") for column in columns)] for row in rows
    ]
    return Grid(f"{table.title} ({_size(size)})", ["", *columns], body, _notes(table, results, size))


def detailed_grid(table: PaperTable, results: Sequence[Result], size: Size) -> Grid:
    """Returns a table with a line for every cell: paper's, ours, difference, verdict and the run."""
    body = []
    for result in results:
        cell, ours = result.cell, result.ours
        difference = None if ours is None or cell.published is None else ours.mean - cell.published
        body.append(
            [
                Cell(result.row),
                Cell(cell.column),
                Cell(_published(table, cell), numbers={"mean": cell.published, "spread": cell.spread}),
                Cell("" if ours is None else _ours(table, result), numbers=_ours_numbers(result)),
                Cell("" if difference is None else f"{difference:+.{_digits(table)}f}", numbers={"": difference}),
                Cell(verdict_words(result), tone=_tone(result) or "quiet"),
                Cell(cell.confidence or ""),
                Cell(result.run or ""),
            ]
        )
    headings = ["row", "column", "paper", "ours", "difference", "verdict", "confidence", "run"]
    notes = [f"{result.row}, {result.cell.column}: {result.problem}" for result in results if result.problem]
    notes += [f"{result.row}, {result.cell.column}: {result.cell.note}" for result in results if result.cell.note]
    return Grid(f"Every cell ({_size(size)})", headings, body, list(dict.fromkeys(notes)))


def page(name: str, table: PaperTable, results: Sequence[Result], size: Size, grids: tuple[Grid, Grid], figure: Path) -> str:
    """Returns one self-contained HTML page; `grids` are the overview and the details."""
    overview, details = grids
    return template("metacl_run.reproduction", "table_page.html.j2").render(
        stylesheet=stylesheet(),
        name=name,
        table=table,
        size=size,
        size_words=SIZE_WORDS[size],
        counts=counts(results),
        overview=to_html(_narrow(linked_overview(overview, results, figure.parent))),
        cells=to_html(linked_cells(details, results, figure.parent)),
        figure=inline_svg(figure, f"{table.title}: ours beside the paper's"),
    )


def _narrow(grid: Grid) -> Grid:
    """Exchanges rows and columns of a table with more columns than a page is wide."""
    if len(grid.headings) <= MOST_COLUMNS or len(grid.rows) >= len(grid.headings):
        return grid
    names, *columns = zip(*grid.rows, strict=True)
    rows = [[Cell(heading), *column] for heading, column in zip(grid.headings[1:], columns, strict=True)]
    return replace(grid, headings=["", *(cell.text for cell in names)], rows=rows)


def show(terminal: Console, table: PaperTable, results: Sequence[Result], size: Size) -> None:
    """Prints a line for every cell."""
    grid = detailed_grid(table, results, size)
    lines = Table(title=f"{table.title} ({_size(size)})", title_justify="left", box=None, pad_edge=False)
    for heading, justify in zip(grid.headings[:6], ("left", "left", "right", "right", "right", "left"), strict=True):
        lines.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in grid.rows:
        lines.add_row(*(escape(cell.text) for cell in row[:6]))
    terminal.print(lines)
    for note in grid.notes:
        terminal.print(escape(note), highlight=False)
    terminal.print(f"cells: {counts(results)}", highlight=False)


def counts(results: Sequence[Result]) -> str:
    """Counts the cells by verdict: "3 agrees, 2 not run"."""
    return ", ".join(f"{count} {word}" for word, count in Counter(map(verdict_words, results)).most_common())


# ------------------------------------------------------------------------------------------------------------------- pieces


def _both(table: PaperTable, result: Result) -> Cell:
    """Returns "77.6 ± 1.4 (77.4 ± 0.8)"; in place of ours the verdict, where there is none."""
    ours = result.verdict if result.ours is None else _ours(table, result)
    mark = MARKS[result.cell.confidence] if result.cell.confidence else ""
    return Cell(f"{ours} ({_published(table, result.cell)})", mark, _tone(result))


def _tone(result: Result) -> Tone:
    return (TONES_OF_RECOLLECTIONS if result.cell.confidence == "memory" else TONES).get(result.verdict, "")


def verdict_words(result: Result) -> str:
    """Returns the verdict, and whether the published number is a recollection."""
    recollected = result.cell.confidence == "memory" and result.verdict in ("agrees", "differs", "inconclusive")
    return f"{result.verdict} with a recollection" if recollected else result.verdict


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


def _notes(table: PaperTable, results: Sequence[Result], size: Size) -> list[str]:
    """Returns what a reader of the overview must know, then every departure."""
    confidence = {result.cell.confidence for result in results}
    notes = [
        "Ours ± half of its 95% interval (over seeds; with one seed over what it was tested on; of two seeds, both values), "
        f"and in brackets the paper's"
        f"{'' if table.spread is None else f' ± {table.spread}'}; {UNIT_WORDS[table.unit]}. {_source(table)}.",
    ]
    notes += [
        f"{MARKS[word]}: the paper's number was {CONFIDENCE_WORDS[word]}."
        for word in MARKS
        if MARKS[word] and word in confidence
    ]
    together = dict.fromkeys(result.row for result in results if result.cell.metric.startswith(TRANSDUCTIVE))
    if together:
        which = "Transductive, all queries of an episode together, as the paper has them: "
        notes.append(f"{which}{'all rows' if len(together) == len(_rows(table)) else ', '.join(together)}.")
    if any(result.cell.digitised for result in results):
        notes.append("The paper prints a figure; its numbers were read off it.")
    if size == "paper":
        notes.append(
            f"A cell agrees where the 95% interval of the difference, of both sides' spreads and seeds, lies within "
            f"{table.tolerance:g} of 0. It differs where the interval lies outside; else it is inconclusive. "
            f"There is a verdict from {FEWEST} seeds on. {_papers_side(table)}"
        )
    notes.append(f"Cells: {counts(results)}.")
    notes += [f"Departure: {departure}" for departure in table.departures]
    return list(dict.fromkeys(notes + _departures_of_runs(table)))


def _papers_side(table: PaperTable) -> str:
    """Says how the verdict counts the paper's numbers."""
    seeds = f"{table.published_seeds} seed{'s' * (table.published_seeds > 1)}"
    if table.spread_is == "not over seeds":
        return f"The paper's means count as of {seeds} with our spread over seeds, since it prints none."
    return f"The paper's means count as of {seeds} with the spread it prints; where it prints none, with ours."


def _departures_of_runs(table: PaperTable) -> list[str]:
    """Returns every departure once, with its rows, and with columns where it does not concern a whole row."""
    places: dict[str, dict[str, list[str]]] = {}
    for run in table.runs:
        for departure in run.departures:
            places.setdefault(departure, {}).setdefault(run.row, []).extend(cell.column for cell in run.cells)
    columns = {row: [cell.column for run in table.runs if run.row == row for cell in run.cells] for row in _rows(table)}
    notes = []
    for departure, columns_of_row in places.items():
        rows_of_columns: dict[tuple[str, ...], list[str]] = {}
        for row, some in columns_of_row.items():
            rows_of_columns.setdefault(() if some == columns[row] else tuple(some), []).append(row)
        which = (", ".join(rows) + (f" ({'; '.join(some)})" if some else "") for some, rows in rows_of_columns.items())
        notes.append(f"Departure of {', '.join(which)}: {departure}")
    return notes


def _rows(table: PaperTable) -> list[str]:
    return list(dict.fromkeys(run.row for run in table.runs))


def _source(table: PaperTable) -> str:
    arxiv = "" if table.arxiv is None else f", arXiv {table.arxiv}"
    return f"{table.paper}{arxiv}, {table.where}"
