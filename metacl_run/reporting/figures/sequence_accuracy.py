"""Held-out score, memory and the upper bound, against the number of classes learned one after another."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.numbers import score_text
from metacl_run.layout.style import BLUE, GREY, INK, ORANGE, accuracy_axis, end_labels, error_axis
from metacl_run.reporting.figures.base import FigureText, RunFigure, meta_test_of, sheet, tuned_mark
from metacl_run.reporting.phrases import phrases
from metacl_run.scoring.intervals import FEWEST
from metacl_run.storage.sequence_records import interval_is_over, intervals
from metacl_run.storage.stored_run import StoredRun


def applies(run: StoredRun) -> bool:
    return meta_test_of(run) is not None


def text(run: StoredRun) -> FigureText:
    test, score = meta_test_of(run), run.score
    assert test is not None
    seeds, _, orders = test.held_out.shape
    count = f"{orders} order{'s' if orders > 1 else ''}"
    if test.joint is not None and test.joint.shape[2] != orders:
        count += f" (joint training: {test.joint.shape[2]})"
    enough = (orders if seeds == 1 else seeds) >= FEWEST
    band = f"with its 95% interval over {interval_is_over(seeds)}" if enough else "without an interval"
    mean = f"Mean over {count}" if seeds == 1 else f"Mean over {count} of each of {seeds} seeds"
    thin = " Thin: single seeds." if seeds > 1 else ""
    concepts, examples, worse = score.concepts, score.examples, phrases(score).worsens
    stays = "stays high" if score.higher_is_better else "stays low"
    explanation = (
        f"The learner is trained on each of the {concepts} once and never again. Held out: other {examples} of the {concepts} "
        f"it has learned. Memory: the very {examples} it learned from. Where memory {stays} and held out {worse}, it remembers "
        f"the {examples} but does not know the {concepts}; where both {worse.removesuffix('s')}, it forgets."
    )
    if test.joint is not None:
        explanation += f" Dashed: joint training on the same {concepts}, shuffled, for several epochs: the upper bound."
    if score.higher_is_better:
        explanation += " Chance is one guess among the classes learned."
    if seeds == 1:
        explanation += f" This is one meta-trained network: another seed may differ by more than orders of {concepts} do."
    return FigureText(
        f"{score.score_words.capitalize()} after learning unseen {concepts} one after another",
        f"{tuned_mark(test)}{mean}, {band}.{thin}",
        tuned_mark(test) + explanation,
    )


def draw(run: StoredRun, text: FigureText) -> Figure:
    test = meta_test_of(run)
    assert test is not None
    figure, axes = sheet(run, text)
    lines = [("held out", test.held_out, BLUE, "-"), ("memory", test.memory, ORANGE, "-")]
    if test.joint is not None:
        lines.append(("joint training", test.joint, INK, "--"))
    bands = [intervals(values, run.possible) for _, values, _, _ in lines]
    edges = np.concatenate([*(band.ravel() for band in bands), *(values.mean(axis=2).ravel() for _, values, _, _ in lines)])
    labels = []
    if run.score.higher_is_better:
        everywhere = np.arange(test.lengths[0], test.longest + 1)
        accuracy_axis(axes, np.concatenate([edges, 1 / test.lengths]), None)
        axes.plot(everywhere, 1 / everywhere, color=GREY, lw=0.8, marker="" if len(everywhere) > 1 else "_", zorder=1.5)
        labels.append((1 / test.longest, f"chance {1 / test.longest:.2g}", GREY))
    else:
        error_axis(axes, edges, edges)
    for (name, values, colour, style), band in zip(lines, bands, strict=True):
        mean = values.mean(axis=(0, 2))
        axes.plot(test.lengths, mean, style, color=colour, lw=1.7, zorder=3)
        axes.plot(test.lengths, mean, "o", color=colour, ms=4.5, mec="white", mew=0.7, zorder=4, clip_on=False)
        _draw_band(axes, test.lengths, mean, band, colour)
        if len(run.seeds) > 1:
            axes.plot(test.lengths, values.mean(axis=2).T, style, color=colour, lw=0.6, alpha=0.5, zorder=2.5)
        if np.isfinite(mean[-1]):
            labels.append((float(mean[-1]), f"{name} {score_text(mean[-1], run.score)}", colour))
    axes.set_xlim(0, test.longest)
    axes.set_xlabel(f"{run.score.concepts} learned")
    axes.set_ylabel(f"{run.score.score_words} on the {run.score.concepts} learned")
    axes.set_xticks(thinned_ticks(test.lengths, 0.055 * test.longest))
    if labels:
        end_labels(axes, test.longest, *zip(*labels, strict=True))
    return figure


def thinned_ticks(values: np.ndarray, gap: float) -> list[int]:
    """Returns the last of increasing values, and before it those that are at least `gap` below the next one returned."""
    ticks = [int(values[-1])]
    for value in values[-2::-1]:
        if ticks[-1] - value >= gap:
            ticks.append(int(value))
    return ticks[::-1]


def _draw_band(axes: Axes, places: np.ndarray, mean: np.ndarray, band: np.ndarray, colour: str) -> None:
    """[S, 2] as an area; as a bar where there is one place only."""
    if not np.isfinite(band).any():
        return
    if len(places) > 1:
        axes.fill_between(places, band[:, 0], band[:, 1], color=colour, alpha=0.16, lw=0, zorder=2)
    else:
        axes.errorbar(places, mean, np.abs(band.T - mean), fmt="none", ecolor=colour, elinewidth=1.2, capsize=3, zorder=2)


FIGURE = RunFigure(name="sequence_accuracy", applies=applies, text=text, draw=draw)
