"""A comparison as files: Markdown, LaTeX tables, CSV, one self-contained page. The same runs give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from metacl_run.comparison.cell_text import Scored
from metacl_run.comparison.comparison_figures import MOST_LINES, Drawn, draw
from metacl_run.comparison.csv_files import csv_files
from metacl_run.comparison.groups import assignment
from metacl_run.comparison.metric_tables import iqm_grid, metrics_grid, pairs_grid, settings_grid
from metacl_run.core.files import storage_errors, write_atomically
from metacl_run.layout.grid import Cell, Grid, to_html, to_latex, to_markdown
from metacl_run.layout.page import inline_svg, report_link, stylesheet, template

FIGURES = "figures"
MOST_DRAWN = 6
"""Sections that get figures, for a report that is there in seconds."""
HOW = (
    "Runs that differ in nothing but their seeds, and in what cannot change a result, are one row; a row is named by its "
    "algorithm and as few settings as tell it from others. Rows stand in one table if their numbers can be set beside each "
    "other: the same data with the same settings, the same protocol and score, measured on the same split and schedule; else "
    "they are in tables of their own. Lengths of training that differ within a table stand in the names of its rows."
)


class Contents(NamedTuple):
    """What a report says."""

    scored: Sequence[Scored]
    runs: int
    left_out: Sequence[str]
    """A message for each run that is not compared."""
    notes: Sequence[str]


class Part(NamedTuple):
    """A section, ready to be written."""

    title: str
    shared: str
    grids: list[Grid]
    figures: list[Drawn]


def write(contents: Contents, output: Path, formats: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files written, and a message for each thing that could not be drawn."""
    with storage_errors(output, "--output DIR"):
        output.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        problems: list[str] = []
        parts = [_part(scored) for scored in contents.scored]
        notes = list(contents.notes)
        if {"md", "html"} & set(formats):
            (output / FIGURES).mkdir(exist_ok=True)
            chosen = _worth_drawing(contents.scored)
            if len(chosen) < len(parts):
                notes.append(f"Figures: of {len(chosen)} of {len(parts)} sections, those with most rows.")
            for i in chosen:
                drawn, told = draw(contents.scored[i], output / FIGURES, _stem(i, parts[i].title))
                parts[i].figures.extend(drawn)
                problems += told
        contents = contents._replace(notes=[*notes, *problems])
        if "md" in formats:
            files["report.md"] = _markdown(contents, parts)
        if "tex" in formats:
            files["report.tex"] = _latex(parts)
        if "csv" in formats:
            files |= csv_files(contents.scored)
        if "html" in formats:
            files["report.html"] = _html(contents, parts, output)
        for name, text in files.items():
            write_atomically(output / name, text.encode())
    return [output / name for name in files], problems


def title(contents: Contents) -> str:
    rows = sum(len(scored.labels) for scored in contents.scored)
    return f"{_count(contents.runs, 'run')}, {_count(rows, 'configuration')}, {_count(len(contents.scored), 'section')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _part(scored: Scored) -> Part:
    section = scored.section
    shared = " ".join(assignment(key, value) for key, value in section.shared.items() if "." in key)
    grids = [metrics_grid(scored), iqm_grid(scored), pairs_grid(scored), settings_grid(scored)]
    return Part(section.title, shared, [grid for grid in grids if grid is not None], [])


def _worth_drawing(every: Sequence[Scored]) -> list[int]:
    """Places of the sections with most rows, in their order."""
    order = sorted(range(len(every)), key=lambda i: (-min(len(every[i].labels), MOST_LINES), i))
    return sorted(i for i in order[:MOST_DRAWN] if every[i].labels)


def _stem(place: int, text: str) -> str:
    """A file name that says which section it is of."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return f"{place + 1:02d}_{words[:60].rstrip('_')}"


def _markdown(contents: Contents, parts: Sequence[Part]) -> str:
    blocks = ["# Comparison of runs\n", f"{title(contents)}. {HOW}\n"]
    for part in parts:
        blocks += [f"## {part.title}\n", f"Same for all: `{part.shared}`\n"]
        blocks += [to_markdown(grid) for grid in part.grids]
        blocks += [f"![{drawn.title}]({FIGURES}/{drawn.name}.png)\n\n{drawn.caption}\n" for drawn in part.figures]
    for heading, lines in (("Notes", contents.notes), ("Left out", contents.left_out)):
        if lines:
            blocks.append(f"## {heading}\n\n" + "".join(f"- {_quoted(line)}\n" for line in lines))
    return "\n".join(blocks)


def _quoted(line: str) -> str:
    """A message with paths in it, as it is, on one line."""
    flat = " ".join(line.split()).replace("`", "'")
    return f"`{flat}`"


def _latex(parts: Sequence[Part]) -> str:
    head = "% Tables by metacl-report, for \\input; \\usepackage{booktabs} goes into the preamble.\n"
    tables = [
        to_latex(grid, f"tab:{_stem(i, part.title)}_{j + 1}")
        for i, part in enumerate(parts)
        for j, grid in enumerate(part.grids)
    ]
    return "\n".join([head, *tables])


def _html(contents: Contents, parts: Sequence[Part], output: Path) -> str:
    sections = [
        (
            part,
            [to_html(_linked(grid, scored, output)) for grid in part.grids],
            [(drawn, inline_svg(output / FIGURES / f"{drawn.name}.svg", drawn.title)) for drawn in part.figures],
        )
        for part, scored in zip(parts, contents.scored, strict=True)
    ]
    return template("metacl_run.comparison", "comparison_page.html.j2").render(
        stylesheet=stylesheet(),
        title=title(contents),
        how=HOW,
        sections=sections,
        notes=contents.notes,
        left_out=contents.left_out,
    )


def _linked(grid: Grid, scored: Scored, output: Path) -> Grid:
    """The same with a link from each configuration's row to the report of every run of it."""
    configurations = scored.section.configurations

    def linked(cell: Cell) -> Cell:
        entries = configurations[cell.text].entries if cell.text in configurations else []
        reports = [(" ".join(map(str, entry.seeds)), report_link(entry.directory, output)) for entry in entries]
        return replace(cell, links=[(seeds, address) for seeds, address in reports if address is not None])

    return replace(grid, rows=[[linked(row[0]), *row[1:]] for row in grid.rows])
