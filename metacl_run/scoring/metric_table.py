"""The table of metrics: name, meaning, better direction and possible values of every number that a run can report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metacl_run.scoring.intervals import Bounds
from metacl_run.scoring.scores import ACCURACY, MSE, RETURN, SCORES, SUCCESS, Score

DIFFERENCES = ("bti", "bwt", "fwt", "forgetting")
"""Differences of scores, with a sign such that above 0 `forgetting` is a loss and the others are a gain, whatever the score."""
TRANSDUCTIVE = "transductive_"
"""Prefix of metrics for which all queries of an episode are predicted together, so that batch norm normalises over them. A
network without batch norm has no such metrics. For every other metric a query is predicted alone."""

BEFORE = "before_"
"""Prefix of a score at the end before adaptation, where an output means the same in every episode."""
RANDOM = "random_"
"""Prefix of what comes of random actions."""
OOS_AUROC = "oos_auroc"
"""Of learners of classes, where the data have examples that belong to none."""
PRECISION, RECALL, F1 = "switch_precision", "switch_recall", "switch_f1"
"""Of learners that detect switches of tasks, under protocol `osaka`."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of a run.

    Attributes:
        name: its name in summary.json.
        meaning: its definition in words.
        higher_is_better: whether a higher value is better.
        possible: its least and its largest possible value.
        needs_equal_probes: whether it depends on when and on what the run was evaluated within tasks. It is comparable only
            between runs that probe alike.
    """

    name: str
    meaning: str
    higher_is_better: bool
    possible: Bounds
    needs_equal_probes: bool = False


def metrics_of(score: Score, kind: str) -> dict[str, Metric]:
    """Returns every metric that runs with this score can report, by name and in the order of a table.

    Args:
        score: the kind of score.
        kind: of the protocol.
    """
    meanings = {"meta_continual": _in_sequence, "osaka": _in_a_stream}.get(kind, _task_by_task)(score)
    return {name: _metric(name, meaning, score) for name, meaning in meanings.items()}


def headline_metrics(score: Score, kind: str) -> list[str]:
    """Returns the names of the metrics that a reader wants first, in their order; a run may lack some.

    Args:
        score: the kind of score.
        kind: of the protocol.
    """
    name = score.score_name
    if kind == "meta_continual":
        return [name, "memory", f"joint_{name}", f"untrained_{name}", f"learning_{name}", "forgetting"]
    if kind == "osaka":
        return [name, PRECISION, RECALL]
    acting = [SUCCESS.score_name, f"{BEFORE}{SUCCESS.score_name}", RETURN.score_name, f"{BEFORE}{RETURN.score_name}"]
    of_classes = [f"overall_{name}", f"incremental_{name}"]
    return [name, *of_classes, f"{BEFORE}{name}", *acting, f"learning_{name}", "forgetting", "bwt", "fwt", OOS_AUROC]


def _task_by_task(score: Score) -> dict[str, str]:
    meanings = dict(_of_tasks(score))
    together = "the same with all queries of an episode together, each of which helps to normalise the others"
    meanings |= {f"{TRANSDUCTIVE}{name}": f"{name}: {together}" for name in meanings}
    if score.score_name != ACCURACY.score_name:
        meanings[f"{BEFORE}{score.score_name}"] = f"{score.mean_words} over all tasks at the end, before adaptation"
    if score.score_name == MSE.score_name:
        acting = "share of placements from which a learner reaches its goal by acting"
        meanings |= {
            SUCCESS.score_name: f"{acting}, after adapting to a demonstration",
            f"{BEFORE}{SUCCESS.score_name}": f"{acting}, before adapting",
        }
        control = "mean return of control by random shooting"
        meanings |= {
            RETURN.score_name: f"{control} with the model, adapted at every step to the last transitions",
            f"{BEFORE}{RETURN.score_name}": f"{control} with the model before adaptation",
            f"{RANDOM}{RETURN.score_name}": "mean return of random actions under the same dynamics",
        }
    if score.score_name == ACCURACY.score_name:
        meanings[OOS_AUROC] = (
            "out-of-scope detection: the chance that the largest probability of a test query is above that of a query that "
            "belongs to no class (AUROC); .5 is a guess"
        )
    return meanings


def _in_a_stream(score: Score) -> dict[str, str]:
    return {
        score.score_name: f"{score.mean_words} of predictions made before learning, over all steps of the stream",
        PRECISION: "share of the detected switches at which the task had just changed",
        RECALL: "share of the true switches that were detected at the exact step",
        F1: "harmonic mean of both",
    }


def higher_is_better(name: str, score: Score) -> bool:
    """Whether a higher value of a metric is better."""
    return _metric(name, "", score).higher_is_better


def possible_values(name: str, score: Score) -> Bounds:
    """Returns the least and the largest value that a metric can have."""
    return _metric(name, "", score).possible


def worst_name(score: Score) -> str:
    """Returns the name of the metric for the worst score of earlier tasks: the lowest accuracy, the largest error."""
    return f"{'min' if score.higher_is_better else 'max'}_{score.score_name}"


def needs_equal_probes(name: str) -> bool:
    """Whether a metric is comparable only between runs that evaluate at the same moments on as many samples."""
    own = name.removeprefix(TRANSDUCTIVE)
    return own in {word for score in SCORES.values() for word in (worst_name(score), f"worst_case_{score.score_name}")}


def _metric(name: str, meaning: str, score: Score) -> Metric:
    kind = name.removeprefix(TRANSDUCTIVE)
    if kind in DIFFERENCES:
        largest = score.largest - score.least
        return Metric(name=name, meaning=meaning, higher_is_better=kind != "forgetting", possible=(-largest, largest))
    if kind in (PRECISION, RECALL, F1):
        return Metric(name=name, meaning=meaning, higher_is_better=True, possible=(0.0, 1.0))
    beside = {other.score_name: other for other in (SUCCESS, RETURN)}  # beside an error too, and then it is no error
    score = beside.get(kind.removeprefix(BEFORE).removeprefix(RANDOM), score)
    return Metric(
        name=name,
        meaning=meaning,
        higher_is_better=score.higher_is_better,
        possible=(score.least, score.largest),
        needs_equal_probes=needs_equal_probes(name),
    )


def _of_tasks(score: Score) -> Iterator[tuple[str, str]]:
    name, words, mean = score.score_name, score.score_words, score.mean_words
    yield name, f"{mean} over all tasks at the end (RA)"
    yield f"learning_{name}", f"{mean} on each task right after learning it (LA)"
    yield "bti", _bti(score, "tasks")
    yield "bwt", f"backward transfer: {_gain(score)} on earlier tasks since each was learned"
    yield "fwt", f"forward transfer: {_gain(score)} on a task before learning it, over the untrained learner"
    yield "forgetting", f"{_loss(score)} on earlier tasks from their best {words} to the end: above 0 is lost"
    yield f"anytime_{name}", f"{mean} on the tasks seen so far, averaged over all task ends"
    yield (
        f"overall_{name}",
        f"{words} at the end on the test {score.examples} of all tasks together, where tasks differ in size",
    )
    yield (
        f"incremental_{name}",
        f"{words} on all classes seen so far, averaged over all task ends (average incremental {words})",
    )
    extreme = "lowest" if score.higher_is_better else "largest"
    yield worst_name(score), f"{extreme} {words} an earlier task had at any evaluation after it was learned, averaged"
    yield f"worst_case_{name}", f"{words} of the last task, and {worst_name(score)}, weighted by number of tasks"


def _in_sequence(score: Score) -> dict[str, str]:
    return dict(_of_segments(score))


def _of_segments(score: Score) -> Iterator[tuple[str, str]]:
    """All metrics are at the learning rate that was chosen for the whole sequence."""
    name, words, mean, concepts = score.score_name, score.score_words, score.mean_words, score.concepts
    yield name, f"held-out {words} on all {concepts} after learning them one after another, mean over orders"
    yield "memory", f"{words} on the {score.examples} just learned, at the same moment"
    yield f"untrained_{name}", f"held-out {words} by the nearest class mean on random features: the baseline to beat"
    yield f"joint_{name}", f"held-out {words} after training on the same {concepts} shuffled: the difference is due to order"
    yield f"learning_{name}", f"{mean} on each segment of {concepts} right after learning it (LA)"
    yield "bti", _bti(score, concepts)
    yield "bwt", f"backward transfer: {_gain(score)} on earlier segments since each was learned"
    yield "fwt", f"forward transfer: {_gain(score)} on a segment before its {concepts} were learned"
    yield "forgetting", f"{_loss(score)} on earlier segments from their best {words} to the end: above 0 is lost"
    yield f"anytime_{name}", f"{mean} on the segments seen so far, averaged over the sequence"


def _bti(score: Score, later: str) -> str:
    name = score.score_name
    terms = f"{name} minus learning_{name}" if score.higher_is_better else f"learning_{name} minus {name}"
    return f"{terms}: below 0, later {later} interfered"


def _gain(score: Score) -> str:
    return "gain" if score.higher_is_better else "fall of the error"


def _loss(score: Score) -> str:
    return "drop" if score.higher_is_better else "rise of the error"
