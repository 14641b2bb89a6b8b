"""The numbers of a section: the metrics of every configuration over its seeds, and paired differences over common seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metacl_run.comparison.sections import Section
from metacl_run.core.errors import UserError, nearest
from metacl_run.scoring.intervals import FEWEST, Bounds, interval95
from metacl_run.scoring.metric_table import headline_metrics, higher_is_better, needs_equal_probes, possible_values
from metacl_run.scoring.scores import SCORES
from metacl_run.scoring.statistics import LEVEL, fewest_for, holm, interquartile_mean, sign_flip_p

ALL_PAIRS_UP_TO = 12
"""Most configurations of which every pair is compared; of more, the best with every other."""


class SeedStatistics(NamedTuple):
    """A metric of a configuration over its seeds; NaN where a seed has no value, and for an interval of too few seeds."""

    num: int
    mean: float
    low: float
    high: float
    iqm: float


class PairedDifference(NamedTuple):
    """One configuration minus another, over the seeds that both have, at least as many as an interval needs."""

    metric: str
    first: str
    second: str
    num: int
    mean: float
    low: float
    high: float
    p: float
    corrected: float
    """NaN, like `p`, where there are too few seeds for any difference to be significant."""


class SectionScores(NamedTuple):
    """A section with its numbers; its rows are in the order of the first metric, the best first."""

    section: Section
    labels: list[str]
    metrics: list[str]
    statistics: dict[str, dict[str, SeedStatistics]]
    """By metric and label."""
    values: dict[str, dict[str, np.ndarray]]
    """By metric and label, in the order of the configuration's seeds; NaN where one did not reach it."""
    pairs: list[PairedDifference]
    omitted: dict[str, str]
    """By metric, the reason why it is not compared."""
    against: str | None
    """With which rows every other was compared in pairs: an algorithm or a row; None: every row with every other."""


def score_section(section: Section, metrics: Sequence[str], against: str | None = None) -> SectionScores:
    """Computes the numbers of a section.

    Args:
        section: the configurations.
        metrics: names, empty for `headline_metrics`. Metrics that no run has, or that rows do not have in common, are left out.
        against: an algorithm or a row, for pairs of its rows and every other alone; a section without it has no pairs.
    """
    score = SCORES[section.score]
    names = metrics or headline_metrics(score, section.kind)
    known = [name for name in dict.fromkeys(names) if name in section.metrics]
    omitted = {name: reason for name in known if (reason := _incomparable(name, section)) is not None}
    metrics = [name for name in known if name not in omitted]
    values = {name: {label: row.values(name) for label, row in section.configurations.items()} for name in metrics}
    statistics = {
        name: {label: _statistics(seeds, possible_values(name, score)) for label, seeds in by_label.items()}
        for name, by_label in values.items()
    }
    labels = list(section.configurations)
    if metrics:
        higher = higher_is_better(metrics[0], score)
        labels.sort(key=lambda label: _rank(statistics[metrics[0]][label].mean, higher))
    compared = _compared(section, labels, against)
    pairs = [pair for name in metrics for pair in _pairs(section, compared, name, values[name])]
    return SectionScores(section, labels, metrics, statistics, values, pairs, omitted, against)


def check_metrics(sections: Iterable[Section], metrics: Sequence[str]) -> None:
    """Refuses the name of a metric that no run has.

    Raises:
        UserError: the name, the nearest one, and those there are.
    """
    known = list(dict.fromkeys(name for section in sections for name in section.metrics))
    unknown = [f"--metric {name}: no run has it.{nearest(name, known)}" for name in metrics if name not in known]
    if unknown:
        raise UserError("\n".join([*unknown, f"The runs have: {', '.join(known) or 'no metrics'}"]))


def check_against(sections: Iterable[Section], against: str | None) -> None:
    """Refuses the name of a row or an algorithm that no section has.

    Raises:
        UserError: the name and the nearest one.
    """
    rows = [(section.algorithm(label), label) for section in sections for label in section.configurations]
    names = list(dict.fromkeys(itertools.chain(*zip(*rows, strict=True))))
    if against is not None and against not in names:
        raise UserError(f"--against {against}: no row and no algorithm has this name.{nearest(against, names)}")


def _incomparable(metric: str, section: Section) -> str | None:
    """The reason why a metric cannot be compared between the rows of a section; None where it can."""
    settings = [row.settings for row in section.with_scores.values()]
    if metric == "fwt" and section.kind == "online" and any(row.get("data.scenario") == "class" for row in settings):
        return "every task has outputs of its own, which are untrained before it (class-incremental)"
    if metric == "forgetting" and len({row.get("protocol.eval_future", "all") == "all" for row in settings}) > 1:
        return "includes scores from before a task was learned only where they were evaluated (protocol.eval_future differs)"
    if needs_equal_probes(metric) and len({_probing(row) for row in settings}) > 1:
        return (
            "depends on when and on which samples runs are probed, which differs (protocol.eval_every, "
            "protocol.probe_samples, algo.batch_size). --by with these settings makes separate tables"
        )
    return None


def _probing(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Training samples, or meta-updates, between two probes, and the number of samples of a probe."""
    return settings.get("protocol.eval_every", 0) * settings.get("algo.batch_size", 1), settings.get("protocol.probe_samples")


def _rank(mean: float, higher: bool) -> float:
    return math.inf if math.isnan(mean) else -mean if higher else mean


def _statistics(values: np.ndarray, possible: Bounds) -> SeedStatistics:
    low, high = interval95(values, possible).tolist()
    return SeedStatistics(len(values), float(values.mean()), low, high, float(interquartile_mean(values)))


def _compared(section: Section, labels: Sequence[str], against: str | None) -> list[tuple[str, str]]:
    """Which rows are compared in pairs, of those that have scores, the best first."""
    labels = [label for label in labels if label in section.with_scores]
    if against is None and len(labels) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(labels, 2))
    if against is None:
        return [(labels[0], other) for other in labels[1:]]
    ours = [against] if against in labels else [label for label in labels if section.algorithm(label) == against]
    others = [label for label in labels if label not in ours]
    return [*itertools.combinations(ours, 2), *itertools.product(ours, others)]


def _pairs(
    section: Section, compared: Sequence[tuple[str, str]], metric: str, values: dict[str, np.ndarray]
) -> list[PairedDifference]:
    pairs = []
    for first, second in compared:
        differences = _differences(section, values, first, second)
        if len(differences) < FEWEST:
            continue
        low, high = _interval_of_differences(section, metric, differences)
        p = float(sign_flip_p(differences)) if len(differences) >= fewest_for(LEVEL) else math.nan
        mean = float(differences.mean())
        pairs.append(PairedDifference(metric, first, second, len(differences), mean, low, high, p, math.nan))
    corrected = holm(np.array([pair.p for pair in pairs])).tolist()
    return [pair._replace(corrected=p) for pair, p in zip(pairs, corrected, strict=True)]


def _differences(section: Section, values: dict[str, np.ndarray], first: str, second: str) -> np.ndarray:
    """Returns [common seeds] one row minus another."""
    one, other = (dict(zip(section.configurations[label].seeds, values[label], strict=True)) for label in (first, second))
    return np.array([one[seed] - other[seed] for seed in one if seed in other])


def _interval_of_differences(section: Section, metric: str, differences: np.ndarray) -> tuple[float, float]:
    least, largest = possible_values(metric, SCORES[section.score])
    low, high = interval95(differences, (least - largest, largest - least)).tolist()
    return low, high


def not_separated_from_best(scores: SectionScores, metric: str) -> list[str]:
    """Returns the row with the best mean and those that nothing separates from it: the 95% interval of their difference over
    common seeds includes 0; with too few common seeds for that, their own intervals overlap.

    Rows with too few seeds for an interval do not count, and a single one is not the best.
    """
    statistics = scores.statistics[metric]
    rows = [label for label in scores.labels if statistics[label].num >= FEWEST and not math.isnan(statistics[label].mean)]
    if len(rows) < 2:
        return []
    higher = higher_is_better(metric, SCORES[scores.section.score])
    best = min(rows, key=lambda label: _rank(statistics[label].mean, higher))

    def alike(label: str) -> bool:
        differences = _differences(scores.section, scores.values[metric], best, label)
        if len(differences) >= FEWEST:
            low, high = _interval_of_differences(scores.section, metric, differences)
            return low <= 0 <= high
        return statistics[label].low <= statistics[best].high and statistics[best].low <= statistics[label].high

    return [label for label in rows if label == best or alike(label)]
