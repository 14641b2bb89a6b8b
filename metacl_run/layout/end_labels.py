"""Labels beside the last points of lines, moved apart where they would touch, and the room for them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.style import INK, label_points

CHARACTER = 0.47
"""The width of a letter in the mean, as a part of the font size."""


def spread_out(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Returns positions nearest to `values` (least squares), at least `gap` apart, in the same order, within [low, high].

    With `gap` subtracted once per rank, only the order remains as a constraint: pooling adjacent violators solves that exactly.
    """
    order = np.argsort(values, kind="stable")
    blocks: list[list[float]] = []  # [mean, count]
    for rank, index in enumerate(order):
        blocks.append([values[index] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            total = blocks[-1][1] + count
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * count) / total, total]
    pooled = [mean for mean, count in blocks for _ in range(int(count))]
    top = high - (len(pooled) - 1) * gap
    positions = [0.0] * len(pooled)
    for rank, index in enumerate(order):
        positions[index] = max(min(pooled[rank], top), low) + rank * gap
    return positions


class EndLabel(NamedTuple):
    """The label beside the last point of a line."""

    end: float
    text: str
    colour: str


def end_labels(axes: Axes, x: float, labels: Sequence[EndLabel], share: float = 1 / 3) -> None:
    """Writes labels beside the last points (x, end), in data units; labels that would touch are moved apart.

    A label wider than a share of the figure's width is wrapped. Every label has the room of the one with most lines.
    """
    texts = [textwrap.fill(label.text, max(12, room(axes, share)), break_long_words=False) for label in labels]
    settle(axes)
    low, high = axes.get_ylim()
    lines = max((1 + 1.1 * text.count("\n") for text in texts), default=1)
    gap = (high - low) * label_points() * 1.25 / size_in_points(axes)[1] * lines
    start, stop = axes.get_xlim()
    step = (stop - start) * 0.022
    places = spread_out([label.end for label in labels], gap, low, high)
    for (end, _, colour), text, place in zip(labels, texts, places, strict=True):
        axes.plot([x, x + step, x + 2 * step], [end, place, place], color=colour, lw=0.7, clip_on=False, zorder=1)
        label = axes.text(x + 2.4 * step, place, text, color=INK, fontsize=label_points(), va="center", clip_on=False)
        label.set_linespacing(1.1)


def room(axes: Axes, share: float = 1 / 3) -> int:
    """Returns how many characters of a label fit in a share of the width that the figure has for these axes."""
    spec = axes.get_subplotspec()
    part = 1.0 if spec is None else len(spec.colspan) / spec.get_gridspec().ncols
    figure = axes.get_figure()
    assert figure is not None
    width = figure.bbox.width * 72 / figure.dpi
    return int(share * part * width / (CHARACTER * label_points()))


def settle(axes: Axes) -> None:
    """Lets a layout engine place the axes around what they hold by now, so that their size is known."""
    figure = axes.get_figure(root=True)
    if isinstance(figure, Figure) and (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)


def size_in_points(axes: Axes) -> tuple[float, float]:
    """Returns the width and the height of axes."""
    figure = axes.get_figure()
    assert figure is not None
    box = axes.get_window_extent()
    return box.width * 72 / figure.dpi, box.height * 72 / figure.dpi
