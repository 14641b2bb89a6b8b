"""A figure that keeps its style."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class StyledFigure(Figure):
    """A figure that is saved under the rcParams it was drawn with, so that `savefig` embeds fonts and writes text as text.

    It belongs to no window and not to pyplot. A notebook shows it as an image.
    """

    def __init__(self, rc: Any, **settings: Any) -> None:
        """Makes an empty figure.

        Args:
            rc: rcParams of its style.
            settings: of matplotlib's Figure.
        """
        with matplotlib.rc_context(rc):
            super().__init__(**settings)
        self._rc = rc
        FigureCanvasAgg(self)

    def savefig(self, *args: Any, **settings: Any) -> None:
        with matplotlib.rc_context(self._rc):
            super().savefig(*args, **settings)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()
