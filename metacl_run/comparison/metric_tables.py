"""A section's numbers as grids: the metrics of every configuration, the pairs, and what else differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

import numpy as np

from metacl_run.comparison.cell_text import ALL_PAIRS_UP_TO, Line, Pair, Scored
from metacl_run.comparison.entries import ONE_WAY
from metacl_run.comparison.groups import Configuration, assignment
from metacl_run.layout.grid import Cell, Grid, Tone
from metacl_run.reporting.number_text import interval, number
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE, higher_is_better, metrics_of
from metacl_run.scoring.scores import SCORES
from metacl_run.scoring.statistics import EXACT_UP_TO, LEVEL, fewest_for, holm, smallest_p
from metacl_run.storage.marks import TUNED_ON_TEST

NO_VALUE, ON_TEST = "†", "*"


def metrics_grid(scored: Scored) -> Grid:
    """A row a configuration: its seeds, and of every metric the mean over them with its interval; of two seeds, both values."""
    best = {metric: _best(scored, metric) for metric in scored.metrics}
    rows = []
    for label in scored.labels:
        row = [_name(scored, label), Cell(str(len(scored.section.configurations[label].seeds)))]
        for metric in scored.metrics:
            line = scored.lines[metric][label]
            text, lost = _with_spread(line, scored.values[metric][label]), isnan(line.mean)
            row.append(Cell(text, NO_VALUE if lost else "", "good" if line == best[metric] else ""))
        rows.append(row)
    headings = ["algorithm", "seeds", *scored.metrics]
    return Grid(f"{scored.section.title}: means", headings, rows, _metrics_notes(scored))


def iqm_grid(scored: Scored) -> Grid | None:
    """The interquartile mean of every metric; None where it is the mean everywhere, with fewer than 4 seeds."""
    if max(len(each.seeds) for each in scored.section.configurations.values()) < 4:
        return None
    rows = []
    for label in scored.labels:
        values = [scored.lines[metric][label].iqm for metric in scored.metrics]
        cells = [Cell("-", NO_VALUE) if isnan(value) else Cell(number(value)) for value in values]
        rows.append([_name(scored, label), Cell(str(len(scored.section.configurations[label].seeds))), *cells])
    note = (
        "The mean of the middle half of the seeds: a quarter of them, rounded down, is left out at either end (Agarwal et al. "
        "2021, arXiv 2108.13264). One lucky or unlucky seed does not move it."
    )
    return Grid(f"{scored.section.title}: interquartile means", ["algorithm", "seeds", *scored.metrics], rows, [note])


def _name(scored: Scored, label: str) -> Cell:
    on_test = scored.section.configurations[label].settings.get("protocol.lr_selection") == "test"
    return Cell(label, ON_TEST if on_test else "")


def _best(scored: Scored, metric: str) -> Line | None:
    """The row with the best mean, of those with seeds enough for an interval; None where there is no choice."""
    lines = [line for line in scored.lines[metric].values() if line.num >= FEWEST and not isnan(line.mean)]
    best = max if higher_is_better(metric, SCORES[scored.section.score]) else min
    return best(lines, key=lambda line: line.mean) if len(lines) > 1 else None


def _with_spread(line: Line, values: np.ndarray) -> str:
    """The mean with its interval; of two seeds, with both values."""
    if line.num == 2 and not isnan(line.mean):
        return f"{number(line.mean)} ({', '.join(map(number, values.tolist()))})"
    return _with_interval(line.mean, line.low, line.high)


def _with_interval(mean: float, low: float, high: float) -> str:
    if isnan(mean):
        return "-"
    return number(mean) if isnan(low) else f"{number(mean)} ({interval([low, high])})"


def _metrics_notes(scored: Scored) -> list[str]:
    section = scored.section
    sequence = section.kind == "meta_continual"
    known = metrics_of(SCORES[section.score], in_sequence=sequence)
    least, most = _range([len(each.seeds) for each in section.configurations.values()])
    notes = []
    if section.shared.get("protocol.lr_selection") == "test":
        notes.append(f"{ON_TEST} {TUNED_ON_TEST}: chosen on what is reported, so flattered.")
    if section.shared.get(ONE_WAY):
        notes.append(
            "Transductive: every score is with all queries of an episode together, as version 0.1 evaluated by default. Later "
            f"runs report the same as {TRANSDUCTIVE}{section.score}, in a table of their own."
        )
    if f"{TRANSDUCTIVE}{section.score}" in section.metrics:
        notes.append(
            f"Where nothing else is said a score is of each query alone; --metric {TRANSDUCTIVE}{section.score} is with all "
            "queries of an episode together."
        )
    notes += _seeds_notes(least, most)
    notes += [f"{name}: {known[name].meaning}." for name in scored.metrics if name in known]
    lost = [label for label in scored.labels if any(isnan(scored.lines[m][label].mean) for m in scored.metrics)]
    notes += [f"{NO_VALUE} {label}: {_why(section.configurations[label])}" for label in lost]
    notes += [f"Left out: {name}: {why}." for name, why in scored.omitted.items()]
    notes += [f"Not the same for all: {name}." for name in _unequal(scored)]
    return notes


def _seeds_notes(least: int, most: int) -> list[str]:
    """What the spread in brackets is, of rows with that many seeds."""
    if most == 1:
        return [f"One seed each: no interval, no best row and no differences. They need {FEWEST} seeds."]
    notes = []
    if most >= FEWEST:
        notes.append(
            "Mean over seeds, in brackets its 95% interval (Student t over seeds). Coloured: the best of those that have one."
        )
    if least < FEWEST:
        notes.append(f"With fewer than {FEWEST} seeds there is no interval; of two, brackets hold both values.")
    return notes


def _why(configuration: Configuration) -> str:
    diverged = configuration.diverged
    if not diverged:
        return "not every seed has a value, and a mean over the others would mislead."
    listed = ", ".join(map(str, diverged))
    return f"diverged (in runs with seed {listed}); a mean over what is left would mislead."


def _unequal(scored: Scored) -> list[str]:
    """Lengths and counts of the protocol that differ between rows."""
    every = [each.settings for each in scored.section.configurations.values()]
    keys = sorted({key for settings in every for key in settings if key.startswith("protocol.")})
    found = []
    for key in keys:
        values = {json.dumps(settings.get(key)) for settings in every}
        if len(values) > 1 and not key.endswith("_target_"):
            found.append(f"{key} is {', '.join(sorted(values, key=lambda text: (len(text), text)))}")
    per_sample = {value for settings in every if (value := _updates_per_sample(settings)) is not None}
    if len(per_sample) > 1:
        found.append(
            f"the number of updates for every training sample is {', '.join(f'{value:g}' for value in sorted(per_sample))}"
        )
    return found


def _updates_per_sample(settings: Mapping[str, Any]) -> float | None:
    """How many gradient steps a method of protocol `online` takes for every sample it is shown; None of other methods."""
    batch = settings.get("algo.batch_size")
    return settings.get("algo.updates", 1) * settings.get("algo.glances", 1) / batch if batch else None


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)


def pairs_grid(scored: Scored) -> Grid | None:
    """A row for each metric and pair of configurations; None where no two have seeds enough in common.

    Columns of p stand there where some pair has seeds enough for a p below `LEVEL`.
    """
    if not scored.pairs:
        return None
    tested = any(pair.num >= fewest_for(LEVEL) for pair in scored.pairs)
    rows = []
    for pair in scored.pairs:
        p, tone = _p_cell(pair)
        row = [
            Cell(f"{pair.first} minus {pair.second}"),
            Cell(pair.metric),
            Cell(str(pair.num)),
            Cell(_with_interval(pair.mean, pair.low, pair.high), NO_VALUE if isnan(pair.mean) else "", tone),
        ]
        rows.append([*row, p, Cell("-" if isnan(pair.corrected) else _p(pair.corrected), "", tone)] if tested else row)
    headings = ["pair", "metric", "common seeds", "mean difference (95%)", *(["p", "p, Holm"] if tested else [])]
    return Grid(f"{scored.section.title}: paired over common seeds", headings, rows, _pair_notes(scored, tested))


def _at_best(scored: Scored) -> list[float]:
    """Of every pair, the least corrected p that its seeds allow, were every test as extreme as can be; NaN if not tested."""
    found: list[float] = []
    for metric in scored.metrics:
        pairs = [pair for pair in scored.pairs if pair.metric == metric]
        found += holm(np.array([nan if isnan(pair.p) else smallest_p(pair.num) for pair in pairs])).tolist()
    return found


def _p_cell(pair: Pair) -> tuple[Cell, Tone]:
    if pair.num < fewest_for(LEVEL):
        return Cell("too few seeds", "", "quiet"), ""
    if isnan(pair.p):
        return Cell("-", NO_VALUE), ""
    return Cell(_p(pair.p)), "good" if pair.corrected < LEVEL else ""


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _pair_notes(scored: Scored, tested: bool) -> list[str]:
    notes = [
        "Mean of the differences seed by seed, with its 95% interval (Student t over the common seeds). Pairs with fewer than "
        f"{FEWEST} common seeds are left out."
    ]
    if tested:
        notes.append(
            f"p: two-sided sign-flip permutation test, exact up to {EXACT_UP_TO} seeds; Holm: corrected over the pairs of a "
            f"metric that could be tested. Coloured: below {LEVEL}."
        )
    if any(pair.num < fewest_for(LEVEL) for pair in scored.pairs):
        need = fewest_for(LEVEL)
        notes.append(
            f"With fewer than {need} common seeds no difference, however large, can have p below {LEVEL:g}: the test has "
            f"2^seeds outcomes, two of them as extreme as can be. So there is no p; give {need} seeds or more."
        )
    if any(at_best >= LEVEL for at_best in _at_best(scored)):
        notes.append(
            f"Some pairs have too few seeds for so many pairs: their p after Holm's correction cannot be below {LEVEL:g}."
        )
    if len(scored.labels) > ALL_PAIRS_UP_TO:
        notes.append(
            f"More than {ALL_PAIRS_UP_TO} rows: {scored.labels[0]}, the best of them, is compared with every other. It was "
            "chosen by these numbers, which favours it."
        )
    return notes


def settings_grid(scored: Scored) -> Grid | None:
    """What differs within a section and does not stand in the labels; None where there is no such thing."""
    others = scored.section.others
    if not any(others.values()):
        return None
    rows = [
        [Cell(label), Cell(" ".join(assignment(key, value) for key, value in others[label].items()) or "-")]
        for label in scored.labels
    ]
    return Grid(f"{scored.section.title}: what else differs", ["algorithm", "settings"], rows)
