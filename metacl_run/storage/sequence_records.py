"""The probes and the meta-test of a run under `meta_continual`, as plain arrays.

Shapes: R replicates, S lengths of the schedule, L candidate learning rates, O orders of the classes, N classes of the longest
sequence, P probes. What JSON holds as null is NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from metacl_run.scoring.intervals import Bounds, interval95
from metacl_run.storage.marks import TUNED_ON


class Representation(NamedTuple):
    """The activations of the layer before the last one, of D units."""

    active: np.ndarray
    """[R] mean share of units above 0 for an example."""
    dead: np.ndarray
    """[R] share of units that are 0 for every example."""
    mean: np.ndarray
    """[R, D] average activation of each unit over many examples."""
    examples: np.ndarray
    """[R, E, D] activations for E examples."""


class MetaTestScores(NamedTuple):
    """Sequences of unseen classes, learned one after another at meta-test."""

    lengths: np.ndarray
    """[S] classes learned, increasing."""
    rates: np.ndarray
    """[L] candidate learning rates; none where the learner needs none."""
    tuned_on: str | None
    """The classes that the rate was chosen on, "train" or "test"; None where there was no choice."""
    chosen: np.ndarray | None
    """[R, S] the rates used."""
    selection: np.ndarray | None
    """[R, S, L] mean score of each candidate on the classes it was chosen on."""
    held_out: np.ndarray
    """[R, S, O] score on held-out examples."""
    memory: np.ndarray
    """[R, S, O] score on the examples just learned."""
    joint: np.ndarray | None
    """[R, S, O'] on held-out examples after training on the same classes shuffled, for several epochs: the upper bound."""
    untrained: np.ndarray | None
    """[R, S, O] on held-out examples by the nearest class mean on features of the untrained network; None for functions, and
    for runs of versions before 0.6."""
    place_held_out: np.ndarray
    """[R, N] held-out score by the place of a class in the longest sequence, mean over orders; 0 was learned first."""
    place_memory: np.ndarray
    """[R, N] the same on the examples just learned."""
    representation: Representation | None
    gate: np.ndarray | None
    """[R, K, U] mean activity of U gate units for K classes."""

    @property
    def longest(self) -> int:
        return int(self.lengths[-1])

    rate_of_matrix: np.ndarray | None
    """[R] the one rate of the accuracy matrix and of all differences of scores; None where there is no rate, and of runs of
    version 0.1, whose rows are at the rates of `chosen`."""
    eval_split: str
    """The split of the classes, "test" or "validation"."""

    @property
    def tuned_on_test(self) -> bool:
        """Whether the rate was chosen on the very classes that are reported."""
        return self.tuned_on == "test"

    @property
    def tuned_mark(self) -> str:
        """The mark of such numbers; empty for others."""
        return TUNED_ON[self.eval_split] if self.tuned_on_test else ""


class SequenceResults(NamedTuple):
    """Probes, which are small meta-tests during meta-training, and the meta-test itself."""

    probe_units: np.ndarray
    """[P], increasing."""
    probe_length: int
    """Classes a probe learns; 0 where there was none."""
    probe_held_out: np.ndarray
    """[R, P]"""
    probe_memory: np.ndarray
    """[R, P]"""
    meta_test: MetaTestScores | None
    """None where the run did not get that far."""


def read(records: list[dict[str, Any]], summary: dict[str, Any]) -> SequenceResults:
    """Reads both. If a unit was recorded twice, the last record counts."""
    by_unit = {record["unit"]: record for record in records if record["kind"] == "probe"}
    probes = [by_unit[unit] for unit in sorted(by_unit)]
    shape = len(probes), len(summary["seeds"])
    held_out, memory = (_array([probe[name] for probe in probes]).reshape(shape).T for name in (summary["score"], "memory"))
    units = np.array([probe["unit"] for probe in probes], dtype=int)
    content = summary["meta_test"]
    test = _meta_test(content, summary["eval_split"]) if content else None
    return SequenceResults(units, probes[-1]["length"] if probes else 0, held_out, memory, test)


def intervals(values: np.ndarray, possible: Bounds) -> np.ndarray:
    """Returns the 95% interval of the mean at every length, [R, S, O] -> [S, 2]; NaN for two seeds."""
    return interval95(independent(values), possible)


def independent(values: np.ndarray) -> np.ndarray:
    """Returns the values that an interval is computed from, [R, S, O] -> [N, S].

    Orders of one seed share what it has meta-learned, so they are averaged and the interval is over seeds. With a single seed
    it is over orders, and says nothing about another seed: `interval_is_over` has the words.
    """
    return values[0].T if len(values) == 1 else np.asarray(values.mean(axis=-1))


def interval_is_over(replicates: int) -> str:
    """Says what `intervals` are over."""
    return "orders, one seed" if replicates == 1 else "seeds"


def _meta_test(content: dict[str, Any], eval_split: str) -> MetaTestScores:
    layer = content["representation"]
    return MetaTestScores(
        lengths=np.array(content["lengths"], dtype=int),
        rates=_array(content["rates"] or []),
        tuned_on=content["tuned_on"],
        chosen=_optional(content["chosen"]),
        selection=_optional(content["selection"]),
        held_out=_array(content[content["score"]]),
        memory=_array(content["memory"]),
        joint=_optional(content["joint"]),
        untrained=None if content.get("untrained") is None else _array(content["untrained"][content["score"]]),
        place_held_out=_array(content["by_place"][content["score"]]),
        place_memory=_array(content["by_place"]["memory"]),
        representation=None if layer is None else Representation(*(_array(layer[name]) for name in Representation._fields)),
        gate=None if content["gate"] is None else _array(content["gate"]["activity"]),
        rate_of_matrix=_optional(content.get("rate_of_matrix")),
        eval_split=eval_split,
    )


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)


def _optional(values: Any) -> np.ndarray | None:
    return None if values is None else _array(values)
