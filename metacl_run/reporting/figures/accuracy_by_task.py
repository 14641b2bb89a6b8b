"""The score on every task while the tasks are learned in turn, in the form that suits their number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from metacl_run.layout.canvas import Canvas, panel_rows
from metacl_run.layout.end_labels import EndLabel, end_labels, room
from metacl_run.layout.numbers import label_value, score_text
from metacl_run.layout.seed_lines import seeds_line, spread
from metacl_run.layout.style import BLUE, GREY, INK, ORANGE, label_points, task_colours
from metacl_run.reporting.axes import score_axis, units_axis, work_axis
from metacl_run.reporting.figures.mean_accuracy import mean_of_seen
from metacl_run.reporting.figures.run_figure import FEWEST_EVALUATIONS, FigureText, RunFigure, has_several_tasks
from metacl_run.reporting.phrases import phrases, spread_words, task_label
from metacl_run.scoring.metric_table import worst_name
from metacl_run.scoring.scores import chance_text
from metacl_run.storage.stored_run import Evaluations, StoredRun

MOST_LINES, MOST_PLOTS = 6, 25
"""Most tasks whose lines share one plot, and most that get a small plot each; of more, the mean and the extremes are drawn."""
COLUMNS = 4
LABEL = 0.4
"""The most of a figure's width that a label takes: a task's name and its score."""
PLACES = 5
"""Tasks that are drawn out of many, at places spread evenly from the first to the last: the best ones would often be just those
learned last."""


def data(run: StoredRun) -> Evaluations | None:
    return run.evaluations if has_several_tasks(run) and len(run.evaluations.units) >= FEWEST_EVALUATIONS else None


def text(run: StoredRun, evaluations: Evaluations) -> FigureText:
    words, score = phrases(run.score), run.score.score_words.capitalize()
    title = f"{score} on every task while the tasks are learned in turn"
    ended = len(evaluations.units) and evaluations.units[-1] >= run.units.ends[0]
    forgotten = f"A line that {words.worsens} after its circle is a task being forgotten"
    if not ended:
        forgotten = "The run ended while the first task was learned"
    elif run.future_is_evaluated:
        forgotten += f"; one that {words.improves} before its task begins is helped by the tasks before it"
    if run.num_tasks <= MOST_LINES:
        before = "Thin: before the task was learned. " if run.future_is_evaluated else ""
        caption = f"{before}{'Circle: when its training ended. ' if ended else ''}"
        explanation = f"The strip on top shows which task is being trained. {forgotten}."
    elif run.num_tasks <= MOST_PLOTS:
        guess = f"Dashed: chance, {chance_text(run.chance)}. " if run.chance is not None else ""
        caption = f"Shaded: while the task was learned, up to the circle. Numbers: then, and at the end. {guess}"
        explanation = f"One plot for each task, all on the same axes. {forgotten}."
    else:
        title = f"{score} on the tasks seen so far, and on some of them"
        caption = (
            "Black: mean over the tasks seen so far. Between the dotted lines: the middle 80% of them. Coloured: the first and "
            "the last task, and those after 25%, 50% and 75% of the stream. "
        )
        explanation = (
            f"{run.num_tasks} lines would hide each other. Lines of single tasks begin where their training ended; all scores "
            "are in accuracy_matrix.npy."
        )
    return FigureText(title, caption + spread_words(run), f"{explanation} {_about_probes(run)}")


def _about_probes(run: StoredRun) -> str:
    """How much a reader can trust the lines between two task ends."""
    words, score, worst = phrases(run.score), run.score.score_words, worst_name(run.score)
    if not len(run.probe_units):
        dip = f"{score.capitalize()} was measured only when tasks ended, which hides a {words.dip} in between"
        every = (run.config.get("protocol") or {}).get("eval_every")
        if every:
            return f"{dip}. protocol.eval_every={every} is no less than the {run.units_per_task} {run.unit_name}s of a task."
        return f"{dip} from this figure and from {worst}. protocol.eval_every=N probes it every N {run.unit_name}s."
    every = int(np.diff(np.unique([0, *run.probe_units])).min())
    probed = f"Between task ends {score} was probed every {every} {run.unit_name}s"
    if run.probe_samples is None:
        return f"{probed}."
    return (
        f"{probed}, on the first {run.probe_samples} {run.eval_split} samples of a task, as for {worst}. At task ends all "
        "samples are evaluated, so small steps there come from the sample."
    )


def canvas(run: StoredRun, evaluations: Evaluations) -> Canvas:
    if not MOST_LINES < run.num_tasks <= MOST_PLOTS:
        return Canvas(right=2.3)
    mosaic = panel_rows(run.num_tasks, COLUMNS)
    size, height = (7.6, 1.45 * len(mosaic) - 0.45), 0.3 + 0.95 * len(mosaic)
    return Canvas(size, right=0.3, mosaic=mosaic, gap=(0.25, 0.45), columns=2, height=height)


def draw(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    if run.num_tasks <= MOST_LINES:
        _draw_together(run, evaluations, panels[0])
    elif run.num_tasks <= MOST_PLOTS:
        _draw_plots(run, evaluations, panels)
    else:
        _draw_some(run, evaluations, panels[0])


def _task_line(axes: Axes, run: StoredRun, evaluations: Evaluations, task: int, colour: str) -> None:
    """One task: thin until it begins, then with its seeds; a circle where its training ended."""
    begin, end = run.units.starts[task], run.units.ends[task]
    values, units = evaluations.scores[:, :, task], evaluations.units
    known = np.isfinite(values).all(axis=0)
    values, units = values[:, known], units[known]
    if not len(units):
        return
    after = units >= begin
    before = units <= (units[after][0] if after.any() else units[-1])
    mean = values.mean(axis=0)
    axes.plot(units[before], mean[before], color=colour, lw=0.8, alpha=0.5)
    seeds_line(axes, units[after], values[:, after], colour, run.possible)
    for index in np.flatnonzero(units == end):
        axes.plot(end, mean[index], "o", color=colour, ms=5, mec="white", mew=0.8, zorder=4, clip_on=False)


def _last_score(evaluations: Evaluations, task: int) -> float | None:
    """The mean score of a task at its last evaluation; None where it was never evaluated."""
    mean = evaluations.scores[:, :, task].mean(axis=0)
    known = mean[np.isfinite(mean)]
    return float(known[-1]) if len(known) else None


def _draw_together(run: StoredRun, evaluations: Evaluations, axes: Axes) -> None:
    work_axis(axes, run, strip=True)
    score_axis(axes, run, evaluations.scores, run.chance)
    labels = []
    for task, colour in enumerate(task_colours(run.num_tasks)):
        _task_line(axes, run, evaluations, task, colour)
        if (end := _last_score(evaluations, task)) is not None:
            labels.append(EndLabel(end, _label(run, task, end, axes), colour))
    end_labels(axes, evaluations.units[-1], labels, LABEL)


def _label(run: StoredRun, task: int, score: float, axes: Axes) -> str:
    """The name of a task, shortened to what there is room for, and its score."""
    value = label_value(score, run.score)
    return f"{task_label(run, task, min(24, room(axes, LABEL) - len(value)))}{value}"


def _draw_plots(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    for task, axes in enumerate(panels):
        units_axis(axes, run, bins=3)
        score_axis(axes, run, evaluations.scores, run.chance, named_chance=False)
        axes.axvspan(run.units.starts[task], run.units.ends[task], color=ORANGE, alpha=0.15, lw=0, zorder=0)
        _task_line(axes, run, evaluations, task, BLUE)
        axes.set_title(task_label(run, task, min(15, room(axes, 0.5))), fontsize=label_points(), loc="left", pad=4)
        axes.set_title(_then_and_now(run, evaluations, task), fontsize="small", loc="right", pad=4, color=GREY)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axes.tick_params(labelsize="small", labelleft=task % COLUMNS == 0, labelbottom=task + COLUMNS >= run.num_tasks)
        axes.set_ylabel(run.score.score_words if task % COLUMNS == 0 and run.score.higher_is_better else "")
        axes.set_xlabel(f"{run.unit_name}s" if task // COLUMNS == (run.num_tasks - 1) // COLUMNS else "")


def _then_and_now(run: StoredRun, evaluations: Evaluations, task: int) -> str:
    learned, end = float(run.matrix[:, task + 1, task].mean()), _last_score(evaluations, task)
    if not math.isfinite(learned) or end is None:
        return ""
    return f"{score_text(learned, run.score)} → {score_text(end, run.score)}"


def _draw_some(run: StoredRun, evaluations: Evaluations, axes: Axes) -> None:
    """The mean over the tasks seen so far, how far they lie apart, and some single tasks."""
    work_axis(axes, run, strip=True)
    units, seen, scores, _ = evaluations
    means = mean_of_seen(evaluations)  # [R, P]
    places = np.flatnonzero(np.isfinite(means).all(axis=0) & (seen > 0))
    low, high = np.full((2, len(places)), np.nan)
    for i, place in enumerate(places):
        low[i], high[i] = np.quantile(scores[:, place, : seen[place]].mean(axis=0), [0.1, 0.9])
    last = scores[:, places[-1]].mean(axis=0) if len(places) else np.full(run.num_tasks, np.nan)
    learned, colours = seen[places[-1]] if len(places) else 0, task_colours(run.num_tasks)
    some = np.linspace(0, run.num_tasks - 1, PLACES).round().astype(int).tolist()
    inks = {task: colours[task] for task in some if task < learned}
    lines = {task: _after_training(run, task) for task in inks}
    everything = np.concatenate([means[:, places].ravel(), low, high, *(line.ravel() for _, line in lines.values())])
    score_axis(axes, run, everything[None], run.chance)
    for edge in (low, high):
        axes.plot(units[places], edge, color=GREY, lw=0.9, ls=":", zorder=2)
    for task, (line_units, line) in lines.items():
        axes.plot(line_units, line, color=inks[task], lw=1.1, zorder=2.5)
        axes.plot(line_units[:1], line[:1], "o", color=inks[task], ms=4.5, mec="white", mew=0.7, zorder=4, clip_on=False)
    axes.plot(units[places], means[:, places].mean(axis=0), color=INK, zorder=3)
    spread(axes, units[places], means[:, places], INK, run.possible)
    if len(places):
        mean = float(means[:, places[-1]].mean())
        labels = [
            *(EndLabel(float(last[t]), _label(run, t, float(last[t]), axes), inks[t]) for t in inks),
            EndLabel(mean, f"mean of {learned}{label_value(mean, run.score)}", INK),
        ]
        end_labels(axes, units[places[-1]], labels, LABEL)


def _after_training(run: StoredRun, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns units and mean scores of a task from the end of its training on."""
    units, mean = run.evaluations.units, run.evaluations.scores[:, :, task].mean(axis=0)
    known = np.isfinite(mean) & (units >= run.units.ends[task])
    return units[known], mean[known]


FIGURE = RunFigure(name="accuracy_by_task", data=data, text=text, canvas=canvas, draw=draw)
