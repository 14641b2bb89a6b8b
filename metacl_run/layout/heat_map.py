"""Heat maps: a matrix of cells, with its numbers where there is room and the scale of its colours beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import CHARACTER, settle, size_in_points
from metacl_run.layout.style import ink_on, text_points


def heat_map(axes: Axes, values: np.ndarray, limits: tuple[float, float], colours: Any, interpolation: str = "nearest") -> Any:
    """Draws [rows, columns] without a frame and with a colour bar; NaN stays empty. Returns the image."""
    low, high = limits
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation=interpolation)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    colour_bar(axes, image)
    return image


def cell_numbers(axes: Axes, image: Any, values: np.ndarray, text: Callable[[float], str]) -> None:
    """Writes the finite values into their cells, where the cells are large enough. Call it once the axes have their labels."""
    settle(axes)
    width, height = size_in_points(axes)
    texts = [text(value) for value in values[np.isfinite(values)].tolist()]
    points = text_points("small")
    widest = 1.15 * CHARACTER * points * max(map(len, texts), default=0)
    if width < widest * values.shape[1] or height < 1.1 * points * values.shape[0]:
        return
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = ink_on(image.to_rgba(value))
            axes.text(column, row, text(value), ha="center", va="center", fontsize="small", color=ink)


def colour_bar(axes: Axes, image: Any) -> None:
    """Draws the scale of the colours right of the axes."""
    axes.apply_aspect()
    point = 1 / size_in_points(axes)[0]
    figure = axes.get_figure()
    assert figure is not None
    bar: Any = figure.colorbar(image, cax=axes.inset_axes((1 + 6 * point, 0, 7 * point, 1)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize="small", length=2)
