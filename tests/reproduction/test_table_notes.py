"""What stands under a table and beside its costs: every note once, with the cells that it concerns."""

from __future__ import annotations

from typing import Any

from metacl_run.reproduction import pages
from metacl_run.reproduction.paper_table import PaperCell, PaperTable, parse
from metacl_run.reproduction.results import Result
from metacl_run.reproduction.table_costs import costs_grid
from metacl_run.storage.run_cost import RunCost


def of_runs(*runs: dict[str, Any]) -> PaperTable:
    node = {"title": "A table", "paper": "Somebody", "arxiv": None, "where": "Table 1", "unit": "percent", "spread": None}
    sizes = {"seeds": [0, 1, 2], "reduced_seeds": [0], "smoke": [], "reduced": [], "departures": []}
    return parse({**node, **sizes, "spread_is": "std", "published_seeds": 5, "tolerance": 0.5, "runs": list(runs)})


def run_of(row: str, column: str, *departures: str) -> dict[str, Any]:
    cell = {"column": column, "metric": "accuracy", "published": 77.4, "spread": 0.7, "confidence": "memory"}
    return {"row": row, "experiment": None, "departures": list(departures), "cells": [cell]}


def test_a_departure_stands_once_with_what_it_concerns() -> None:
    runs = [
        run_of("A", "x", "Shorter.", "Wider."),
        run_of("A", "y", "Shorter."),
        run_of("B", "y", "Shorter."),
        run_of("B", "x"),
    ]
    notes = pages.overview_grid(of_runs(*runs), [], "paper").notes
    assert [note for note in notes if note.startswith("Departure of")] == [
        "Departure of A; B (y): Shorter.",
        "Departure of A (x): Wider.",
    ]


def test_a_problem_and_a_remark_stand_once_with_their_cells() -> None:
    def result(row: str, column: str, note: str | None = None, problem: str | None = None) -> Result:
        return Result(row, PaperCell(column=column, metric="accuracy", note=note), "not run", None, problem, ())

    results = [
        result("A", "x", "From memory."),
        result("A", "y", problem="No data."),
        result("B", "x", "From memory.", "No data."),
        result("B", "y", problem="No data."),
        result("C", "x"),
    ]
    grid = pages.detailed_grid(of_runs(run_of("A", "x")), results, "paper")
    assert grid.notes == ["A (y); B: No data.", "A, B (x): From memory."]


def test_costs_of_a_row_of_several_runs_name_their_columns() -> None:
    def result(row: str, column: str, run: str) -> Result:
        cost = RunCost(units=2, examples=20, flops=None, seconds=1.0)
        return Result(row, PaperCell(column=column, metric="accuracy"), "smoke", None, None, (run,), cost)

    one_each = costs_grid([result("A", "x", "1"), result("A", "y", "1"), result("B", "x", "2")], "smoke")
    several = costs_grid([result("A", "x", "1"), result("A", "y", "1"), result("A", "z", "2")], "smoke")
    assert one_each is not None
    assert several is not None
    assert one_each.headings[:2] == ["row", "units of work"]
    assert [cell.text for cell in several.rows[0][:2]] == ["A", "x; y"]
    assert [row[1].text for row in several.rows] == ["x; y", "z"]


def test_cells_with_a_tolerance_or_seeds_of_their_own_are_named() -> None:
    def own(row: str, column: str, **changed: object) -> dict[str, Any]:
        made = run_of(row, column)
        return {**made, "cells": [{**made["cells"][0], **changed}]}

    table = of_runs(
        own("A", "x", tolerance=1.0),
        own("A", "y", tolerance=1.0, published_seeds=1),
        own("B", "x", tolerance=0.5, published_seeds=5),  # as the table
        own("B", "y", tolerance=2.0),
    )
    results = [Result(run.row, cell, "not run", None, None, ()) for run in table.runs for cell in run.cells]
    notes = pages.overview_grid(table, results, "paper").notes
    (place,) = [place for place, note in enumerate(notes) if "lies within 0.5 of 0" in note]
    assert notes[place + 1 : place + 4] == [
        "A: within 1 of 0, not 0.5.",
        "B (y): within 2 of 0, not 0.5.",
        "A (y): the paper's mean counts as of 1 seed, not 5.",
    ]
    assert not any("not 0.5" in note for note in pages.overview_grid(table, results, "reduced").notes)


def test_columns_of_words_are_marked_as_such() -> None:
    cost = RunCost(units=2, examples=20, flops=None, seconds=1.0)
    cells = [PaperCell(column=column, metric="accuracy", published=77.4, confidence="memory") for column in "xy"]
    results = [Result("A", cell, "not run", None, None, (f"a/b/{cell.column}",), cost) for cell in cells]
    costs = costs_grid(results, "paper")
    assert costs is not None
    for grid in (pages.detailed_grid(of_runs(run_of("A", "x")), results, "paper"), costs):
        are_words = {heading: row[place].is_words for row in grid.rows for place, heading in enumerate(grid.headings)}
        named = {"column", "verdict", "confidence", "run", "columns"}
        assert {heading for heading, words in are_words.items() if words} == named & set(grid.headings)
