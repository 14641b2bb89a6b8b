"""The axes that figures of a run share: work done, with the tasks that are learned along it, and the score."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from metacl_run.layout.end_labels import size_in_points
from metacl_run.layout.seed_lines import extent
from metacl_run.layout.style import (
    GREY,
    SHADE,
    VERMILLION,
    accuracy_axis,
    error_axis,
    ink_on,
    integer_ticks,
    task_colours,
    task_image,
    text_points,
)
from metacl_run.storage.stored_run import StoredRun

MOST_PATCHES = 25
"""Most tasks of which every one is drawn and numbered; with more, the strip is one image with some of the numbers."""
MOST_NUMBERS = 15
STRIP_COLUMNS = 4000
"""Columns of that image where tasks differ in length."""


def steps_of(run: StoredRun, units: np.ndarray) -> np.ndarray:
    """Returns the places of units on the axis of work, where a stream under `osaka` begins at 0."""
    return np.asarray(units - run.pretraining)


def work_axis(axes: Axes, run: StoredRun, strip: bool, bins: int = 8, pretraining: bool = False) -> None:
    """Sets x from 0 to the end of the run, or to where an unfinished one stopped, and shades every second task.

    `pretraining`: the axis has the pre-training of a stream too, below 0, with a dotted line at its end.
    """
    unfinished = units_axis(axes, run, bins, pretraining)
    (begin, end), before = axes.get_xlim(), run.pretraining
    total, of = run.units.total - before, ""
    if begin < 0 < end:
        axes.axvline(0, color=GREY, lw=1.0, ls=":", zorder=1.5)
        label = axes.annotate(
            "pre-training | stream", (0, 1), xycoords=axes.get_xaxis_transform(), fontsize="small", color=GREY
        )
        label.set(ha="center", va="bottom")
    if run.num_training_parts <= MOST_PATCHES:
        for begin, stop in zip(run.units.starts[1::2], run.units.ends[1::2], strict=True):
            if begin < end:
                axes.axvspan(begin, min(stop, end), color=SHADE, lw=0, zorder=0)
    if strip:
        _task_strip(axes, run)
    if unfinished:
        axes.axvline(end, color=VERMILLION, lw=1.2, ls=":")
        if end <= 0 < before:
            end, total, of = end + before, before, " of pre-training"
        text = f"{run.status} at {end:.0f} of {total} {run.unit_name}s{of}"
        above = sum(_strip_place(axes)) if strip else 1.0
        ended = axes.text(1.0, above + 0.02, text, transform=axes.transAxes)
        ended.set(ha="right", va="bottom", fontsize="small", color=VERMILLION)


def units_axis(axes: Axes, run: StoredRun, bins: int, pretraining: bool = False) -> bool:
    """Sets the same axis and draws nothing on it. Returns whether the run is unfinished."""
    total = run.units.total
    reached = int(max([0, *run.evaluations.units[-1:], *run.training.units[-1:]]))
    unfinished = 0 < reached < total and run.status != "completed"
    begin, end = steps_of(run, np.array([0, reached if unfinished else max(total, reached)]))
    axes.set_xlim(begin if pretraining else 0, end)
    axes.set_xlabel(f"{run.unit_name}s of the stream" if run.kind == "osaka" else f"{run.unit_name}s")
    integer_ticks(axes.xaxis, bins)
    return unfinished


def _task_strip(axes: Axes, run: StoredRun) -> None:
    """Draws a numbered bar over the axes in the colours of the tasks being learned."""
    frame, units, end = axes.get_xaxis_transform(), run.units, axes.get_xlim()[1]
    bottom, height = _strip_place(axes)
    middle = bottom + height / 2
    widest = 0.7 * (len(str(run.num_tasks)) + 1.2)
    numbers = min(MOST_PATCHES, int(size_in_points(axes)[0] / (widest * text_points("small"))))
    colours = task_colours(run.num_tasks)
    many = run.num_tasks > MOST_PATCHES
    if many:
        inset = axes.inset_axes((0, bottom, 1, height))
        places = np.linspace(0, units.total, run.num_tasks if units.are_equal else STRIP_COLUMNS, endpoint=False)
        strip = task_image(run.num_tasks)[:, units.tasks_at(places)]
        inset.imshow(strip, aspect="auto", extent=(0, units.total, 0, 1))
        inset.set_xlim(0, end)
        inset.axis("off")
    for task, colour in enumerate(colours):
        begin, stop = units.starts[task], min(units.ends[task], end)
        if begin >= stop:
            break
        if not many:
            axes.add_patch(Rectangle((begin, bottom), stop - begin, height, transform=frame, color=colour, lw=0, clip_on=False))
        if (task + 1) % round_step(run.num_tasks, min(MOST_NUMBERS, numbers) if many else numbers) == 0:
            number = (inset if many else axes).text((begin + stop) / 2, 0.5 if many else middle, str(task + 1))
            number.set(ha="center", va="center_baseline", fontsize="small", color=ink_on(colour))
            if not many:
                number.set_transform(frame)
            elif task + 1 == run.num_tasks:  # within the strip
                number.set(ha="right", x=stop)
    label = axes.text(-0.012, middle, "task", transform=axes.transAxes)
    label.set(ha="right", va="center", fontsize="small", color=GREY)


def _strip_place(axes: Axes) -> tuple[float, float]:
    """Returns the bottom and the height of the strip, as parts of the height of the axes."""
    points = size_in_points(axes)[1]
    return 1 + 3 / points, 1.45 * text_points("small") / points


def score_axis(axes: Axes, run: StoredRun, values: np.ndarray, chance: float | None, named_chance: bool = True) -> None:
    """Sets a y axis, as suits the score, that holds the mean of [R, ...] over seeds and its spread; labels it."""
    if run.score.higher_is_better:
        accuracy_axis(axes, extent(values, run.possible), chance, named_chance)
    else:
        error_axis(axes, values.mean(axis=0), extent(values, run.possible))
    axes.set_ylabel(run.score.score_words)


def values_axis(axes: Axes, run: StoredRun, values: np.ndarray) -> None:
    """Sets a y axis, as suits the score, that holds all of `values`; labels it."""
    if run.score.higher_is_better:
        accuracy_axis(axes, values, None)
    else:
        error_axis(axes, values, values)
    axes.set_ylabel(run.score.score_words)


def round_step(count: int, most: int) -> int:
    """Returns the least step out of 1, 2, 5, 10, 20, 50 ... that divides `count` into at most `most` parts."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if count <= step * most:
                return step
        power *= 10
