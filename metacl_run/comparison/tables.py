"""A section's numbers as grids: the metrics of every configuration, the pairs, and what else differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan, nan

import numpy as np

from metacl_run.comparison.groups import Configuration, assignment
from metacl_run.comparison.numbers import ALL_PAIRS_UP_TO, Pair, Scored
from metacl_run.marks import TUNED_ON_TEST
from metacl_run.metric_table import higher_is_better, metrics_of
from metacl_run.reporting.grid import Cell, Grid, Tone
from metacl_run.reporting.numbers import interval, number
from metacl_run.scores import SCORES
from metacl_run.statistics import EXACT_UP_TO, LEVEL, fewest_for, holm, smallest_p

NO_VALUE, ON_TEST = "†", "*"


def metrics_grid(scored: Scored) -> Grid:
    """A row a configuration: its seeds, and of every metric the mean over them with its interval."""
    best = {metric: _best(scored, metric) for metric in scored.metrics}
    rows = []
    for label in scored.labels:
        row = [_name(scored, label), Cell(str(len(scored.section.configurations[label].seeds)))]
        for metric in scored.metrics:
            line = scored.lines[metric][label]
            text, lost = _with_interval(line.mean, line.low, line.high), isnan(line.mean)
            row.append(Cell(text, NO_VALUE if lost else "", "good" if line.mean == best[metric] else ""))
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


def _best(scored: Scored, metric: str) -> float | None:
    """The best mean, where there is a choice."""
    means = [each.mean for each in scored.lines[metric].values() if not isnan(each.mean)]
    best = max if higher_is_better(metric, SCORES[scored.section.score]) else min
    return best(means) if len(means) > 1 else None


def _with_interval(mean: float, low: float, high: float) -> str:
    if isnan(mean):
        return "-"
    return number(mean) if isnan(low) else f"{number(mean)} ({interval([low, high])})"


def _metrics_notes(scored: Scored) -> list[str]:
    section = scored.section
    sequence = section.shared["protocol"] == "meta_continual"
    known = metrics_of(SCORES[section.score], in_sequence=sequence)
    least, most = _range([len(each.seeds) for each in section.configurations.values()])
    notes = []
    if section.shared.get("protocol.lr_selection") == "test":
        notes.append(f"{ON_TEST} {TUNED_ON_TEST}: chosen on what is reported, so flattered.")
    if most > 1:
        notes.append("Mean over seeds and its 95% bootstrap interval. The best first.")
        if most < 4:
            notes.append("With fewer than 4 seeds the interquartile mean is the mean.")
        if least < 5:
            notes.append(
                "With fewer than 5 seeds a bootstrap interval is too narrow: it covers the mean in less than 95% of cases."
            )
    else:
        notes.append("One seed each, so no interval.")
    notes += [f"{name}: {known[name].meaning}." for name in scored.metrics if name in known]
    lost = [label for label in scored.labels if any(isnan(scored.lines[m][label].mean) for m in scored.metrics)]
    notes += [f"{NO_VALUE} {label}: {_why(section.configurations[label])}" for label in lost]
    notes += [f"Not the same for all: {name}." for name in _unequal(scored)]
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
    return found


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)


def pairs_grid(scored: Scored) -> Grid | None:
    """A row for each metric and pair of configurations; None of a single configuration."""
    if not scored.pairs:
        return None
    rows = []
    too_few = unreachable = False
    for pair, at_best in zip(scored.pairs, _at_best(scored), strict=True):
        lost = NO_VALUE if pair.num and isnan(pair.mean) else ""
        few = pair.num < fewest_for(LEVEL)
        too_few |= few
        unreachable |= at_best >= LEVEL
        p, tone = _p_cell(pair, few)
        rows.append(
            [
                Cell(f"{pair.first} minus {pair.second}"),
                Cell(pair.metric),
                Cell(str(pair.num)),
                Cell(_with_interval(pair.mean, pair.low, pair.high), lost, tone),
                p,
                Cell("-" if isnan(pair.corrected) else _p(pair.corrected), "", tone),
            ]
        )
    headings = ["pair", "metric", "common seeds", "mean difference (95%)", "p", "p, Holm"]
    return Grid(f"{scored.section.title}: paired over common seeds", headings, rows, _pair_notes(scored, too_few, unreachable))


def _at_best(scored: Scored) -> list[float]:
    """Of every pair, the least corrected p that its seeds allow, were every test as extreme as can be; NaN if not tested."""
    found: list[float] = []
    for metric in scored.metrics:
        pairs = [pair for pair in scored.pairs if pair.metric == metric]
        found += holm(np.array([nan if isnan(pair.p) else smallest_p(pair.num) for pair in pairs])).tolist()
    return found


def _p_cell(pair: Pair, few: bool) -> tuple[Cell, Tone]:
    if few:
        least = f"p ≥ {smallest_p(pair.num):.3g}" if pair.num else "none in common"
        return Cell(f"too few seeds ({least})", "", "quiet"), ""
    if isnan(pair.p):
        return Cell("-", NO_VALUE), ""
    return Cell(_p(pair.p)), "good" if pair.corrected < LEVEL else ""


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _pair_notes(scored: Scored, too_few: bool, unreachable: bool) -> list[str]:
    notes = [
        "Mean of the differences seed by seed, with its 95% bootstrap interval. p: two-sided sign-flip permutation test, exact "
        f"up to {EXACT_UP_TO} seeds; Holm: corrected over the pairs of a metric that could be tested. Coloured: below {LEVEL}."
    ]
    if too_few:
        need = fewest_for(LEVEL)
        notes.append(
            f"With fewer than {need} common seeds no difference, however large, can have p below {LEVEL:g}: the test has "
            f"2^seeds outcomes, two of them as extreme as can be. So there is no p; give {need} seeds or more."
        )
    if unreachable:
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
