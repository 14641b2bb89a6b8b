"""The meta-test in numbers and in a sentence, for the terminal and the report. Shapes as in sequence_records.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from metacl_run.reporting.number_text import interval, number
from metacl_run.reporting.sentences import reading, reading_in_sequence, shown
from metacl_run.scoring.metric_table import metrics_of, worst_name
from metacl_run.scoring.scores import Score
from metacl_run.storage.marks import ON_VALIDATION
from metacl_run.storage.read_run import Run, marks
from metacl_run.storage.sequence_records import MetaTest, Sequences, interval_is_over, intervals


class Length(NamedTuple):
    """What learning so many classes gave."""

    classes: int
    scores: dict[str, tuple[float | None, str]]
    """By column: the mean over orders and seeds, and what it spreads over, as `length_heading` says."""
    rate: str
    """The learning rate used; of seeds that chose differently, the lowest and the highest."""


def lengths_table(test: MetaTest, score: Score) -> list[Length]:
    columns = {"held out": test.held_out, "memory": test.memory}
    if test.joint is not None:
        columns["joint training"] = test.joint
    by_column = {name: _scores(values, score) for name, values in columns.items()}
    return [
        Length(int(classes), {name: scores[row] for name, scores in by_column.items()}, _rate(test, row))
        for row, classes in enumerate(test.lengths)
    ]


def length_heading(test: MetaTest) -> str:
    """Over the column of what the means of `lengths_table` spread over."""
    replicates = len(test.held_out)
    return "both seeds" if replicates == 2 else f"95% over {interval_is_over(replicates)}"


def rate_heading(test: MetaTest) -> str:
    """Over the column of learning rates."""
    return test.tuned_mark or "learning rate"


def metric_heading(summary: dict[str, Any]) -> str:
    """Over the names of the metrics."""
    found = marks(summary)
    return f"metric ({'; '.join(found)})" if found else "metric"


def sentence(run: Run) -> str:
    """What the run's numbers say, for a person, and where they are not of test data."""
    both = ""
    if run.transductive_score is not None:
        both = (
            f" Each query was asked alone; with all queries of an episode together (transductive) {run.objective.score_words} "
            f"is {shown(run.transductive_score, run.objective)}."
        )
    return _sentence(run) + both + (f" All this is on {ON_VALIDATION}." if run.eval_split == "validation" else "")


def unmeasured(run: Run) -> str | None:
    """Which metrics are left out, since what they need was not evaluated; None where there are none."""
    protocol, score = run.config.get("protocol") or {}, run.objective.score_name
    known = [name for name in metrics_of(run.objective) if name not in run.summary["metrics"]]
    causes = {
        f"protocol.rows_every={protocol.get('rows_every', 1)}": (
            ["forgetting", f"anytime_{score}", worst_name(run.objective), f"worst_case_{score}"]
            if protocol.get("rows_every", 1) != 1
            else []
        ),
        "protocol.eval_future=none": ["fwt"]
        if run.summary["forward_transfer"] and protocol.get("eval_future", "all") == "none"
        else [],
    }
    found = [(cause, [name for name in known if name in names]) for cause, names in causes.items()]
    words = [f"{', '.join(names)} (by {cause})" for cause, names in found if names]
    if not words or run.summary["status"] != "completed" or run.num_tasks < 2:
        return None
    return f"Not evaluated, so left out: {'; '.join(words)}."


def _sentence(run: Run) -> str:
    if run.sequences is None:
        if run.rows_reached == 1 and len(run.probe_units):
            return _of_first_task(run)
        return reading(run.matrix, run.chance, run.objective)
    test = run.sequences.meta_test
    if test is None:
        return _progress(run.sequences, run.unit_name, run.objective)
    held_out, memory = (float(values[:, -1].mean()) for values in (test.held_out, test.memory))
    tuned_on = test.eval_split if test.tuned_on_test else test.tuned_on
    joint = np.nan if test.joint is None else float(test.joint[:, -1].mean())
    return reading_in_sequence(test.longest, held_out, memory, joint, tuned_on, run.objective)


def _of_first_task(run: Run) -> str:
    """What the last probe gave, of a run that stopped before its first task was learned."""
    score, guess = run.objective, "" if run.chance is None else f"; chance is {run.chance:.2f}"
    first, last = (shown(float(run.probe_scores[:, probe, 0].mean()), score) for probe in (0, -1))
    where = f"{run.unit_name} {run.eval_units[-1]}/{run.units_per_task} of task 1"
    return f"The last probe, after {where}: {score.score_words} {last} on it, {first} before learning{guess}."


def _progress(found: Sequences, unit_name: str, objective: Score) -> str:
    text = "No meta-test was completed."
    if len(found.probe_units):
        scores = (
            f"{objective.score_name} {found.probe_held_out[:, -1].mean():.2f}, memory {found.probe_memory[:, -1].mean():.2f}"
        )
        text += (
            f" The last probe, {found.probe_length} {objective.concepts} after {found.probe_units[-1]} {unit_name}s: {scores}."
        )
    return text


def _scores(values: np.ndarray, score: Score) -> list[tuple[float | None, str]]:
    """A mean and what it spreads over a length, of [R, S, O]."""
    means = [_defined(mean) for mean in values.mean(axis=(0, 2))]
    if len(values) == 2:
        spreads = [", ".join(number(_defined(seed)) for seed in seeds) for seeds in values.mean(axis=2).T]
    else:
        ends = intervals(values, (score.least, score.largest))
        spreads = [interval([_defined(low), _defined(high)]) for low, high in ends]
    return list(zip(means, spreads, strict=True))


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rate(test: MetaTest, row: int) -> str:
    if test.chosen is None:
        return "-"
    low, high = test.chosen[:, row].min(), test.chosen[:, row].max()
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
