"""Figures of a section: one line a configuration, with what its seeds spread over."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metacl_run.comparison.cell_text import Scored
from metacl_run.comparison.score_curves import Curve, Kind, curve, kinds
from metacl_run.core.errors import StorageError
from metacl_run.layout.seed_lines import extent, spread
from metacl_run.layout.style import (
    GREY,
    INK,
    PALE,
    RC,
    accuracy_axis,
    end_labels,
    error_axis,
    integer_ticks,
    page,
    task_colours,
)
from metacl_run.reporting.figures import save
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import SCORES

MOST_LINES = 8
SIZE = (6.0, 3.2)
WIDEST_LABEL = 36
"""Characters of a label on one line."""


class Drawn(NamedTuple):
    """A figure of the report."""

    name: str
    """Of its files, without suffix."""
    title: str
    caption: str


def draw(scored: Scored, folder: Path, stem: str) -> tuple[list[Drawn], list[str]]:
    """Writes <stem>_<kind>.png and .svg for every figure the section supports; and a message for what could not be drawn."""
    labels = scored.labels[:MOST_LINES]
    drawn: list[Drawn] = []
    problems: dict[str, None] = {}
    try:
        wanted = kinds(scored.section.configurations[labels[0]].entries[0])
    except StorageError as error:
        return [], [str(error)]
    for kind in wanted:
        lines = {}
        for label in labels:
            try:
                lines[label] = curve(scored.section.configurations[label], kind)
            except StorageError as error:
                problems[str(error)] = None
        lines = {label: line for label, line in lines.items() if np.isfinite(line.values).all(axis=0).any()}
        if not lines:
            continue
        caption = f"{kind.explanation} {_which(scored, list(lines))}"
        with matplotlib.rc_context(RC):
            save(_figure(scored, kind, lines, _which(scored, list(lines))), folder / f"{stem}_{kind.name}")
        drawn.append(Drawn(f"{stem}_{kind.name}", f"{kind.title}, {scored.section.title}", caption))
    return drawn, list(problems)


def _which(scored: Scored, labels: list[str]) -> str:
    """What lines and bands are, and which configurations are not among them."""
    counts = {min(FEWEST, len(scored.section.configurations[label].seeds)) for label in labels}
    words = {
        FEWEST: f"Mean over seeds with its 95% interval (Student t){'' if counts == {FEWEST} else f' of {FEWEST} or more'}.",
        2: "Of two seeds their mean, and each as a thin line.",
        1: "One seed each, so no interval." if counts == {1} else "Of one seed the line alone.",
    }
    text = " ".join(words[count] for count in sorted(counts, reverse=True))
    left = len(scored.labels) - len(labels)
    if left:
        text += f" Drawn: {len(labels)} of {len(scored.labels)}, the first of the table as far as they have values."
    return text


def _figure(scored: Scored, kind: Kind, lines: dict[str, Curve], caption: str) -> Figure:
    texts = ["\n".join(textwrap.wrap(label, WIDEST_LABEL, break_long_words=True)) for label in lines]
    longest = max(len(line) for text in texts for line in text.split("\n"))
    right = 0.45 + 0.076 * longest
    figure, axes = page(kind.title, scored.section.title, caption, SIZE, right=max(1.2, right))
    score = SCORES[scored.section.score]
    colours = [*task_colours(min(6, len(lines))), INK, GREY][: len(lines)]
    means = {label: line.values.mean(axis=0) for label, line in lines.items()}
    widest = score.largest - score.least
    possible = (-widest, widest) if kind.difference else (score.least, score.largest)
    start, stop = (edge([edge(line.x) for line in lines.values()]) for edge in (min, max))
    axes.set_xlim(start - (0.5 if start == stop else 0), stop + (0.5 if start == stop else 0))
    whole = np.concatenate([extent(line.values, possible) for line in lines.values()])
    if kind.difference:
        _difference_axis(axes, whole)
    elif score.higher_is_better:
        accuracy_axis(axes, whole, None)
    else:
        error_axis(axes, np.concatenate(list(means.values())), whole)
    for (label, line), colour in zip(lines.items(), colours, strict=True):
        mean = means[label]
        points: Any = {"marker": "o", "ms": 4.5, "mec": "white", "mew": 0.7} if len(line.x) <= 25 else {}
        axes.plot(line.x, mean, color=colour, lw=1.7, zorder=3, clip_on=False, **points)
        spread(axes, line.x, line.values, colour, possible)
    axes.set_xlabel(kind.x_label)
    axes.set_ylabel(kind.y_label)
    integer_ticks(axes.xaxis, 10)
    ends = {label: mean[np.isfinite(mean)][-1] for label, mean in means.items()}
    end_labels(axes, axes.get_xlim()[1], [float(end) for end in ends.values()], texts, colours, 8.5)
    return figure


def _difference_axis(axes: matplotlib.axes.Axes, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    margin = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=PALE, lw=0.6)
