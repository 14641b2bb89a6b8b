"""Writes a comparison as Markdown, LaTeX tables, CSV and one self-contained page. The same runs give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from metacl_run.comparison.csv_files import csv_files
from metacl_run.comparison.drawn_rows import MOST_ROWS as MOST_DRAWN_ROWS
from metacl_run.comparison.drawn_rows import algorithm_colours
from metacl_run.comparison.section_costs import costs_grid
from metacl_run.comparison.section_figures import DrawnFigure, draw
from metacl_run.comparison.section_grids import iqm_grid, metrics_grid, pairs_grid, settings_grid
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.comparison.sections import assignment
from metacl_run.core.files import storage_errors, write_text_atomically
from metacl_run.layout.grid import Cell, Grid, markdown_text, to_html, to_latex, to_markdown
from metacl_run.layout.page import inline_svg, report_link, stylesheet, template
from metacl_run.layout.terminal_grid import print_grid
from metacl_run.storage.run_files import FIGURES

MOST_SECTIONS, MOST_ROWS = 8, 20
"""Most of them on the terminal."""
MOST_DRAWN = 6
"""Most sections with figures, so that a report takes seconds."""
LONGEST_OPEN = 20
"""Most rows of a table, after the first of a section, that the page shows without a click."""
HOW = (
    "Runs that differ only in their seeds, and in settings that cannot change a result, are one row. A row is named by its "
    "algorithm and the settings in which it differs from rows with the same algorithm. Rows are in one table if their numbers "
    "are comparable: the same data with the same settings, the same protocol and score, measured on the same split and "
    "schedule. Lengths of training that differ within a table are in the names of its rows. Evaluations of finished runs have "
    "tables of their own, and rows that name the run."
)


class Comparison(NamedTuple):
    """The content of a report."""

    sections: Sequence[SectionScores]
    runs: int
    left_out: Sequence[str]
    """A message for each run that is not compared."""
    notes: Sequence[str]


class SectionPart(NamedTuple):
    """The texts, grids and figures of a section."""

    title: str
    shared: str
    grids: list[Grid]
    figures: list[DrawnFigure]


def write(
    comparison: Comparison, output: Path, formats: Sequence[str], *, paper_figures: bool = False
) -> tuple[list[Path], list[str]]:
    """Writes the formats; with `paper_figures` the figures also for a paper.

    Returns:
        the files, and a message for each run that could not be drawn.
    """
    with storage_errors(output, "--output DIR"):
        output.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        problems: list[str] = []
        parts = [_part(scores) for scores in comparison.sections]
        notes = list(comparison.notes)
        if paper_figures or {"md", "html"} & set(formats):
            (output / FIGURES).mkdir(exist_ok=True)
            chosen = _largest(comparison.sections)
            if len(chosen) < len(parts):
                notes.append(f"Figures are drawn for the {len(chosen)} of {len(parts)} sections with most rows.")
            colours = algorithm_colours([comparison.sections[i] for i in chosen])
            for i in chosen:
                drawn, messages = draw(
                    comparison.sections[i], colours, output / FIGURES, _stem(i, parts[i].title), for_paper=paper_figures
                )
                parts[i].figures.extend(drawn)
                problems += messages
        comparison = comparison._replace(notes=[*notes, *problems])
        if "md" in formats:
            files["report.md"] = _markdown(comparison, parts)
        if "tex" in formats:
            files["report.tex"] = _latex(parts)
        if "csv" in formats:
            files |= csv_files(comparison.sections)
        if "html" in formats:
            files["report.html"] = _html(comparison, parts, output)
        for name, text in files.items():
            write_text_atomically(output / name, text)
    return [output / name for name in files], problems


def title(comparison: Comparison) -> str:
    rows = sum(len(scores.labels) for scores in comparison.sections)
    return f"{_count(comparison.runs, 'run')}, {_count(rows, 'configuration')}, {_count(len(comparison.sections), 'section')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _part(scores: SectionScores) -> SectionPart:
    section = scores.section
    shared = " ".join(assignment(key, value) for key, value in section.shared.items() if "." in key)
    grids = [metrics_grid(scores), costs_grid(scores), iqm_grid(scores), pairs_grid(scores), settings_grid(scores)]
    return SectionPart(section.title, shared, [grid for grid in grids if grid is not None], [])


def _largest(every: Sequence[SectionScores]) -> list[int]:
    """Returns the places of the sections with most rows, in increasing order."""
    order = sorted(range(len(every)), key=lambda i: (-min(len(every[i].labels), MOST_DRAWN_ROWS), i))
    return sorted(i for i in order[:MOST_DRAWN] if every[i].labels)


def _stem(place: int, text: str) -> str:
    """The beginning of the file names of a section."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return f"{place + 1:02d}_{words[:60].rstrip('_')}"


def _markdown(comparison: Comparison, parts: Sequence[SectionPart]) -> str:
    blocks = ["# Comparison of runs\n", f"{title(comparison)}. {HOW}\n"]
    for part in parts:
        blocks += [f"## {markdown_text(part.title)}\n", f"Same for all: {_quoted(part.shared)}\n"]
        blocks += [to_markdown(grid) for grid in part.grids]
        blocks += [
            f"![{markdown_text(drawn.title)}]({FIGURES}/{drawn.name}.png)\n\n{drawn.explanation}\n" for drawn in part.figures
        ]
    for heading, lines in (("Notes", comparison.notes), ("Left out", comparison.left_out)):
        if lines:
            blocks.append(f"## {heading}\n\n" + "".join(f"- {_quoted(line)}\n" for line in lines))
    return "\n".join(blocks)


def _quoted(line: str) -> str:
    """A message with paths, unchanged, on one line."""
    flat = " ".join(line.split()).replace("`", "'")
    return f"`{flat}`"


def _latex(parts: Sequence[SectionPart]) -> str:
    head = "% Tables by metacl-report, for \\input; \\usepackage{booktabs} goes into the preamble.\n"
    tables = [
        to_latex(grid, f"tab:{_stem(i, part.title)}_{j + 1}")
        for i, part in enumerate(parts)
        for j, grid in enumerate(part.grids)
    ]
    return "\n".join([head, *tables])


def _html(comparison: Comparison, parts: Sequence[SectionPart], output: Path) -> str:
    sections = [
        (
            part,
            [(grid, to_html(_linked(grid, scores, output))) for grid in part.grids],
            [(drawn, inline_svg(output / FIGURES / f"{drawn.name}.svg", drawn.title)) for drawn in part.figures],
        )
        for part, scores in zip(parts, comparison.sections, strict=True)
    ]
    return template("metacl_run.comparison", "comparison_page.html.j2").render(
        stylesheet=stylesheet(),
        title=title(comparison),
        how=HOW,
        longest_open=LONGEST_OPEN,
        sections=sections,
        notes=comparison.notes,
        left_out=comparison.left_out,
    )


def _linked(grid: Grid, scores: SectionScores, output: Path) -> Grid:
    """Adds links from the row of each configuration to the reports of its runs."""
    configurations = scores.section.configurations

    def linked(cell: Cell) -> Cell:
        entries = configurations[cell.text].entries if cell.text in configurations else []
        reports = [(" ".join(map(str, entry.seeds)), report_link(entry.directory, output)) for entry in entries]
        return replace(cell, links=[(seeds, address) for seeds, address in reports if address is not None])

    return replace(grid, rows=[[linked(row[0]), *row[1:]] for row in grid.rows])


def show(comparison: Comparison, files: Sequence[Path], console: Console) -> None:
    """Prints the table of every section, and where the files are."""
    wrap = not console.is_terminal
    for scores in comparison.sections[:MOST_SECTIONS]:
        grid = metrics_grid(scores)
        console.print(f"[bold]{escape(grid.title)}[/]", highlight=False, soft_wrap=wrap)
        rows = grid.rows[:MOST_ROWS]
        means = [[row[0], *(replace(cell, text=cell.text.split(" (")[0]) for cell in row[1:])] for row in rows]
        print_grid(console, replace(grid, rows=rows), replace(grid, rows=means))
        if len(grid.rows) > MOST_ROWS:
            console.print(f"[dim]and {len(grid.rows) - MOST_ROWS} more rows[/]", highlight=False)
        for metric, reason in scores.omitted.items():
            console.print(f"[dim]{escape(f'Left out: {metric}: {reason}')}[/]", highlight=False, soft_wrap=wrap)
        console.print()
    if len(comparison.sections) > MOST_SECTIONS:
        console.print(f"[dim]and {len(comparison.sections) - MOST_SECTIONS} more sections[/]", highlight=False)
    console.print(f"{title(comparison)}, {len(comparison.left_out)} left out", highlight=False, soft_wrap=wrap)
    for path in files:
        name = str(path).encode("utf-8", "replace").decode()
        console.print(f"[dim]written[/] {escape(name)}", highlight=False, soft_wrap=True)
