"""A table in four notations: Markdown, LaTeX (booktabs), CSV, HTML. The same grid gives the same bytes.

A cell shows `text` ("0.824 (0.809 to 0.840)", "97.6 ± 0.6"). For CSV it may also have the numbers behind the text, by
name and unrounded: its column becomes one column for each name, under "heading name". A `mark` is raised behind the text
and explained by one of the notes, which begins with it. The first column holds the names of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup, escape

from metacl_run.layout.csv_text import Field, csv_text

Tone = Literal["", "main", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: in plain Unicode; every notation escapes it in its own way.
        mark: raised behind the text, "*" or "a"; a note says what it means.
        tone: its colour in HTML; "main" and "good" are bold on the terminal.
        links: (words, address) for HTML; a single link is the text itself, several follow it.
        numbers: for CSV, {"mean": .824, "low": .809, "high": .840}, None where undefined; empty: CSV has the text.
        detail: small text below, in HTML only.
        is_words: whether it is words, not a number: it begins at the left.
    """

    text: str
    mark: str = ""
    tone: Tone = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    links: Sequence[tuple[str, str]] = ()
    detail: str = ""
    is_words: bool = False


@dataclass(frozen=True)
class Grid:
    """A titled table.

    Attributes:
        title: the caption.
        headings: one for each column.
        rows: each as long as `headings`.
        notes: sentences under the table; CSV leaves them out.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {len(row) for row in self.rows}
        assert lengths <= {len(self.headings)}, (
            f"{self.title}: rows of {sorted(lengths)} cells under {len(self.headings)} headings"
        )


# ---------------------------------------------------------------------------------------------------------------- Markdown


def to_markdown(grid: Grid, level: int = 3) -> str:
    """Returns a heading of that level, a pipe table with aligned columns, and the notes as a list."""
    head = [markdown_text(heading) for heading in grid.headings]
    body = [[markdown_text(cell.text) + _markdown_mark(cell.mark) for cell in row] for row in grid.rows]
    widths = [max(3, *(len(row[column]) for row in [head, *body])) for column in range(len(head))]
    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    aligned = [
        [
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in [head, *body]
    ]
    lines = ["| " + " | ".join(row) + " |" for row in [aligned[0], rule, *aligned[1:]]]
    notes = ["", *(f"- {markdown_text(note)}" for note in grid.notes)] if grid.notes else []
    return "\n".join([f"{'#' * level} {markdown_text(grid.title)}", "", *lines, *notes]) + "\n"


def markdown_text(text: str) -> str:
    """Escaped, so that nothing in it starts markup; an underscore within a word does not, so outer_lr stays as it is."""
    flat = " ".join(text.split())
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", re.sub(r"([\\`*|\[\]<>#])", r"\\\1", flat))


def _markdown_mark(mark: str) -> str:
    return f"<sup>{markdown_text(mark)}</sup>" if mark else ""


# ------------------------------------------------------------------------------------------------------------------- LaTeX

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",  # the straight quote is no character of the default font encoding
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "·": r"$\cdot$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "\N{EN DASH}": "--",
    "…": r"\ldots{}",
    "\u00a0": "~",
}


WIDEST_AT_FULL_SIZE = 90
"""Characters of a row, with gaps, that fit a page of LaTeX in its own font size; wider tables get a smaller one."""


def to_latex(grid: Grid, label: str = "") -> str:
    """Returns a `table` that needs no package but booktabs; `label` is for \\ref."""
    body = [" & ".join([latex_text(cell.text) + _latex_mark(cell.mark) for cell in row]) + r" \\" for row in grid.rows]
    columns = zip(*[grid.headings, *([cell.text + cell.mark for cell in row] for row in grid.rows)], strict=True)
    characters = sum(max(map(len, column)) + 2 for column in columns)
    small = [] if characters <= WIDEST_AT_FULL_SIZE else [r"\footnotesize\setlength{\tabcolsep}{3pt}"]
    lines = [
        r"\begin{table}[tb]",
        r"\centering",
        *small,
        rf"\caption{{{latex_text(grid.title)}}}",
        *([rf"\label{{{label}}}"] if label else []),
        rf"\begin{{tabular}}{{l{'r' * (len(grid.headings) - 1)}}}",
        r"\toprule",
        " & ".join(latex_text(heading) for heading in grid.headings) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if grid.notes:
        lines += ["", r"\medskip", r"\begin{minipage}{0.95\linewidth}\footnotesize"]
        lines += [latex_text(note) + r"\par" for note in grid.notes]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def latex_text(text: str) -> str:
    """Escaped, with a minus sign instead of a hyphen before a number; a bracket that begins a row is no argument of \\\\."""
    flat = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    flat = re.sub(r"(?<![\w.\-])-(?=[\d.])", "$-$", flat)
    return f"{{}}{flat}" if flat.startswith(("[", "*")) else flat


def _latex_mark(mark: str) -> str:
    return rf"\textsuperscript{{{latex_text(mark)}}}" if mark else ""


# --------------------------------------------------------------------------------------------------------------------- CSV


def to_csv(grid: Grid) -> str:
    """Returns a line of headings and one for each row; a column with numbers becomes one for each of their names."""
    names = [list(dict.fromkeys(name for row in grid.rows for name in row[i].numbers)) for i in range(len(grid.headings))]
    rows: list[list[Field]] = [[]]
    for heading, parts in zip(grid.headings, names, strict=True):
        rows[0] += [f"{heading} {part}" for part in parts] or [heading]
    for row in grid.rows:
        fields: list[Field] = []
        for cell, parts in zip(row, names, strict=True):
            fields += [cell.numbers.get(part) for part in parts] or [cell.text]
        rows.append(fields)
    return csv_text(rows)


# -------------------------------------------------------------------------------------------------------------------- HTML


def to_html(grid: Grid) -> Markup:
    """Returns a `<table>` with its caption and, below it, the notes; page.css has the colours of the tones."""
    are_words = [bool(column) and all(cell.is_words for cell in column) for column in zip(*grid.rows, strict=True)]
    head = "".join(
        f'<th scope="col"{" class=words" if words else ""}>{escape(heading)}</th>'
        for heading, words in zip(grid.headings, are_words or [False] * len(grid.headings), strict=True)
    )
    rows = "".join(f"<tr>{''.join(_html(cell, column) for column, cell in enumerate(row))}</tr>\n" for row in grid.rows)
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in grid.notes)
    table = (
        f"<table>\n<caption>{escape(grid.title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    )
    below = f'<ul class="soft notes">\n{notes}</ul>\n' if grid.notes else ""
    return Markup(f'<div class="scroll">{table}</div>\n{below}')


WIDEST_CELL = 28
"""Characters of a cell that stay on one line in HTML; a longer cell is wrapped."""


def _html(cell: Cell, column: int) -> str:
    wide = len(cell.text) > WIDEST_CELL and not re.search(r"\d \(| \([-\d]", cell.text)
    classes = [*([cell.tone] if cell.tone else []), *(["words"] if cell.is_words else []), *(["wraps"] if wide else [])]
    marked = f' class="{escape(" ".join(classes))}"' if classes else ""
    content = _breakable(cell.text)
    if len(cell.links) == 1:
        content = _link(content, cell.links[0][1])
    if cell.mark:
        content += Markup("<sup>{}</sup>").format(cell.mark)
    if len(cell.links) > 1:
        content += Markup(" <small>{}</small>").format(Markup(" ").join(_link(*link) for link in cell.links))
    if cell.detail:
        content += Markup("<small>{}</small>").format(cell.detail)
    return f"<td{marked}>{content}</td>" if column else f'<th scope="row"{marked}>{content}</th>'


def _breakable(text: str) -> Markup:
    """Allows a line break before brackets behind a number or around one, and after every part of a path."""
    number, bracket, behind = text.partition(" (")
    if bracket and (re.search(r"\d$", number) or re.match(r"[-\d]", behind)):
        return Markup('<span class="whole">{}</span> <span class="whole">({}</span>').format(number, behind)
    return escape(text).replace("/", Markup("/<wbr>"))


def _link(words: str, address: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(address, words)
