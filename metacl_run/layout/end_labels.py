"""Labels beside the last points of lines, moved apart where they would touch; where there is no room for that, a legend."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

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
    style: str = "-"


def end_labels(axes: Axes, x: float, labels: Sequence[EndLabel], share: float = 1 / 3) -> None:
    """Writes labels beside the last points (x, end), in data units; labels that would touch are moved apart.

    A label wider than a share of the figure's width is wrapped. Every label has the room of the one with most lines. Where a
    layout engine can make room for it, a legend below the axes takes the place of labels that are higher than the axes.
    """
    width = max(12, room(axes, share))
    texts = [
        "\n".join(textwrap.fill(part, width, break_long_words=False) for part in label.text.split("\n")) for label in labels
    ]
    settle(axes)
    low, high = axes.get_ylim()
    height = size_in_points(axes)[1] / 72
    root = axes.get_figure(root=True)
    if height_of_labels(texts) > height and isinstance(root, Figure) and root.get_layout_engine() is not None:
        _legend_below(axes, labels)
        return
    gap = (high - low) * height_of_labels(texts) / max(1, len(texts)) / height
    start, stop = axes.get_xlim()
    step = (stop - start) * 0.022
    places = spread_out([label.end for label in labels], gap, low, high)
    for (end, _, colour, _), text, place in zip(labels, texts, places, strict=True):
        axes.plot([x, x + step, x + 2 * step], [end, place, place], color=colour, lw=0.7, clip_on=False, zorder=1)
        label = axes.text(x + 2.4 * step, place, text, color=INK, fontsize=label_points(), va="center", clip_on=False)
        label.set_linespacing(1.1)


def height_of_labels(texts: Sequence[str]) -> float:
    """Returns the inches of axes that hold all labels, under the rcParams in effect."""
    lines = max((1 + 1.1 * text.count("\n") for text in texts), default=1)
    return len(texts) * lines * label_points() * 1.25 / 72


def legend_height(axes: Axes) -> float:
    """Returns the inches that a legend takes; 0 where there is none."""
    legend, figure = axes.get_legend(), axes.get_figure()
    if legend is None or figure is None:
        return 0.0
    return float(legend.get_window_extent().height / figure.dpi)


def _legend_below(axes: Axes, labels: Sequence[EndLabel]) -> None:
    """Names the lines in a legend under the axes and the label of x, in as many columns as fit, in the order of the ends."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    ordered = sorted(labels, key=lambda label: -label.end)
    handles = [Line2D([], [], color=label.colour, ls=label.style, label=" ".join(label.text.split())) for label in ordered]
    widest = max(len(label.text) for label in labels) * CHARACTER * label_points() + 3.5 * label_points()
    columns = max(1, int(figure.bbox.width * 72 / figure.dpi / widest))
    whole = axes.get_tightbbox()
    assert whole is not None
    below = (axes.get_window_extent().y0 - whole.y0) * 72 / figure.dpi + 2
    anchor = axes.transAxes + ScaledTranslation(0, -below / 72, figure.dpi_scale_trans)
    axes.legend(
        handles=handles, ncols=columns, fontsize=label_points(), frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.0),
        bbox_transform=anchor, borderaxespad=0.0, borderpad=0.0, handlelength=1.6, handletextpad=0.5, columnspacing=1.2,
        labelspacing=0.3,
    )  # fmt: skip


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
