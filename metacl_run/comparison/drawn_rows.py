"""Which rows of a section its figures draw, and how: an algorithm has one colour in all sections of a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from matplotlib.colors import to_hex, to_rgb

from metacl_run.comparison.section_scores import SectionScores
from metacl_run.layout.style import LINE_COLOURS, MARKERS

MOST_ROWS = 8
"""Of a figure."""
STYLES = ("-", "--", ":", "-.")
"""Of the lines of one algorithm."""


class Look(NamedTuple):
    """How a row is drawn."""

    colour: str
    style: str = STYLES[0]
    marker: str = MARKERS[0]


def drawn_rows(scores: SectionScores, among: Collection[str] | None = None) -> list[str]:
    """Returns at most `MOST_ROWS` rows in the order of the table: the best of every algorithm, then the best of the others.

    Args:
        scores: of the section.
        among: the rows that can be drawn; None: all.
    """
    rows = [label for label in scores.labels if among is None or label in among]
    first = {scores.section.algorithm(label): label for label in reversed(rows)}.values()
    order = sorted(rows, key=lambda label: label not in first)  # stable: the best stays in front
    chosen = order[:MOST_ROWS]
    return [label for label in rows if label in chosen]


def drawn_words(drawn: int, there_are: int) -> str:
    """Says which rows are drawn; empty where all are."""
    words = "the best row of every algorithm first, then the best of the others"
    return "" if drawn == there_are else f"Drawn are {drawn} of {there_are} rows: {words}."


def algorithm_colours(every: Sequence[SectionScores]) -> dict[str, str]:
    """Returns a colour for each algorithm of a page, in the order in which its sections draw them."""
    in_figures = dict.fromkeys(scores.section.algorithm(label) for scores in every for label in drawn_rows(scores))
    rest = dict.fromkeys(scores.section.algorithm(label) for scores in every for label in scores.labels)
    return {algorithm: LINE_COLOURS[place % len(LINE_COLOURS)] for place, algorithm in enumerate({**in_figures, **rest})}


def looks(scores: SectionScores, rows: Sequence[str], colours: Mapping[str, str]) -> dict[str, Look]:
    """Returns how rows are drawn, each unlike the others.

    Rows of one algorithm differ in style, then in lightness. Where all are of one algorithm, it needs no colour of its own:
    every row has one.
    """
    if len({scores.section.algorithm(label) for label in rows}) == 1:
        return {label: Look(LINE_COLOURS[place % len(LINE_COLOURS)]) for place, label in enumerate(rows)}
    made: dict[str, Look] = {}
    for label in rows:
        colour = colours[scores.section.algorithm(label)]
        red, green, blue = (0.5 + 0.5 * part for part in to_rgb(colour))
        lighter = to_hex((red, green, blue))
        unused = (
            Look(shade, style, marker)
            for shade in (colour, lighter)
            for style, marker in zip(STYLES, MARKERS, strict=True)
            if Look(shade, style, marker) not in made.values()
        )
        made[label] = next(unused)
    return made


def short_label(label: str) -> str:
    """Returns the name of a row for a narrow figure: settings of the algorithm without "algo."."""
    return " ".join(word.removeprefix("algo.") for word in label.split(" "))
