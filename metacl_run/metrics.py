"""What is computed from the matrix of scores: continual-learning metrics, their spread over replicates, and a sentence.

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

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from metacl_run.scores import ACCURACY, Score

NO_PROBES = np.empty((0, 0))

MEANINGS: dict[str, dict[str, str]] = {
    "accuracy": {
        "accuracy": "mean accuracy over all tasks at the end (RA)",
        "learning_accuracy": "mean accuracy on each task right after learning it (LA)",
        "bti": "accuracy minus learning accuracy: below 0, later tasks interfered",
        "bwt": "backward transfer: change on earlier tasks since each was learned",
        "fwt": "forward transfer: gain on a task before learning it, over the untrained learner",
        "forgetting": "drop on earlier tasks from their best accuracy to the end: above 0 is lost",
        "anytime_accuracy": "accuracy on the tasks seen so far, averaged over the whole run",
        "min_accuracy": "lowest accuracy an earlier task had at any time after it was learned, averaged",
        "worst_case_accuracy": "last task's accuracy and min_accuracy, weighted by number of tasks",
    },
    "mse": {
        "mse": "mean squared error at the end, averaged over all tasks",
        "learning_mse": "mean squared error on each task right after learning it, averaged",
        "bti": "learning_mse minus mse: below 0, later tasks interfered",
        "bwt": "backward transfer: fall of the error on earlier tasks since each was learned",
        "fwt": "forward transfer: fall of the error on a task before learning it, from the untrained learner's",
        "forgetting": "rise of the error on earlier tasks from their best to the end: above 0 is lost",
        "anytime_mse": "mean squared error on the tasks seen so far, averaged over the whole run",
        "max_mse": "largest error an earlier task had at any time after it was learned, averaged",
        "worst_case_mse": "last task's error and max_mse, weighted by number of tasks",
    },
}
"""By the name of the score: every metric `summarise` can give, in the order of a table."""

SEQUENCE_MEANINGS: dict[str, dict[str, str]] = {
    "accuracy": {
        "accuracy": "held-out accuracy on all classes after learning them one after another, mean over orders",
        "memory": "accuracy on the images just learned, at the same moment",
        "joint_accuracy": "held-out accuracy after training on the same classes shuffled: what order costs is the difference",
        "learning_accuracy": "mean accuracy on each segment of classes right after learning it (LA)",
        "bti": "mean over segments at the end minus learning accuracy: below 0, later classes interfered",
        "bwt": "backward transfer: change on earlier segments since each was learned",
        "fwt": "forward transfer: gain on a segment before its classes were learned",
        "forgetting": "drop on earlier segments from their best accuracy to the end: above 0 is lost",
        "anytime_accuracy": "accuracy on the segments seen so far, averaged over the sequence",
    },
    "mse": {
        "mse": "held-out mean squared error on all functions after learning them one after another, mean over orders",
        "memory": "mean squared error on the points just learned, at the same moment",
        "joint_mse": "held-out mean squared error after training on the same functions shuffled: the difference is order's",
        "learning_mse": "mean squared error on each segment of functions right after learning it, averaged",
        "bti": "learning_mse minus mse: below 0, later functions interfered",
        "bwt": "backward transfer: fall of the error on earlier segments since each was learned",
        "fwt": "forward transfer: fall of the error on a segment before its functions were learned",
        "forgetting": "rise of the error on earlier segments from their best to the end: above 0 is lost",
        "anytime_mse": "mean squared error on the segments seen so far, averaged over the sequence",
    },
}
"""The same under protocol `meta_continual`, whose tasks are the segments of one sequence of classes."""

TUNED_ON_TEST = "learning rate tuned on test"
"""The mark of numbers whose learning rate was chosen by accuracy on the very classes they are measured on."""
TUNED_ON = {"test": TUNED_ON_TEST, "validation": "learning rate tuned on validation"}
"""The same by the split that they are measured on."""
ON_VALIDATION = "validation, not test"
"""The mark of numbers measured on what `protocol.eval_split=validation` keeps to choose settings by."""


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
    """[T - 1]: for j < T, max over 1 <= i < T of a[i, j], minus a[T, j]; negative where the last task still helped."""
    return rows[1:-1, :-1].max(axis=0) - rows[-1, :-1]


def forgetting(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean of `forgetting_per_task`: Chaudhry et al. 2018, the code of A-GEM and FACIL.

    Mammoth's code takes the maximum over the last row too, so that its terms are never negative.
    """
    return _mean(forgetting_per_task(rows), sizes and sizes[:-1])


def anytime_accuracy(rows: np.ndarray, sizes: Sizes = None) -> float:
    """mean over i of mean over j <= i of a[i, j]: average anytime accuracy at task ends (AAA, Caccia et al. 2020)."""
    return float(np.mean([_mean(rows[i, :i], sizes and sizes[:i]) for i in range(1, len(rows))]))


def min_accuracy(rows: np.ndarray, probes: np.ndarray = NO_PROBES, probe_tasks: Sequence[int] = ()) -> float:
    """mean over j < T of the lowest accuracy on task j at any evaluation after it was learned (De Lange et al. 2023).

    Args:
        rows: [T + 1, T].
        probes: [P, T] all evaluations, those at task ends too, on the same test samples. Without them only `rows` are seen,
            which hides the dip right after a switch of tasks (the stability gap) and so gives an upper bound.
        probe_tasks: [P] the task, counted from 0, that was being learned at each.
    """
    num_tasks = rows.shape[1]
    lowest = []
    for j in range(num_tasks - 1):
        seen = [values[j] for task, values in zip(probe_tasks, probes, strict=True) if task > j]
        lowest.append(np.min(seen or [rows[i, j] for i in range(j + 2, num_tasks + 1)]))
    return float(np.mean(lowest))


def worst_case_accuracy(rows: np.ndarray, probes: np.ndarray = NO_PROBES, probe_tasks: Sequence[int] = ()) -> float:
    """a[T, T] / T + (1 - 1 / T) min_accuracy: WC-ACC (De Lange et al. 2023), plasticity and worst stability in one."""
    num_tasks = rows.shape[1]
    return float(rows[-1, -1] / num_tasks + (1 - 1 / num_tasks) * min_accuracy(rows, probes, probe_tasks))


def worst_name(objective: Score) -> str:
    """What `min_accuracy` is called: of an error it is the largest."""
    return f"{'min' if objective.higher_is_better else 'max'}_{objective.score_name}"


def evaluate(
    rows: np.ndarray,
    probes: np.ndarray = NO_PROBES,
    probe_tasks: Sequence[int] = (),
    objective: Score = ACCURACY,
    sizes: Sizes = None,
) -> dict[str, float]:
    """Every metric of one replicate, NaN where the run did not get that far.

    With a single task, what compares tasks is left out, and so is what would only repeat `accuracy`; with `sizes`, what looks
    at every evaluation.
    """
    score, sign = objective.score_name, objective.sign
    rows, probes = sign * rows, sign * probes
    if rows.shape[1] == 1:
        return {score: sign * accuracy(rows)}
    found = {
        score: sign * accuracy(rows, sizes),
        f"learning_{score}": sign * learning_accuracy(rows, sizes),
        "bti": bti(rows, sizes),
        "bwt": bwt(rows, sizes),
        "fwt": fwt(rows, sizes),
        "forgetting": forgetting(rows, sizes),
        f"anytime_{score}": sign * anytime_accuracy(rows, sizes),
    }
    if sizes is None:
        found[worst_name(objective)] = sign * min_accuracy(rows, probes, probe_tasks)
        found[f"worst_case_{score}"] = sign * worst_case_accuracy(rows, probes, probe_tasks)
    return found


def summarise(
    matrix: np.ndarray,
    probes: np.ndarray = NO_PROBES,
    probe_tasks: Sequence[int] = (),
    objective: Score = ACCURACY,
    sizes: Sizes = None,
) -> dict[str, dict[str, Any]]:
    """Every metric over replicates, ready for JSON: {name: {"mean", "std", "ci95": [lo, hi], "values": [R]}}.

    Args:
        matrix: [R, T + 1, T].
        probes: [P, R, T] every evaluation, for the metrics that look between the rows.
        probe_tasks: [P] the task, counted from 0, that was being learned at each.
        objective: whose scores these are.
        sizes: [T] how much each task weighs in a mean over tasks; None: all the same.

    A metric no replicate reached is left out. One that only some reached has None for the others and as its mean: a
    mean over the survivors would mislead.
    """
    by_replicate = np.swapaxes(probes, 0, 1) if len(probe_tasks) else [NO_PROBES] * len(matrix)
    replicates = [evaluate(rows, seen, probe_tasks, objective, sizes) for rows, seen in zip(matrix, by_replicate, strict=True)]
    summary = {}
    for name in replicates[0]:
        values = np.array([replicate[name] for replicate in replicates])
        if np.isfinite(values).any():
            summary[name] = spread(values)
    return summary


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean, sample standard deviation (over R - 1) and 95% interval of the mean of [R] values; None where undefined."""
    listed = [float(value) if np.isfinite(value) else None for value in values]
    if None in listed:
        return {"mean": None, "std": None, "ci95": [None, None], "values": listed}
    mean, half = float(values.mean()), interval95(values)
    if np.isnan(half):
        return {"mean": mean, "std": None, "ci95": [None, None], "values": listed}
    return {
        "mean": mean,
        "std": float(values.std(ddof=1)),
        "ci95": [mean - float(half), mean + float(half)],
        "values": listed,
    }


def interval95(values: np.ndarray) -> np.ndarray:
    """Half the 95% Student t interval of the mean over the first axis, [R, ...] -> [...]; NaN if R is 1."""
    num = len(values)
    if num < 2:
        return np.full(np.shape(values)[1:], np.nan)
    return np.asarray(student_t(num - 1) * np.std(values, axis=0, ddof=1) / math.sqrt(num))


def bootstrap95(values: np.ndarray, resamples: int = 1000) -> np.ndarray:
    """Percentile 95% bootstrap interval of the mean over the last axis, [..., O] -> [..., 2] (Efron and Tibshirani 1993, 13.3).

    The resamples are drawn by a generator of its own with a fixed seed and are the same for every leading entry, so that equal
    values give equal intervals wherever they stand. NaN where O is below 2 or a value is NaN.
    """
    values = np.asarray(values, dtype=float)
    num = values.shape[-1]
    if num < 2:
        return np.full((*values.shape[:-1], 2), np.nan)
    drawn = np.random.default_rng(0).integers(num, size=(resamples, num))
    times = np.stack([np.bincount(each, minlength=num) for each in drawn])  # [resamples, O] how often each value was drawn
    means = values @ times.T / num
    return np.moveaxis(np.percentile(means, [2.5, 97.5], axis=-1), 0, -1)


def student_t(dof: int, confidence: float = 0.95) -> float:
    """t such that a Student variable with `dof` degrees of freedom lies in [-t, t] with probability `confidence`.

    For whole degrees of freedom that probability is a finite sum in theta = atan(t / sqrt(dof)) (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4), increasing in theta; bisection inverts it to the last bit.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _student_probability(middle, dof) < confidence else (low, middle)
    return math.sqrt(dof) * math.tan(low)


def _student_probability(theta: float, dof: int) -> float:
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = dof % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(2 + odd, dof + 1, 2):  # even: 1, 1/2 c^2, 1*3/(2*4) c^4 ...; odd: c, 2/3 c^3, 2*4/(3*5) c^5 ...
        total += term
        term *= cosine**2 * (power - 1) / power
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def episode_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data's settings, which say the ways and shots of the episodes a learner is evaluated on; none of them under protocol
    `online`, where it is evaluated on samples, and under `meta_continual`, where on sequences of classes."""
    data, protocol = config.get("data"), config.get("protocol")
    if not isinstance(data, Mapping) or (isinstance(protocol, Mapping) and {"probe_samples", "schedule"} & protocol.keys()):
        return {}
    return data


def chance_level(config: Mapping[str, Any]) -> float | None:
    """1 / ways, where the config says how many ways the problems have."""
    ways = episode_settings(config).get("ways")
    return 1 / ways if isinstance(ways, int) and ways > 0 else None


def shown(value: float, objective: Score, signed: bool = False) -> str:
    """A score, or with `signed` a difference of two, for a sentence: an accuracy to two decimals, an error to three digits."""
    return format(value, ("+" if signed else "") + (".2f" if objective.higher_is_better else ".3g"))


def reading(matrix: np.ndarray, chance: float | None, objective: Score = ACCURACY) -> str:
    """What the matrix [R, T + 1, T] says, in a sentence or two for a person; of the rows reached, if not all were."""

    def say(value: float, signed: bool = False) -> str:
        return shown(value, objective, signed)

    score, sign = objective.score_words, objective.sign
    rose, fell = ("rose", "fell") if objective.higher_is_better else ("fell", "rose")
    mean = np.asarray(matrix).mean(axis=0)
    num_tasks = mean.shape[1]
    reached = np.flatnonzero(np.isfinite(mean).all(axis=1))
    if not len(reached):
        return "No evaluation was completed."
    last = int(reached[-1])
    guess = "" if chance is None else f"; chance is {chance:.2f}"
    if last == 0:
        return f"Only the untrained learner was evaluated: {score} {say(mean[0].mean())}{guess}."
    prefix = "" if last == num_tasks else f"After {last} of {num_tasks} tasks. "
    if last == 1:
        return f"{prefix}{score.capitalize()} {say(mean[1, 0])} after learning, {say(mean[0, 0])} before{guess}."
    learned = float(np.diagonal(mean[1:last]).mean())
    best = sign * float((sign * matrix[:, 1:last, : last - 1]).max(axis=1).mean())
    final = float(mean[last, : last - 1].mean())
    gained, lost = sign * (final - learned), sign * (best - final)
    least = 0.005 if objective.higher_is_better else 0.01 * learned
    if gained >= max(least, lost):
        text = f"Backward transfer {say(gained, True)}: {score} on earlier tasks {rose} from {say(learned)} when learned"
    elif lost >= least:
        text = f"Forgetting {say(lost)}: {score} on earlier tasks {fell} from {say(best)} at best"
    else:
        text = f"Nothing was forgotten: {score} on earlier tasks went from {say(learned)} when learned"
    when = "at the end" if last == num_tasks else "by then"
    near = chance is not None and learned < chance + 0.05
    remark = " Accuracy when learned is near chance: there was little to forget." if near else ""
    return f"{prefix}{text} to {say(final)} {when}{guess}.{remark}"


def reading_in_sequence(
    length: int,
    held_out: float,
    memory: float,
    joint: float,
    tuned_on: str | None,
    objective: Score = ACCURACY,
) -> str:
    """What a meta-test on `length` concepts says, for a person; `joint` is NaN where there is no upper bound."""
    concepts = objective.concepts
    if not math.isfinite(held_out):
        return f"Learning {length} unseen {concepts} in one pass gave no finite {objective.score_words}."
    if objective.higher_is_better:
        text = (
            f"After learning {length} unseen {concepts} in one pass, {held_out:.0%} of held-out images are still recognised "
            f"(memory {memory:.0%}); chance is {round(100 / length, 1):g}%."
        )
    else:
        text = (
            f"After learning {length} unseen {concepts} in one pass, the {objective.score_words} on held-out points is "
            f"{held_out:.2f} ({memory:.2f} on those learned)."
        )
    if math.isfinite(joint):
        text += f" Trained on the same {concepts} shuffled, it would be "
        text += f"{joint:.0%}." if objective.higher_is_better else f"{joint:.2f}."
    if tuned_on in TUNED_ON:
        text += (
            f" The learning rate was tuned on {tuned_on}: on the very {concepts} that {objective.score_words} is measured on."
        )
    return text
