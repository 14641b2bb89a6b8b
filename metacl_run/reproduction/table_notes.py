"""What stands under a table: how to read its numbers, where the paper's come from, and every departure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from metacl_run.reproduction.paper_table import CONFIDENCE_WORDS, PaperTable, Size
from metacl_run.reproduction.results import Result
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE

UNIT_WORDS = {"percent": "in percent", "fraction": "as fractions", "mse": "mean squared errors, so lower is better"}
MARKS = {"verbatim-source": "", "secondary": "s", "memory": "m"}
"""The mark behind a published number, by how sure it is."""
Place: TypeAlias = tuple[str, str]
"""Row and column of a cell."""
NO_TWIN = "ours, without a published twin"
"""What a table that no paper has says of itself, wherever its title stands."""


def counts(results: Sequence[Result]) -> str:
    """Counts the cells by verdict: "3 agrees, 2 not run"."""
    return ", ".join(f"{count} {word}" for word, count in Counter(map(verdict_words, results)).most_common())


def verdict_words(result: Result) -> str:
    """Returns the verdict, and whether the published number was written down from memory."""
    from_memory = result.cell.confidence == "memory" and result.verdict in ("agrees", "differs", "inconclusive")
    return f"{result.verdict} (paper from memory)" if from_memory else result.verdict


def notes_of(table: PaperTable, results: Sequence[Result], size: Size) -> list[str]:
    """Returns what a reader of the overview must know, then every departure."""
    notes = [
        f"Ours ± half of its 95% interval (Student's t over seeds; with one seed over what it was tested on; of two seeds, "
        f"both values){_papers_spread(table)}; {UNIT_WORDS[table.unit]}. {source(table)}."
    ]
    if table.paper is not None:
        notes += _of_the_papers_numbers(table, results, size)
    together = dict.fromkeys(result.row for result in results if result.cell.metric.startswith(TRANSDUCTIVE))
    if together:
        which = "Transductive, all queries of an episode together, as the paper has them: "
        notes.append(f"{which}{'all rows' if len(together) == len(_rows(table)) else ', '.join(together)}.")
    notes.append(f"Cells: {counts(results)}.")
    notes += notes_of_parts(results)
    notes += [f"{_word(table)}: {departure}" for departure in table.departures]
    return list(dict.fromkeys(notes + _departures_of_runs(table)))


def notes_of_parts(results: Sequence[Result]) -> list[str]:
    """Returns for every row that is put together from several runs which they are."""
    return list(dict.fromkeys(f"{result.row} is {result.in_parts}." for result in results if result.in_parts))


def notes_of_cells(results: Sequence[Result]) -> list[str]:
    """Returns every problem and every remark on a published number once, with its cells."""
    notes: dict[str, list[Place]] = {}
    for text, result in (
        *((result.problem, result) for result in results),
        *((result.cell.note, result) for result in results),
    ):
        if text:
            notes.setdefault(text, []).append((result.row, result.cell.column))
    every = [(result.row, result.cell.column) for result in results]
    return [f"{_cells(some, every)}: {text}" for text, some in notes.items()]


def source(table: PaperTable) -> str:
    """Names the paper and the place in it; of a table of ours says that there is none."""
    if table.paper is None:
        return NO_TWIN.capitalize()
    arxiv = "" if table.arxiv is None else f", arXiv {table.arxiv}"
    return f"{table.paper}{arxiv}, {table.where}"


# ------------------------------------------------------------------------------------------------------------------- pieces


def _papers_spread(table: PaperTable) -> str:
    if table.paper is None:
        return ""
    return f", and in brackets the paper's{'' if table.spread is None else f' ± {table.spread}'}"


def _of_the_papers_numbers(table: PaperTable, results: Sequence[Result], size: Size) -> list[str]:
    """Says how sure the published numbers are, and how they enter a verdict."""
    confidence = {result.cell.confidence for result in results}
    notes = [
        f"{MARKS[word]}: the paper's number was {CONFIDENCE_WORDS[word]}."
        for word in MARKS
        if MARKS[word] and word in confidence
    ]
    if any(result.cell.digitised for result in results):
        notes.append("The paper prints a figure; its numbers were read off it.")
    if size == "paper":
        notes.append(
            f"A cell agrees where the 95% interval of the difference, of both sides' spreads and seeds, lies within "
            f"{table.tolerance:g} of 0. It differs where the interval lies outside; else it is inconclusive. "
            f"There is a verdict from {FEWEST} seeds on. {_papers_side(table)}"
        )
        notes += _of_cells_of_their_own(table, results)
    return notes


def _of_cells_of_their_own(table: PaperTable, results: Sequence[Result]) -> list[str]:
    """Names the cells whose verdict counts with another tolerance, or other seeds of the paper, than the table's."""
    tolerances: dict[float, list[Place]] = {}
    seeds: dict[int, list[Place]] = {}
    for row, cell, *_ in results:
        if cell.tolerance not in (None, table.tolerance):
            tolerances.setdefault(cell.tolerance, []).append((row, cell.column))
        if cell.published_seeds not in (None, table.published_seeds):
            seeds.setdefault(cell.published_seeds, []).append((row, cell.column))
    every = [(result.row, result.cell.column) for result in results]
    return [
        *(f"{_cells(some, every)}: within {own:g} of 0, not {table.tolerance:g}." for own, some in tolerances.items()),
        *(
            f"{_cells(some, every)}: the paper's mean counts as of {_seeds(own)}, not {table.published_seeds}."
            for own, some in seeds.items()
        ),
    ]


def _seeds(number: int) -> str:
    return f"{number} seed{'s' * (number > 1)}"


def _word(table: PaperTable) -> str:
    return "Note" if table.paper is None else "Departure"


def _papers_side(table: PaperTable) -> str:
    """Says how the verdict counts the paper's numbers."""
    seeds = _seeds(table.published_seeds)
    if table.spread_is == "not over seeds":
        return f"The paper's means count as of {seeds} with our spread over seeds, since it prints none."
    return f"The paper's means count as of {seeds} with the spread it prints; where it prints none, with ours."


def _departures_of_runs(table: PaperTable) -> list[str]:
    """Returns every departure once, with its cells."""
    places: dict[str, list[Place]] = {}
    for run in table.runs:
        for departure in run.departures:
            places.setdefault(departure, []).extend((run.row, cell.column) for cell in run.cells)
    every = [(run.row, cell.column) for run in table.runs for cell in run.cells]
    return [f"{_word(table)} of {_cells(some, every)}: {departure}" for departure, some in places.items()]


def _cells(some: Sequence[Place], every: Sequence[Place]) -> str:
    """Names cells by their rows, and by columns where they are not all of a row: "EWC; GEM, A-GEM (1 a class)"."""
    columns, rows_of_columns = _columns(every), dict[tuple[str, ...], list[str]]()
    for row, of_row in _columns(some).items():
        rows_of_columns.setdefault(() if of_row == columns[row] else tuple(of_row), []).append(row)
    return "; ".join(
        ", ".join(rows) + (f" ({'; '.join(of_row)})" if of_row else "") for of_row, rows in rows_of_columns.items()
    )


def _columns(places: Sequence[Place]) -> dict[str, list[str]]:
    """The columns of every row, each once."""
    columns: dict[str, dict[str, None]] = {}
    for row, column in places:
        columns.setdefault(row, {})[column] = None
    return {row: list(of_row) for row, of_row in columns.items()}


def _rows(table: PaperTable) -> list[str]:
    return list(dict.fromkeys(run.row for run in table.runs))
