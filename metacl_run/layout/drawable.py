"""Draws a figure on a sheet of its own, in a column of a paper, or in axes of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.core.errors import UserError, shown
from metacl_run.layout.style import STYLES, StyleName, dress


class Drawable(Protocol):
    """A figure that is not yet drawn."""

    def draw(self) -> Figure:
        """Returns it for a screen, with title and caption."""

    def draw_for_paper(self) -> Figure:
        """Returns it in the width of a column, without title and caption."""

    @property
    def draw_in(self) -> Callable[[Sequence[Axes]], None]:
        """Draws it in panels, under the rcParams in effect."""


def draw_figure(figure: Drawable, panels: Callable[[], Sequence[Axes]] | None, style: StyleName | None) -> Figure:
    """Draws a figure and returns the matplotlib figure that it is in.

    Args:
        figure: what is drawn.
        panels: returns the caller's axes, under the rcParams of the style; None: the figure has a sheet of its own.
        style: "paper" or "screen"; None: "paper" for a sheet of its own, and in axes of the caller's the rcParams in effect.

    Raises:
        UserError: there is no such style.
    """
    if style not in (None, *STYLES):
        raise UserError(f"style={shown(style)}: must be {' or '.join(STYLES)}")
    if panels is None:
        return figure.draw() if style == "screen" else figure.draw_for_paper()
    with matplotlib.rc_context(STYLES[style] if style is not None else {"text.parse_math": False}):
        axes = panels()
        for panel in axes if style is not None else ():
            dress(panel)
        figure.draw_in(axes)
    root = axes[0].get_figure(root=True)
    assert root is not None
    return root
