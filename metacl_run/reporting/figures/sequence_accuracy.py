"""Held-out score, memory and the upper bound, against the number of classes learned one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import EndLabel
from metacl_run.layout.seed_lines import SeedLine, extent, labelled_lines
from metacl_run.layout.style import BLUE, GREEN, GREY, INK, ORANGE
from metacl_run.reporting.axes import values_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, mark_sentence
from metacl_run.reporting.phrases import phrases
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import chance_text
from metacl_run.storage.sequence_records import MetaTestScores, independent, interval_is_over
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> MetaTestScores | None:
    return run.meta_test


def text(run: StoredRun, test: MetaTestScores) -> FigureText:
    score = run.score
    seeds, _, orders = test.held_out.shape
    count = f"{orders} order{'s' if orders > 1 else ''}"
    if test.joint is not None and test.joint.shape[2] != orders:
        count += f" (joint training: {test.joint.shape[2]})"
    thin = "orders" if seeds == 1 else "seeds"
    enough = (orders if seeds == 1 else seeds) >= FEWEST
    band = f", with its 95% interval over {interval_is_over(seeds)}" if enough else f"; thin: single {thin}"
    mean = f"Mean over {count}" if seeds == 1 else f"Mean over {count} of each of {seeds} seeds"
    concepts, examples, worse = score.concepts, score.examples, phrases(score).worsens
    stays = "stays high" if score.higher_is_better else "stays low"
    explanation = (
        f"The learner is trained on each of the {concepts} once and never again. Held out: other {examples} of the {concepts} "
        f"it has learned. Memory: the same {examples} it learned from. If memory {stays} and held out {worse}, it remembers "
        f"the {examples} but does not know the {concepts}; if both {worse.removesuffix('s')}, it forgets."
    )
    if test.joint is not None:
        explanation += f" Dashed: joint training on the same {concepts}, shuffled, for several epochs: the upper bound."
    if test.untrained is not None:
        explanation += (
            " Dotted: held-out accuracy of the nearest class mean on features of the untrained network, the baseline to beat."
        )
    if score.higher_is_better:
        explanation += " Chance is one guess among the classes learned."
    if seeds == 1:
        explanation += f" This is one meta-trained network: another seed may differ by more than orders of {concepts} do."
    return FigureText(
        f"{score.score_words.capitalize()} after learning unseen {concepts} one after another",
        f"{mark_sentence(test)}{mean}{band}.",
        mark_sentence(test) + explanation,
    )


def draw(run: StoredRun, test: MetaTestScores, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    lines = [
        SeedLine(name, test.lengths, independent(values), colour, style)
        for name, values, colour, style in (
            ("held out", test.held_out, BLUE, "-"),
            ("memory", test.memory, ORANGE, "-"),
            ("joint training", test.joint, INK, "--"),
            ("random features", test.untrained, GREEN, ":"),
        )
        if values is not None
    ]
    chance: list[EndLabel] = []
    edges = np.concatenate([extent(line.values, run.possible) for line in lines])
    if run.score.higher_is_better:
        lengths = np.arange(test.lengths[0], test.longest + 1)
        chance = [EndLabel(1 / test.longest, f"chance\u00a0·\u00a0{chance_text(1 / test.longest)}", GREY)]
        values_axis(axes, run, np.concatenate([edges, 1 / test.lengths]))
        axes.plot(lengths, 1 / lengths, color=GREY, lw=0.8, marker="" if len(lengths) > 1 else "_", zorder=1.5)
    else:
        values_axis(axes, run, edges)
    axes.set_xlim(0, test.longest)
    axes.set_xlabel(f"{run.score.concepts} learned")
    axes.set_ylabel(f"{run.score.score_words} on the {run.score.concepts} learned")
    axes.set_xticks(thinned_ticks(test.lengths, 0.055 * test.longest))
    labelled_lines(axes, lines, run.possible, run.score, point_size=4.5, more_labels=chance)


def thinned_ticks(values: np.ndarray, gap: float) -> list[int]:
    """Returns the last of increasing values, and before it those that are at least `gap` below the next one returned."""
    ticks = [int(values[-1])]
    for value in values[-2::-1]:
        if ticks[-1] - value >= gap:
            ticks.append(int(value))
    return ticks[::-1]


FIGURE = RunFigure(name="sequence_accuracy", data=data, text=text, draw=draw)
