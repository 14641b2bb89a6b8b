"""The numbers of a section as grids: metrics of every configuration, paired differences, and other settings that differ."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import Any

import numpy as np

from metacl_run.comparison.configurations import without_score
from metacl_run.comparison.entries import TRANSDUCTIVE_KEY
from metacl_run.comparison.section_scores import (
    ALL_PAIRS_UP_TO,
    PairedDifference,
    SectionScores,
    SeedStatistics,
    not_separated_from_best,
)
from metacl_run.comparison.sections import assignment
from metacl_run.layout.grid import Cell, Grid, Tone
from metacl_run.layout.numbers import interval, number
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE, metrics_of
from metacl_run.scoring.scores import SCORES
from metacl_run.scoring.statistics import EXACT_UP_TO, LEVEL, fewest_for, holm, smallest_p
from metacl_run.storage.marks import TUNED_ON_TEST

NO_VALUE, ON_TEST = "†", "*"


def metrics_grid(scores: SectionScores) -> Grid:
    """A row for each configuration: for every metric the mean over seeds with its interval; with two seeds, both values."""
    best = {metric: not_separated_from_best(scores, metric) for metric in scores.metrics}
    rows = []
    for label in scores.labels:
        row = _row_head(scores, label)
        for metric in scores.metrics:
            statistics = scores.statistics[metric][label]
            text, undefined = _with_spread(statistics, scores.values[metric][label]), isnan(statistics.mean)
            row.append(Cell(text, NO_VALUE if undefined else "", "good" if label in best[metric] else ""))
        rows.append(row)
    return Grid(f"{scores.section.title}: means", ["algorithm", "seeds", *scores.metrics], rows, _metrics_notes(scores))


def iqm_grid(scores: SectionScores) -> Grid | None:
    """The interquartile mean of every metric; None with fewer than 4 seeds everywhere, where it is the mean."""
    if max(len(configuration.seeds) for configuration in scores.section.configurations.values()) < 4:
        return None
    rows = []
    for label in scores.labels:
        values = [scores.statistics[metric][label].iqm for metric in scores.metrics]
        cells = [Cell(number(value), NO_VALUE if isnan(value) else "") for value in values]
        rows.append([*_row_head(scores, label), *cells])
    note = (
        "The mean of the middle half of the seeds: a quarter of them, rounded down, is left out at either end (Agarwal et al. "
        "2021, arXiv 2108.13264). One lucky or unlucky seed does not move it."
    )
    return Grid(f"{scores.section.title}: interquartile means", ["algorithm", "seeds", *scores.metrics], rows, [note])


def _row_head(scores: SectionScores, label: str) -> list[Cell]:
    configuration = scores.section.configurations[label]
    on_test = configuration.settings.get("protocol.lr_selection") == "test"
    return [Cell(label, ON_TEST if on_test else ""), Cell(str(len(configuration.seeds)))]


def _with_spread(statistics: SeedStatistics, values: np.ndarray) -> str:
    """The mean with its interval; with two seeds, with both values."""
    if statistics.num == 2 and not isnan(statistics.mean):
        return f"{number(statistics.mean)} ({', '.join(map(number, values.tolist()))})"
    return _with_interval(statistics)


def _with_interval(numbers: SeedStatistics | PairedDifference) -> str:
    bounds = "" if isnan(numbers.mean) or isnan(numbers.low) else f" ({interval([numbers.low, numbers.high])})"
    return f"{number(numbers.mean)}{bounds}"


def _metrics_notes(scores: SectionScores) -> list[str]:
    section = scores.section
    meanings = metrics_of(SCORES[section.score], section.kind)
    seeds = [len(configuration.seeds) for configuration in section.configurations.values()]
    together = f"{TRANSDUCTIVE}{section.score}"
    notes = []
    if section.shared.get("protocol.lr_selection") == "test":
        notes.append(f"{ON_TEST} {TUNED_ON_TEST}: chosen on what is reported, so the numbers are too good.")
    if section.shared.get(TRANSDUCTIVE_KEY):
        notes.append(
            "Transductive: every score is with all queries of an episode together, the default of version 0.1. Later runs "
            f"report the same as {together}, in a separate table."
        )
    if together in section.metrics:
        notes.append(
            f"Scores are of each query alone unless named otherwise; --metric {together} is with all queries of an episode "
            "together."
        )
    notes += _seeds_notes(min(seeds), max(seeds))
    notes += [f"{name}: {meanings[name].meaning}." for name in scores.metrics if name in meanings]
    undefined = [
        label for label in scores.labels if any(isnan(scores.statistics[metric][label].mean) for metric in scores.metrics)
    ]
    notes += [f"{NO_VALUE} {label}: {_why_undefined(scores, label)}" for label in undefined]
    notes += [f"Left out: {name}: {reason}." for name, reason in scores.omitted.items()]
    updates = {_updates_per_sample(configuration.settings) for configuration in section.configurations.values()} - {None}
    if len(updates) > 1:
        listed = ", ".join(f"{number:g}" for number in sorted(filter(None, updates)))
        notes.append(f"The number of updates for every training sample is not the same for all rows: {listed}.")
    return notes


def _seeds_notes(least: int, most: int) -> list[str]:
    """What the brackets hold, in rows with that many seeds."""
    if most == 1:
        return [f"One seed in every row: no interval, no best row and no differences. They need {FEWEST} seeds."]
    notes = []
    if most >= FEWEST:
        notes.append(
            "Mean over seeds, in brackets its 95% interval (Student t). Coloured on the page: the best of the rows that have "
            "one, and every row that nothing separates from it: the 95% interval of their difference over common seeds "
            f"includes 0 (with fewer than {FEWEST} common seeds: their own intervals overlap)."
        )
    if least < FEWEST:
        notes.append(f"With fewer than {FEWEST} seeds there is no interval; with two, brackets hold both values.")
    return notes


def _why_undefined(scores: SectionScores, label: str) -> str:
    configuration = scores.section.configurations[label]
    if not configuration.has_scores:
        return f"{'; '.join(dict.fromkeys(map(without_score, configuration.entries)))}."
    if not configuration.diverged:
        return _which_seeds(scores, label)
    seeds = ", ".join(map(str, configuration.diverged))
    return f"diverged (in runs with seed {seeds}); a mean over the other seeds would mislead."


def _which_seeds(scores: SectionScores, label: str) -> str:
    """Which metrics of a row no seed has, and which only some."""
    undefined = {name: scores.values[name][label] for name in scores.metrics if isnan(scores.statistics[name][label].mean)}
    none = [name for name, values in undefined.items() if np.isnan(values).all()]
    some = [name for name in undefined if name not in none]
    sentences = [f"has no {', '.join(none)}."] if none else []
    if some:
        sentences.append(f"not every seed has {', '.join(some)}, and a mean over the others would mislead.")
    return " ".join(sentences)


def _updates_per_sample(settings: Mapping[str, Any]) -> float | None:
    """Gradient steps of a method of protocol `online` for every training sample; None for other methods."""
    batch = settings.get("algo.batch_size")
    return settings.get("algo.updates", 1) * settings.get("algo.glances", 1) / batch if batch else None


def pairs_grid(scores: SectionScores) -> Grid | None:
    """A row for each metric and pair of configurations; None where no pair has enough common seeds. It has columns of p if some
    pair has enough seeds for a p below `LEVEL`."""
    pairs = [pair for pair in scores.pairs if not isnan(pair.mean)]
    if not pairs:
        return None
    tested = any(pair.num >= fewest_for(LEVEL) for pair in pairs)
    rows = []
    for pair in pairs:
        p, tone = _p_cell(pair)
        row = [
            Cell(f"{pair.first} minus {pair.second}"),
            Cell(pair.metric, is_words=True),
            Cell(str(pair.num)),
            Cell(_with_interval(pair), "", tone),
        ]
        rows.append([*row, p, Cell("-" if isnan(pair.corrected) else _p_text(pair.corrected), "", tone)] if tested else row)
    headings = ["pair", "metric", "common seeds", "mean difference (95%)", *(["p", "p, Holm"] if tested else [])]
    return Grid(f"{scores.section.title}: paired over common seeds", headings, rows, _pair_notes(scores, tested))


def _smallest_corrected_p(scores: SectionScores) -> list[float]:
    """For every pair, the corrected p if every test were as extreme as its seeds allow; NaN if not tested."""
    least: list[float] = []
    for metric in scores.metrics:
        pairs = [pair for pair in scores.pairs if pair.metric == metric]
        least += holm(np.array([nan if isnan(pair.p) else smallest_p(pair.num) for pair in pairs])).tolist()
    return least


def _p_cell(pair: PairedDifference) -> tuple[Cell, Tone]:
    if pair.num < fewest_for(LEVEL):
        return Cell("too few seeds", "", "quiet"), ""
    return Cell(_p_text(pair.p)), "good" if pair.corrected < LEVEL else ""


def _p_text(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _pair_notes(scores: SectionScores, tested: bool) -> list[str]:
    need = fewest_for(LEVEL)
    notes = [
        "Mean of the differences seed by seed, with its 95% interval (Student t over the common seeds). Pairs with fewer than "
        f"{FEWEST} common seeds are left out, and so are those in which a row has no value."
    ]
    if tested:
        notes.append(
            f"p: two-sided sign-flip permutation test, exact up to {EXACT_UP_TO} seeds; Holm: corrected over the tested pairs "
            f"of a metric. Coloured: below {LEVEL}."
        )
    if any(pair.num < need for pair in scores.pairs):
        notes.append(
            f"With fewer than {need} common seeds no difference, however large, can have p below {LEVEL:g}: the test has "
            f"2^seeds outcomes, and two of them are the most extreme. So there is no p; use {need} seeds or more."
        )
    if any(least >= LEVEL for least in _smallest_corrected_p(scores)):
        notes.append(
            f"Some pairs have too few seeds for so many pairs: their p after Holm's correction cannot be below {LEVEL:g}."
        )
    if scores.against is None and len(scores.section.with_scores) > ALL_PAIRS_UP_TO:
        notes.append(
            f"More than {ALL_PAIRS_UP_TO} rows: {scores.labels[0]}, the best of them, is compared with every other. It was "
            "chosen by these numbers, which favours it."
        )
    return notes


def settings_grid(scores: SectionScores) -> Grid | None:
    """The settings that differ within the section and are not in the labels; None where there are none."""
    others = scores.section.others
    if not any(others.values()):
        return None
    rows = [
        [Cell(label), Cell(" ".join(assignment(key, value) for key, value in others[label].items()) or "-", is_words=True)]
        for label in scores.labels
    ]
    return Grid(f"{scores.section.title}: other settings that differ", ["algorithm", "settings"], rows)
