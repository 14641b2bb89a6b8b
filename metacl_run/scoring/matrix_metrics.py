"""The metrics of continual learning, computed from the accuracy matrix.

Shapes: R replicates, T tasks. `rows` is [T + 1, T]: row 0 before any learning, row i after learning i tasks; in the
formulas a[i, j] is row i, task j with i, j = 1..T, and b[j] is row 0. Entries not reached are NaN, and so is every
metric that needs one. Sources: GEM (Lopez-Paz and Ranzato 2017, arXiv 1706.08840), RWalk (Chaudhry et al. 2018,
arXiv 1801.10112), MER (Riemer et al. 2019, arXiv 1810.11910), online surveys (Caccia et al. 2020, arXiv 2003.05856),
stability gap (De Lange et al. 2023, arXiv 2205.13452).

The formulas are for accuracies. For an error, where lower is better, they are taken of its negative. Levels then change
their sign back: `mse`, `learning_mse`, `anytime_mse`, `worst_case_mse`, and `max_mse` in place of the lowest. Differences
keep theirs: above 0, `bti`, `bwt` and `fwt` are a gain and `forgetting` is a loss, whatever the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from metacl_run.scoring.intervals import spread
from metacl_run.scoring.metric_table import possible_values, worst_name
from metacl_run.scoring.scores import ACCURACY, Score

NO_PROBES = np.empty((0, 0))
Sizes: TypeAlias = "Sequence[float] | None"


def _mean(values: np.ndarray, sizes: Sizes) -> float:
    return float(np.average(values, weights=sizes))


def accuracy(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean_j a[T, j]: average accuracy, ACC in GEM, retained accuracy RA in MER."""
    return _mean(rows[-1], sizes)


def learning_accuracy(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean_j a[j, j]: LA in MER."""
    return _mean(np.diagonal(rows[1:]), sizes)


def bti(rows: np.ndarray, sizes: Sizes = None) -> float:
    """accuracy - learning_accuracy: backward transfer and interference as MER's and La-MAML's code has it, over T."""
    return accuracy(rows, sizes) - learning_accuracy(rows, sizes)


def bwt(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean over j < T of a[T, j] - a[j, j], T - 1 terms: GEM's paper and Mammoth. GEM's released code divides by T."""
    return _mean((rows[-1] - np.diagonal(rows[1:]))[:-1], sizes and sizes[:-1])


def fwt(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean over j > 1 of a[j - 1, j] - b[j], T - 1 terms: GEM's paper and Mammoth. GEM's released code divides by T."""
    return _mean(np.diagonal(rows[1:], offset=1) - rows[0, 1:], sizes and sizes[1:])


def forgetting_per_task(rows: np.ndarray) -> np.ndarray:
    """[T - 1]: for j < T, max over 1 <= i < T of a[i, j], minus a[T, j]; negative where the last task still helped.

    Where tasks to come were not evaluated (`protocol.eval_future`), the maximum can only be over i >= j: a task's score before
    it was learned is not known. `metacl-report` does not compare such a run with a run where it is known.
    """
    before = rows[1:-1, :-1]
    not_learned = np.triu(np.ones(before.shape, dtype=bool), 1)
    before = np.where(not_learned & np.isnan(before), -np.inf, before)
    return np.asarray(before.max(axis=0) - rows[-1, :-1])


def forgetting(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean of `forgetting_per_task`: Chaudhry et al. 2018, the code of A-GEM and FACIL.

    Mammoth's code takes the maximum over the last row too, so that its terms are never negative.
    """
    return _mean(forgetting_per_task(rows), sizes and sizes[:-1])


def anytime_accuracy(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean over i of mean over j <= i of a[i, j]: average anytime accuracy at task ends (AAA, Caccia et al. 2020)."""
    return float(np.mean([_mean(rows[i, :i], sizes and sizes[:i]) for i in range(1, len(rows))]))


def overall_accuracy(rows: np.ndarray, test_samples: np.ndarray) -> float:
    """sum_j n[j] a[T, j] / sum_j n[j]: accuracy on the test samples of all tasks together, n[j] [T] of each task."""
    return float(np.average(rows[-1], weights=test_samples))


def incremental_accuracy(rows: np.ndarray, test_samples: np.ndarray) -> float:
    """mean over i of sum_(j <= i) n[j] a[i, j] / sum_(j <= i) n[j]: average incremental accuracy of class-incremental papers
    (iCaRL, Rebuffi et al. 2017, arXiv 1611.07725), the first task included. `anytime_accuracy` where tasks are of one size."""
    return float(np.mean([np.average(rows[i, :i], weights=test_samples[:i]) for i in range(1, len(rows))]))


def min_accuracy(rows: np.ndarray, probes: np.ndarray = NO_PROBES, probe_tasks: Sequence[int] = ()) -> float:
    """mean over j < T of the lowest accuracy on task j at any evaluation after it was learned (De Lange et al. 2023).

    Args:
        rows: [T + 1, T].
        probes: [P, T] all evaluations, those at task ends too, on the same test samples. Without them only `rows` are seen,
            which hides the dip right after a switch of tasks (the stability gap) and so gives an upper bound.
        probe_tasks: [P] for every probe the task, counted from 0, that was being learned.
    """
    num_tasks = rows.shape[1]
    lowest = []
    for j in range(num_tasks - 1):
        later = [values[j] for task, values in zip(probe_tasks, probes, strict=True) if task > j]
        lowest.append(np.min(later or [rows[i, j] for i in range(j + 2, num_tasks + 1)]))
    return float(np.mean(lowest))


def worst_case_accuracy(rows: np.ndarray, probes: np.ndarray = NO_PROBES, probe_tasks: Sequence[int] = ()) -> float:
    """a[T, T] / T + (1 - 1 / T) min_accuracy: WC-ACC (De Lange et al. 2023), plasticity and worst stability in one."""
    num_tasks = rows.shape[1]
    return float(rows[-1, -1] / num_tasks + (1 - 1 / num_tasks) * min_accuracy(rows, probes, probe_tasks))


def evaluate(
    rows: np.ndarray,
    probes: np.ndarray = NO_PROBES,
    probe_tasks: Sequence[int] = (),
    objective: Score = ACCURACY,
    sizes: Sizes = None,
    forward_transfer: bool = True,
    test_samples: np.ndarray | None = None,
) -> dict[str, float]:
    """Returns every metric of one replicate, NaN where the run did not get that far.

    With a single task, metrics that compare tasks or would only repeat `accuracy` are left out; with `sizes`, metrics that need
    every evaluation; without `forward_transfer`, `fwt`; without `test_samples` [T], metrics that count every sample once.
    """
    score, sign = objective.score_name, objective.sign
    rows, probes = sign * rows, sign * probes
    if rows.shape[1] == 1:
        return {score: sign * accuracy(rows)}
    metrics = {
        score: sign * accuracy(rows, sizes),
        f"learning_{score}": sign * learning_accuracy(rows, sizes),
        "bti": bti(rows, sizes),
        "bwt": bwt(rows, sizes),
        "fwt": fwt(rows, sizes),
        "forgetting": forgetting(rows, sizes),
        f"anytime_{score}": sign * anytime_accuracy(rows, sizes),
    }
    if test_samples is not None:
        metrics[f"overall_{score}"] = sign * overall_accuracy(rows, test_samples)
        metrics[f"incremental_{score}"] = sign * incremental_accuracy(rows, test_samples)
    if not forward_transfer:
        del metrics["fwt"]
    if sizes is None and not np.isnan(metrics[f"learning_{score}"]):
        metrics[worst_name(objective)] = sign * min_accuracy(rows, probes, probe_tasks)
        metrics[f"worst_case_{score}"] = sign * worst_case_accuracy(rows, probes, probe_tasks)
    return metrics


def summarise(
    matrix: np.ndarray,
    probes: np.ndarray = NO_PROBES,
    probe_tasks: Sequence[int] = (),
    objective: Score = ACCURACY,
    sizes: Sizes = None,
    forward_transfer: bool = True,
    test_samples: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """Returns every metric over replicates, ready for JSON: {name: {"mean", "std", "ci95": [lo, hi], "values": [R]}}.

    Args:
        matrix: [R, T + 1, T].
        probes: [P, R, T] every evaluation, for the metrics that look between the rows.
        probe_tasks: [P] for every probe the task, counted from 0, that was being learned.
        objective: the kind of score.
        sizes: [T] weights of the tasks in a mean over tasks; None: equal weights.
        forward_transfer: whether a task's score before it is learned says something. It does not in a class-incremental stream,
            where the outputs of a task to come are untrained: `fwt` would be minus the untrained network's accuracy.
        test_samples: [R, T] the test samples of each task, for the metrics of class-incremental papers; None: leave these out.
            Where all tasks have as many, `overall_accuracy` is left out, since it is `accuracy`.

    A metric that no replicate reached is left out. A metric that only some reached has None for the others and as its mean: a
    mean over the survivors would mislead.
    """
    by_replicate = np.swapaxes(probes, 0, 1) if len(probe_tasks) else [NO_PROBES] * len(matrix)
    counts = [None] * len(matrix) if test_samples is None else test_samples
    replicates = [
        evaluate(rows, own_probes, probe_tasks, objective, sizes, forward_transfer, own_counts)
        for rows, own_probes, own_counts in zip(matrix, by_replicate, counts, strict=True)
    ]
    if test_samples is not None and (test_samples == test_samples[:, :1]).all():
        for replicate in replicates:
            replicate.pop(f"overall_{objective.score_name}", None)
    summary = {}
    for name in dict.fromkeys(name for replicate in replicates for name in replicate):
        values = np.array([replicate.get(name, np.nan) for replicate in replicates])
        if np.isfinite(values).any():
            summary[name] = spread(values, possible_values(name, objective))
    return summary
