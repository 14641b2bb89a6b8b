"""The place of a figure's panels: on a sheet with title and caption for a screen, or alone in a column of a paper."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from metacl_run.layout.style import PAPER_RC, page
from metacl_run.layout.styled_figure import StyledFigure

COLUMN_WIDTHS = {1: 3.25, 2: 6.75}
"""Inches of one column and of two, as in ICML's template."""
EMPTY = -1
"""The mark of a place without a panel in a mosaic."""
Mosaic: TypeAlias = tuple[tuple[int, ...], ...]


class Canvas(NamedTuple):
    """What a figure needs: its panels, and their size in both styles. Lengths are inches."""

    size: tuple[float, float] = (6.0, 3.2)
    """Of all panels together, on a screen."""
    left: float = 0.75
    right: float = 1.9
    below: float = 0.0
    """Extra room for tick labels of more than one line."""
    mosaic: Mosaic = ((0,),)
    """The number of the panel at every place, row by row."""
    widths: tuple[float, ...] | None = None
    """Ratios of the widths of the columns; None: all equal."""
    gap: tuple[float, float] = (0.0, 0.0)
    """Between panels, across and down."""
    columns: Literal[1, 2] = 1
    """Columns of a paper that the figure takes."""
    height: float = 2.0
    """Of the figure in a paper."""

    @property
    def num_panels(self) -> int:
        return 1 + max(panel for row in self.mosaic for panel in row)


def panel_rows(count: int, columns: int) -> Mosaic:
    """Returns the mosaic of `count` panels, row by row."""
    rows = math.ceil(count / columns)
    return tuple(
        tuple(place if place < count else EMPTY for place in range(row * columns, (row + 1) * columns)) for row in range(rows)
    )


def sheet_panels(canvas: Canvas, title: str, subtitle: str, caption: str) -> tuple[StyledFigure, list[Axes]]:
    """Returns a figure for a screen, with its texts, and its panels."""
    figure, axes = page(title, subtitle, caption, canvas.size, right=canvas.right, left=canvas.left, below=canvas.below)
    if canvas.num_panels == 1:
        return figure, [axes]
    box = axes.get_position()
    axes.remove()
    rows, columns = len(canvas.mosaic), len(canvas.mosaic[0])
    across, down = canvas.gap
    panel_width = (canvas.size[0] + across) / columns - across
    panel_height = (canvas.size[1] + down) / rows - down
    place = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
    return figure, mosaic_panels(figure, canvas, place | {"wspace": across / panel_width, "hspace": down / panel_height})


def paper_panels(canvas: Canvas) -> tuple[StyledFigure, list[Axes]]:
    """Returns a figure of a column's width for a paper, without any text, and its panels."""
    size = (COLUMN_WIDTHS[canvas.columns], canvas.height)
    figure = StyledFigure(PAPER_RC, figsize=size, facecolor="white", layout="constrained")
    return figure, mosaic_panels(figure, canvas)


def mosaic_panels(figure: Figure | SubFigure, canvas: Canvas, place: dict[str, float] | None = None) -> list[Axes]:
    """Makes the panels of a canvas in a figure that the caller has, in order."""
    mosaic: Any = [list(row) for row in canvas.mosaic]
    panels = figure.subplot_mosaic(mosaic, empty_sentinel=EMPTY, width_ratios=canvas.widths, gridspec_kw=dict(place or {}))
    return [panels[number] for number in range(canvas.num_panels)]
