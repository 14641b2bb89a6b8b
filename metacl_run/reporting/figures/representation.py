"""The units of the learned representation: their average activation, and a few single examples."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.heat_map import colour_bar
from metacl_run.layout.style import ACTIVITY, PALE, VERMILLION
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, meta_test_of, sheet
from metacl_run.storage.sequence_records import Representation
from metacl_run.storage.stored_run import StoredRun

MOST_EXAMPLES = 6
WIDEST = 2.5
"""The largest ratio of width to height of a rectangle of units."""


def data(run: StoredRun) -> Representation | None:
    test = meta_test_of(run)
    return test.representation if test is not None else None


def text(run: StoredRun, layer: Representation) -> FigureText:
    many = run.score.examples
    one = many.removesuffix("s")
    an_example = "an image" if one == "image" else f"a {one}"
    seeds = f", means over {len(run.seeds)} seeds. Pictures: seed {run.seeds[0]}" if len(run.seeds) > 1 else ""
    return FigureText(
        "The representation: which units are active",
        f"{layer.active.mean():.1%} of the {layer.mean.shape[1]} units are active for {an_example}; {layer.dead.mean():.1%} "
        f"are dead, 0 for every {one}{seeds}.",
        "Every cell is one unit of the representation; its place has no meaning but is the same in all pictures. Left: average "
        f"activation over many {many}. Right: single {many}. The OML paper reports a representation that is sparse for every "
        f"{one} (few filled cells on the right) and yet uses all units (no dead cells on the left): {many} then share few "
        "units, and learning one disturbs others little.",
    )


def draw(run: StoredRun, layer: Representation, text: FigureText) -> Figure:
    """Of the first seed."""
    mean, examples = layer.mean[0], layer.examples[0][:MOST_EXAMPLES]
    columns = math.ceil(len(examples) / 2)
    side, gap = 1.35, 0.2
    big = 2 * side + gap
    figure, whole = sheet(run, text, (big + 0.75 + columns * (side + gap), big), right=0.35, left=0.3)
    box = whole.get_position()
    whole.remove()
    inch_x, inch_y = 1 / figure.get_size_inches()
    left = figure.add_axes((box.x0, box.y0, big * inch_x, box.height))
    image = _draw_units(left, mean, float(np.nanmax(mean)), mark_zeros=True)
    left.set_title(f"average over {run.score.examples} (vermillion: never active)", fontsize=8.5, loc="left", pad=4)
    colour_bar(figure, left, image)
    top = float(np.nanmax(examples))
    for place, values in enumerate(examples):
        row, column = divmod(place, columns)
        x = box.x0 + (big + 0.75 + column * (side + gap)) * inch_x
        y = box.y1 - (side + row * (side + gap)) * inch_y
        axes = figure.add_axes((x, y, side * inch_x, side * inch_y))
        _draw_units(axes, values, top, mark_zeros=False)
        if place == 0:
            axes.set_title(f"single {run.score.examples}, on one scale", fontsize=8.5, loc="left", pad=4)
    return figure


def _draw_units(axes: Axes, values: np.ndarray, top: float, mark_zeros: bool) -> Any:
    """[D] as a rectangle of cells without axes; surplus cells stay white, and with `mark_zeros` those at 0 are vermillion."""
    rows, columns = rectangle(len(values))
    cells = np.full((rows, columns), np.nan)
    cells.flat[: len(values)] = values
    low = min(0.0, float(np.nanmin(values)))
    image = axes.imshow(cells, cmap=ACTIVITY, vmin=low, vmax=max(top, 1e-12), aspect="equal", interpolation="nearest")
    axes.set_anchor("N")
    if mark_zeros and (cells == 0).any():
        zeros = np.where(cells == 0, 1.0, np.nan)
        axes.imshow(zeros, cmap=matplotlib.colors.ListedColormap([VERMILLION]), aspect="equal", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=PALE)
    return image


def rectangle(count: int) -> tuple[int, int]:
    """Returns rows and columns that hold `count` cells: exactly, where its factors are near enough to a square."""
    rows = max(row for row in range(1, math.isqrt(count) + 1) if count % row == 0)
    if count / rows**2 <= WIDEST:
        return rows, count // rows
    rows = math.isqrt(count)
    return rows, math.ceil(count / rows)


FIGURE = RunFigure(name="representation", data=data, text=text, draw=draw)
