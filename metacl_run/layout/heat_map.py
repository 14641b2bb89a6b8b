"""Heat maps: a matrix of cells, with its numbers where there is room and the scale of its colours beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.style import ink_on


def heat_map(
    figure: Figure, axes: Axes, values: np.ndarray, limits: tuple[float, float], colours: Any, interpolation: str = "nearest"
) -> Any:
    """Draws [rows, columns] without a frame and with a colour bar; NaN stays empty. Returns the image."""
    low, high = limits
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation=interpolation)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    colour_bar(figure, axes, image)
    return image


def cell_numbers(axes: Axes, image: Any, values: np.ndarray, text: Callable[[float], str], fontsize: float) -> None:
    """Writes the finite values into their cells."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = ink_on(image.to_rgba(value))
            axes.text(column, row, text(value), ha="center", va="center", fontsize=fontsize, color=ink)


def colour_bar(figure: Figure, axes: Axes, image: Any) -> None:
    """Draws the scale of the colours right of the axes."""
    axes.apply_aspect()
    box = axes.get_position()
    inch = 1 / figure.get_size_inches()[0]
    bar: Any = figure.colorbar(image, cax=figure.add_axes((box.x1 + 0.08 * inch, box.y0, 0.1 * inch, box.height)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)
