"""The learned rates of every layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas, panel_rows
from metacl_run.layout.end_labels import room
from metacl_run.layout.seed_lines import seeds_line
from metacl_run.layout.style import BLUE, GREY, PALE, label_points
from metacl_run.reporting.axes import MOST_PATCHES, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words, shortened
from metacl_run.storage.insight_records import Insight
from metacl_run.storage.stored_run import StoredRun

MOST_LAYERS = 12
COLUMNS = 3


def data(run: StoredRun) -> Insight | None:
    return run.insight if run.insight.rates else None


def text(run: StoredRun, insight: Insight) -> FigureText:
    return FigureText(
        "The learned rates of every layer",
        f"Line: median over the layer's weights. Band: 10% to 90% of them. {mean_words(run)}",
        "A layer with falling rates changes less and less, one with rising rates changes faster; a wide band means that some "
        "weights are protected and others free. In La-MAML a weight with a rate below 0 does not change."
        + (" Shaded: every second task." if 1 < run.num_training_parts <= MOST_PATCHES else ""),
    )


def canvas(run: StoredRun, insight: Insight) -> Canvas:
    names = _layers(insight)
    mosaic = panel_rows(len(names), min(len(names), COLUMNS))
    size, height = (6.9, 1.75 * len(mosaic) - 0.35), 0.3 + 1.15 * len(mosaic)
    return Canvas(size, right=0.35, mosaic=mosaic, gap=(0.3, 0.55), columns=2, height=height)


def _layers(insight: Insight) -> list[str]:
    """The layers that are drawn, of more than twelve those spread evenly."""
    names = list(insight.rates)
    return [names[i] for i in np.linspace(0, len(names) - 1, min(len(names), MOST_LAYERS)).round().astype(int)]


def draw(run: StoredRun, insight: Insight, panels: Sequence[Axes]) -> None:
    """A small plot for each layer, all on one scale."""
    names = _layers(insight)
    columns = min(len(names), COLUMNS)
    rates = {name: insight.rates[name].mean(axis=0) for name in names}  # [3, N]
    finite = np.concatenate([values[np.isfinite(values)] for values in rates.values()])
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = 0.06 * (high - low or 1.0)
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        work_axis(axes, run, strip=False, bins=4)
        bottom, median, top = rates[name]
        axes.fill_between(insight.rate_units, bottom, top, color=BLUE, alpha=0.18, lw=0)
        seeds_line(axes, insight.rate_units, median[None], BLUE)
        axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
        axes.set_ylim(min(0.0, low) - margin, max(0.0, high) + margin)
        axes.set_title(shortened(name, room(axes, 0.8)), fontsize=label_points(), loc="left", pad=4)
        axes.grid(axis="y", color=PALE, lw=0.6)
        axes.set_ylabel("learned rate" if place % columns == 0 else "")
        axes.tick_params(labelleft=place % columns == 0)
        axes.set_xlabel(f"{run.unit_name}s" if place + columns >= len(names) else "")


FIGURE = RunFigure(name="learned_rates", data=data, text=text, canvas=canvas, draw=draw)
