"""The units of the learned representation: their average activation, and a few single examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import EMPTY, Canvas
from metacl_run.layout.heat_map import colour_bar
from metacl_run.layout.style import ACTIVITY, PALE, VERMILLION, label_points
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.storage.sequence_records import Representation
from metacl_run.storage.stored_run import StoredRun

MOST_EXAMPLES = 6
WIDEST = 2.5
"""The largest ratio of width to height of a rectangle of units."""


def data(run: StoredRun) -> Representation | None:
    test = run.meta_test
    return test.representation if test is not None else None


def text(run: StoredRun, layer: Representation) -> FigureText:
    many = run.score.examples
    one = many.removesuffix("s")
    an_example = f"an {one}" if one[0] in "aeiou" else f"a {one}"
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


def canvas(run: StoredRun, layer: Representation) -> Canvas:
    """A large panel for the mean, right of it two rows of small ones."""
    count = len(layer.examples[0][:MOST_EXAMPLES])
    columns = math.ceil(count / 2)
    side, gap, spacer = 1.35, 0.2, 0.35
    large = 2 * side + gap
    rows = [[place if place <= count else EMPTY for place in range(first, first + columns)] for first in (1, 1 + columns)]
    size = (large + spacer + columns * (side + gap) + gap, large)
    mosaic, widths = tuple((0, EMPTY, *row) for row in rows), (large, spacer, *[side] * columns)
    return Canvas(size, right=0.35, left=0.3, mosaic=mosaic, widths=widths, gap=(gap, gap), columns=2, height=2.5)


def draw(run: StoredRun, layer: Representation, panels: Sequence[Axes]) -> None:
    """Of the first seed."""
    mean, examples = layer.mean[0], layer.examples[0][:MOST_EXAMPLES]
    image = _draw_units(panels[0], mean, float(np.nanmax(mean)), mark_zeros=True)
    colour_bar(panels[0], image)
    top = float(np.nanmax(examples))
    for axes, values in zip(panels[1:], examples, strict=True):
        _draw_units(axes, values, top, mark_zeros=False)
    titles = (f"average over {run.score.examples} (vermillion: never active)", f"single {run.score.examples}, on one scale")
    for axes, title in zip(panels[:2], titles, strict=True):
        axes.set_title(title, fontsize=label_points(), loc="left", pad=4)


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


FIGURE = RunFigure(name="representation", data=data, text=text, canvas=canvas, draw=draw)
