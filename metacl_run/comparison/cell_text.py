"""The numbers of a section: every configuration's metrics over its seeds, and every two compared over the seeds they share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metacl_run.comparison.groups import Section
from metacl_run.core.errors import UserError, nearest
from metacl_run.scoring.intervals import FEWEST, Bounds, interval95
from metacl_run.scoring.metric_table import higher_is_better, needs_equal_probes, possible_values
from metacl_run.scoring.scores import SCORES
from metacl_run.scoring.statistics import LEVEL, fewest_for, holm, interquartile_mean, sign_flip_p

DEFAULT_METRICS = ("{score}", "learning_{score}", "forgetting", "bwt")
"""With the name of the score to be filled in."""
ALL_PAIRS_UP_TO = 12
"""Most configurations of which every two are compared; of more, the best with every other."""


class Line(NamedTuple):
    """A metric of a configuration over its seeds; NaN where a seed has no value, and of fewer seeds than an interval needs."""

    num: int
    mean: float
    low: float
    high: float
    iqm: float


class Pair(NamedTuple):
    """One configuration minus another, over the seeds that both have: as many as an interval needs, or more."""

    metric: str
    first: str
    second: str
    num: int
    mean: float
    low: float
    high: float
    p: float
    corrected: float
    """NaN, as `p` is, where there are too few seeds for any difference to be told from chance."""


class Scored(NamedTuple):
    """A section with its numbers, its rows in the order of its first metric, the best first."""

    section: Section
    labels: list[str]
    metrics: list[str]
    lines: dict[str, dict[str, Line]]
    """By metric and label."""
    values: dict[str, dict[str, np.ndarray]]
    """By metric and label, in the order of the configuration's seeds; NaN where one did not reach it."""
    pairs: list[Pair]
    omitted: dict[str, str]
    """By metric, why it is not compared."""


def score(section: Section, wanted: Sequence[str]) -> Scored:
    """`wanted`: names of metrics, empty for `DEFAULT_METRICS`; what no run of the section has is left out, and what cannot be
    compared between its rows."""
    names = wanted or [name.format(score=section.score) for name in DEFAULT_METRICS]
    there = [name for name in dict.fromkeys(names) if name in section.metrics]
    omitted = {name: why for name in there if (why := _incomparable(name, section)) is not None}
    metrics = [name for name in there if name not in omitted]
    values = {name: {label: each.values(name) for label, each in section.configurations.items()} for name in metrics}
    lines = {name: _lines(by_label, possible_values(name, SCORES[section.score])) for name, by_label in values.items()}
    labels = list(section.configurations)
    if metrics:
        labels.sort(key=lambda label: _rank(lines[metrics[0]][label].mean, higher_is_better(metrics[0], SCORES[section.score])))
    pairs = [pair for name in metrics for pair in _pairs(section, labels, name, values[name])]
    return Scored(section, labels, metrics, lines, values, pairs, omitted)


def check_metrics(sections: Iterable[Section], wanted: Sequence[str]) -> None:
    """Refuses the name of a metric that no run has.

    Raises:
        UserError: the name, the nearest one, and those there are.
    """
    known = list(dict.fromkeys(name for section in sections for name in section.metrics))
    unknown = [f"--metric {name}: no run has it.{nearest(name, known)}" for name in wanted if name not in known]
    if unknown:
        raise UserError("\n".join([*unknown, f"The runs have: {', '.join(known) or 'no metrics'}"]))


def _incomparable(metric: str, section: Section) -> str | None:
    """Why a metric is not compared between the rows of a section; None where it can be."""
    settings = [each.settings for each in section.configurations.values()]
    if metric == "fwt" and section.kind == "online" and any(each.get("data.scenario") == "class" for each in settings):
        return "every task has outputs of its own, which are untrained before it (class-incremental)"
    if metric == "forgetting" and len({each.get("protocol.eval_future", "all") == "all" for each in settings}) > 1:
        return "counts what a task had before it was learned only where that was evaluated (protocol.eval_future differs)"
    if needs_equal_probes(metric) and len({_probing(each) for each in settings}) > 1:
        return (
            "depends on when and on what accuracy is probed, which differs (protocol.eval_every, protocol.probe_samples, "
            "algo.batch_size). Give --by with them for tables of their own"
        )
    return None


def _probing(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Training samples, or meta-updates, between two probes, and how many samples of a task a probe looks at."""
    return settings.get("protocol.eval_every", 0) * settings.get("algo.batch_size", 1), settings.get("protocol.probe_samples")


def _rank(mean: float, higher: bool) -> float:
    return math.inf if math.isnan(mean) else -mean if higher else mean


def _lines(values: dict[str, np.ndarray], possible: Bounds) -> dict[str, Line]:
    """All with the same number of seeds at once."""
    found = {}
    for num in sorted({len(each) for each in values.values()}):
        labels = [label for label, each in values.items() if len(each) == num]
        stack = np.stack([values[label] for label in labels])
        columns = stack.mean(axis=1), interval95(stack.T, possible), interquartile_mean(stack)
        for label, mean, (low, high), iqm in zip(labels, *columns, strict=True):
            found[label] = Line(num, float(mean), float(low), float(high), float(iqm))
    return found


def _pairs(section: Section, labels: Sequence[str], metric: str, values: dict[str, np.ndarray]) -> list[Pair]:
    every = itertools.combinations(labels, 2) if len(labels) <= ALL_PAIRS_UP_TO else ((labels[0], b) for b in labels[1:])
    seeds = {label: {seed: place for place, seed in enumerate(section.configurations[label].seeds)} for label in labels}
    chosen, differences = [], []
    for first, second in every:
        common = [seed for seed in seeds[first] if seed in seeds[second]]
        if len(common) < FEWEST:
            continue
        chosen.append((first, second))
        one, other = ([seeds[label][seed] for seed in common] for label in (first, second))
        differences.append(values[first][one] - values[second][other])
    least, largest = possible_values(metric, SCORES[section.score])
    possible = least - largest, largest - least
    lengths = np.array([len(each) for each in differences])
    low, high, p = np.full((3, len(chosen)), np.nan)
    for num in np.unique(lengths):
        places = np.flatnonzero(lengths == num)
        stack = np.stack([differences[place] for place in places])
        low[places], high[places] = interval95(stack.T, possible).T
        if num >= fewest_for(LEVEL):
            p[places] = sign_flip_p(stack)
    means = [float(each.mean()) for each in differences]
    columns = (lengths.tolist(), means, low.tolist(), high.tolist(), p.tolist(), holm(p).tolist())
    return [Pair(metric, *pair, *numbers) for pair, *numbers in zip(chosen, *columns, strict=True)]
