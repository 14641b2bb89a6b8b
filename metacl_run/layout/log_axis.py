"""Logarithmic axes: few ticks at round numbers, written without math text, which is off because of dollar signs in names."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

MOST_TICKS = {"x": 4, "y": 6}
"""With numbers, so that those side by side do not touch in a narrow panel."""
PREFIXES = {1e12: "T", 1e9: "G", 1e6: "M", 1e4: "k"}
"""By the least number that is written with them; 1000 stays as it is."""


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Makes an axis logarithmic."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(RoundNumbers(MOST_TICKS[which]))
    axis.set_major_formatter(FuncFormatter(lambda value, place: short_number(value)))
    axis.set_minor_formatter(NullFormatter())


def short_number(value: float) -> str:
    """Returns "0.05", "1000", "10k", "2.5M"."""
    for least, prefix in PREFIXES.items():
        if abs(value) >= least:
            return f"{value / (1e3 if prefix == 'k' else least):g}{prefix}"
    return f"{value:g}"


class RoundNumbers(LogLocator):
    """Ticks at 1, 2 and 5 of every power of ten, or at fewer: the most of these kinds that are no more than `most`."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __call__(self) -> list[float]:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(float(low), float(high))

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Returns the ticks from `vmin` to `vmax`, both above 0."""
        if vmin <= 0 or not math.isfinite(vmax):
            return []
        powers = range(math.floor(math.log10(vmin)), math.ceil(math.log10(vmax)) + 1)
        kinds = [[factor * 10.0**power for power in powers for factor in factors] for factors in ((1, 2, 5), (1, 3), (1,))]
        kinds += [[10.0**power for power in powers if power % step == 0] for step in range(2, 1 + max(2, len(powers)))]
        for ticks in kinds:
            within = [tick for tick in ticks if vmin <= tick * (1 + 1e-9) and tick <= vmax * (1 + 1e-9)]
            if len(within) <= self._most:
                break
        if len(within) >= 2:
            return within
        even = np.asarray(MaxNLocator(nbins=self._most - 1, steps=[1, 2, 5, 10]).tick_values(vmin, vmax))
        return [float(tick) for tick in even if vmin <= tick <= vmax]
