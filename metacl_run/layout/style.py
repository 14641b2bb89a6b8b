"""How every figure looks: two styles, colours that a colour-blind reader can distinguish; no global state is changed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties

from metacl_run.layout.styled_figure import StyledFigure
from metacl_run.scoring.scores import chance_text

BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
"""Okabe and Ito 2008, Color Universal Design; their yellow is left out, too pale for a line on white."""
CONFLICT = matplotlib.colors.LinearSegmentedColormap.from_list("conflict", ["#7a3300", VERMILLION, "#f8f8f8", BLUE, "#003a5c"])
"""For values below 0 (harm) and above (help): vermillion to blue, which colour-blind readers can distinguish."""
ACTIVITY = matplotlib.colors.LinearSegmentedColormap.from_list("activity", ["#f1f4f8", "#8fc1e3", BLUE, "#00243b"])
"""For the activity of units: from pale, not active, to dark."""
LAYERS = matplotlib.colors.LinearSegmentedColormap.from_list("layers", ["#00251b", GREEN, "#6cc3a6"])
"""For the layers of a network, from the first to the last: one hue, which is none of the colours of tasks."""
LIGHTEST = 0.72
"""The end of plasma that lines on white are drawn with."""
INK, GREY, PALE, SHADE = "#1a1a1a", "#5f6368", "#d9dce0", "#f3f4f6"

StyleName: TypeAlias = Literal["screen", "paper"]

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.labelsize": "medium",
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.dpi": 100.0,
    "savefig.dpi": 160.0,
    "svg.fonttype": "none",  # text stays text: it can be searched, and edited
    "svg.hashsalt": "metacl_run",
    "pdf.fonttype": 42,  # TrueType: conferences refuse type 3
    "path.simplify": True,
    "text.parse_math": False,  # a dollar sign in a name is text
}
"""For use in `matplotlib.rc_context(RC)`. With the fixed salt the same run gives the same bytes of SVG."""
PAPER_RC: Any = {
    **RC,
    # Times, as the templates of NeurIPS, ICML and ICLR set; comes with matplotlib. The second for letters that it lacks.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "font.size": 8.5,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.0,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "savefig.dpi": 300.0,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
}
"""For a column of a paper: "small" is 7 pt, which no text is below."""
STYLES: dict[StyleName, Any] = {"screen": RC, "paper": PAPER_RC}


def dress(axes: Axes) -> None:
    """Gives axes that were made under other rcParams the look of those in effect."""
    rc: Any = matplotlib.rcParams
    for side, spine in axes.spines.items():
        spine.set(visible=rc[f"axes.spines.{side}"], linewidth=rc["axes.linewidth"], edgecolor=rc["axes.edgecolor"])
    axes.set_axisbelow(rc["axes.axisbelow"])
    both: list[tuple[Literal["x", "y"], Any]] = [("x", axes.xaxis), ("y", axes.yaxis)]
    for name, axis in both:
        axes.tick_params(
            name,
            labelsize=rc[f"{name}tick.labelsize"],
            labelcolor=rc[f"{name}tick.labelcolor"],
            labelfontfamily=rc["font.family"],
            color=rc[f"{name}tick.color"],
            width=rc[f"{name}tick.major.width"],
            length=rc[f"{name}tick.major.size"],
            pad=rc[f"{name}tick.major.pad"],
        )
        axis.label.set(fontsize=rc["axes.labelsize"], fontfamily=rc["font.family"], color=rc["axes.labelcolor"])
        axis.labelpad = rc["axes.labelpad"]


def label_points() -> float:
    """Returns the size of labels in a figure, which is that of tick labels."""
    return text_points(matplotlib.rcParams["xtick.labelsize"])


def text_points(size: float | str) -> float:
    """Returns a font size of matplotlib, "small" say, in points."""
    return float(FontProperties(size=size).get_size_in_points())


def page(
    title: str,
    subtitle: str,
    caption: str,
    size: tuple[float, float],
    right: float = 0.3,
    left: float = 0.75,
    below: float = 0.0,
) -> tuple[StyledFigure, Axes]:
    """Returns a figure whose axes measure `size` inches, between title and caption and the margins `left` and `right`.

    `below`: extra inches for tick labels of more than one line.
    """
    chars = int((left + size[0] + right) * 16.5)
    lines, under_title = textwrap.wrap(caption, chars), textwrap.wrap(subtitle, chars, break_long_words=False) or [""]
    top, bottom = 0.79 + 0.16 * len(under_title), 0.62 + 0.16 * len(lines) + below
    width, height = left + size[0] + right, bottom + size[1] + top
    figure = StyledFigure(RC, figsize=(width, height), facecolor="white")
    axes = figure.add_axes((left / width, bottom / height, size[0] / width, size[1] / height))
    figure.text(0.14 / width, 1 - 0.14 / height, title, fontsize=12, fontweight="bold", va="top")
    figure.text(0.14 / width, 1 - 0.40 / height, "\n".join(under_title), fontsize=8.5, color=GREY, va="top")
    figure.text(0.14 / width, 0.1 / height, "\n".join(lines), fontsize=8, color=GREY, va="bottom", linespacing=1.25)
    return figure, axes


def label_width(labels: Sequence[str]) -> float:
    """Returns the inches of a left margin that holds tick labels, within reason."""
    return float(np.clip(0.3 + 0.075 * max(map(len, labels), default=0), 0.9, 3.9))


def parts(figure: StyledFigure, axes: Axes, rows: int, columns: int, across: float, down: float) -> list[Axes]:
    """Replaces axes by several of equal size, row by row, with gaps of `across` and `down` inches."""
    box = axes.get_position()
    axes.remove()
    width, height = figure.get_size_inches()
    gap_x, gap_y = across / width, down / height
    part_x, part_y = (box.width + gap_x) / columns - gap_x, (box.height + gap_y) / rows - gap_y
    return [
        figure.add_axes((box.x0 + column * (part_x + gap_x), box.y1 - part_y - row * (part_y + gap_y), part_x, part_y))
        for row in range(rows)
        for column in range(columns)
    ]


def task_colours(num_tasks: int) -> list[str]:
    """Returns a colour for every task, in their order from dark to light."""
    return shades(num_tasks)


def series_colours(count: int) -> list[str]:
    """Returns colours for lines without an order: those of Okabe and Ito for up to six, else shades."""
    return [BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION][:count] if count <= 6 else shades(count)


LINE_COLOURS = (*series_colours(6), INK, GREY, "#882255", "#332288", "#999933", "#8c564b")
"""Of algorithms and of rows of a table. Those after Okabe and Ito's are from Tol's muted scheme, and brown."""
MARKERS = ("o", "s", "^", "v")
"""Of points that are not told apart by colour."""


def layer_colours(count: int) -> list[str]:
    """Returns a colour for every layer, from dark to light."""
    return [matplotlib.colors.to_hex(step) for step in LAYERS(np.linspace(0.0, 1.0, count))]


def task_image(num_tasks: int) -> np.ndarray:
    """Returns [1, T, 3] the same colours as an image."""
    return np.array([[matplotlib.colors.to_rgb(colour) for colour in task_colours(num_tasks)]])


def integer_ticks(axis: Any, bins: int = 8) -> None:
    """Puts ticks at whole numbers only, even if that leaves a single one."""
    axis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=bins, integer=True, min_n_ticks=1))


def shades(count: int) -> list[str]:
    """Returns steps of plasma from dark to light, which stay in order in greyscale, without its pale end."""
    steps = matplotlib.colormaps["plasma"](np.linspace(0.0, LIGHTEST, count))
    return [matplotlib.colors.to_hex(step) for step in steps]


def ink_on(colour: Any) -> str:
    """Returns black or white, whichever contrasts more with a colour in any form of matplotlib (luminance as in WCAG 2.1)."""
    channels = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def error_axis(axes: Axes, mean: np.ndarray, band: np.ndarray) -> None:
    """Sets a y axis from 0 that holds all of `mean`, and those values of `band` that are not far above it."""
    line, whole = (float(values[np.isfinite(values)].max(initial=0.0)) for values in (mean, band))
    axes.set_ylim(0, 1.05 * min(whole, 1.5 * line) or 1.0)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=PALE, lw=0.6)


SHORT = 0.25
"""The accuracies below which an axis is divided into twentieths."""
ROOM_BELOW = 0.07
"""The part of an axis that the name of a line at its lower end takes."""


def accuracy_axis(axes: Axes, values: np.ndarray, chance: float | None, named_chance: bool = True) -> None:
    """Sets a y axis in tenths, in twentieths where it is short, that holds all of `values` and the chance level, and draws a
    line at the latter."""
    finite = values[np.isfinite(values)]
    low = max(0.0, min([*finite, 1.0 if chance is None else chance]) - 0.02)
    high = min(1.0, max([*finite, 0.0 if chance is None else chance]) + 0.02)
    parts = 20 if high - low < SHORT else 10
    axes.set_ylim(np.floor(low * parts) / parts, np.ceil(high * parts) / parts + 0.005)
    low, high = axes.get_ylim()
    step = next(step for step in (0.02, 0.05, 0.1, 0.2) if (high - low) / step < 6)
    axes.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step))
    axes.yaxis.set_major_formatter("{x:.1f}" if step >= 0.1 else "{x:.2f}")
    axes.grid(axis="y", color=PALE, lw=0.6)
    if chance is not None:
        axes.axhline(chance, color=GREY, lw=1.0, ls=(0, (4, 3)), zorder=1.5)
    if chance is not None and named_chance:
        is_low = (chance - low) / (high - low) < ROOM_BELOW  # then curves begin where the name would be
        axes.annotate(
            f"chance {chance_text(chance)}",
            (1 if is_low else 0, chance),
            (-4, 3) if is_low else (4, -9),
            ha="right" if is_low else "left",
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize="small",
            color=GREY,
        )
