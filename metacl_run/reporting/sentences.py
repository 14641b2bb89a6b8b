"""The results of a run in a sentence or two."""

from __future__ import annotations

import math

import numpy as np

from metacl_run.layout.numbers import number, score_text
from metacl_run.scoring.metric_table import PRECISION, RECALL, TRANSDUCTIVE, metrics_of, worst_name
from metacl_run.scoring.scores import ACCURACY, Score, chance_text
from metacl_run.storage.marks import ON_VALIDATION, TUNED_ON
from metacl_run.storage.stored_run import StoredRun

MOST_DOMAINS = 6
"""Domains of a stream that are named one by one."""


def sentence(run: StoredRun) -> str:
    """Says what the run's numbers mean, and where they are not of test data."""
    text = " ".join(filter(None, (_main_sentence(run), kept_words(run))))
    together = run.summary["metrics"].get(f"{TRANSDUCTIVE}{run.score.score_name}", {}).get("mean")
    if together is not None:
        text += (
            f" Each query was predicted alone; with all queries of an episode together (transductive) {run.score.score_words} "
            f"is {score_text(together, run.score)}."
        )
    return f"{text} All scores are on {ON_VALIDATION}." if run.eval_split == "validation" else text


def _main_sentence(run: StoredRun) -> str:
    results = run.sequences
    if run.kind == "osaka":
        return _of_stream(run)
    if results is None:
        if run.rows_reached == 1 and len(run.probe_units):
            return _last_probe(run)
        matrix = describe_matrix(run.matrix, run.chance, run.score)
        return " ".join(filter(None, (matrix, _on_all_samples(run), _seeds_at_chance(run))))
    test = results.meta_test
    if test is not None:
        held_out, memory = (float(values[:, -1].mean()) for values in (test.held_out, test.memory))
        tuned_on = test.eval_split if test.tuned_on_test else test.tuned_on
        joint = math.nan if test.joint is None else float(test.joint[:, -1].mean())
        text = describe_meta_test(test.longest, held_out, memory, joint, tuned_on, run.score)
        if test.untrained is not None:
            text += f" Class means of random features recognise {float(test.untrained[:, -1].mean()):.0%}."
        return text
    text = "No meta-test was completed."
    if len(results.probe_units):
        held_out, memory = (float(values[:, -1].mean()) for values in (results.probe_held_out, results.probe_memory))
        text += (
            f" The last probe, {results.probe_length} {run.score.concepts} after {results.probe_units[-1]} {run.unit_name}s: "
            f"{run.score.score_name} {held_out:.2f}, memory {memory:.2f}."
        )
    return text


def _on_all_samples(run: StoredRun) -> str | None:
    """The scores that count every test sample once, where tasks differ in size; None where they do not."""
    name, metrics = run.score.score_name, run.summary["metrics"]
    overall, incremental = (metrics.get(f"{kind}_{name}", {}).get("mean") for kind in ("overall", "incremental"))
    if overall is None or incremental is None:
        return None
    return (
        f"Tasks differ in size: with every test sample counted once, {run.score.score_words} is "
        f"{score_text(overall, run.score)} at the end and {score_text(incremental, run.score)} averaged over task ends."
    )


def _seeds_at_chance(run: StoredRun) -> str | None:
    """Names the seeds whose score at the end is that of a guess, where others' is not: a mean does not say that one failed."""
    if run.chance is None or not np.isfinite(run.matrix[:, -1]).all():
        return None
    failed = [learned_nothing(float(own.mean()), math.nan, run.chance, run.score) for own in run.matrix[:, -1]]
    if not any(failed) or all(failed):
        return None
    seeds = [str(seed) for seed, is_failed in zip(run.seeds, failed, strict=True) if is_failed]
    which = f"Seed {seeds[0]}" if len(seeds) == 1 else f"Seeds {', '.join(seeds[:-1])} and {seeds[-1]}"
    return f"{which} ended at chance, while the others did not: look at single seeds, not at the mean."


def _of_stream(run: StoredRun) -> str:
    """What a stream of predictions made before learning came to."""
    metrics, score = run.summary["metrics"], run.score
    if score.score_name not in metrics:
        return _of_part_of_stream(run)
    last = run.matrix[:, -1].mean(axis=0).tolist()
    names = [name for name, value in zip(run.summary["task_names"][0], last, strict=True) if math.isfinite(value)]
    values = [score_text(value, score) for value in last if math.isfinite(value)]
    by_domain = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    mean = metrics[score.score_name]["mean"]
    value = "not finite" if mean is None else score_text(mean, score)
    text = f"Predicting before learning, {score.score_words} is {value}"
    text += f" ({by_domain})." if 1 < len(names) <= MOST_DOMAINS else "."
    precision, recall = (metrics[name]["mean"] if name in metrics else None for name in (PRECISION, RECALL))
    if recall is not None:
        text += f" It detected {recall:.0%} of the task switches"
        text += "." if precision is None else f"; {precision:.0%} of the detected switches are true."
    return text


def _of_part_of_stream(run: StoredRun) -> str:
    """How far an unfinished stream came, and what it came to so far."""
    pretraining, name = int(run.summary.get("pretraining") or 0), f"{run.unit_name}s"
    if not len(run.evaluations.units):
        return "The run ended before the first record of its stream."
    done, all_steps = int(run.evaluations.units[-1]) - pretraining, run.units.total - pretraining
    value = score_text(float(run.scores_so_far[:, -1].mean()), run.score)
    guess = "" if run.chance is None else f"; chance is {chance_text(run.chance)}"
    reached = f"After {done:,} of {all_steps:,} {name}"
    return f"The stream did not get to its end. {reached}: {run.score.score_words} so far {value}{guess}."


def kept_words(run: StoredRun) -> str | None:
    """Says which state was tested where it is the best on validation; None where it is the last."""
    if run.summary["kept"] is None:
        return None
    units = run.summary["kept"]["unit"]
    last, name = run.units_per_task, f"{run.unit_name}s"
    if len(units[0]) == 1:
        different = dict.fromkeys(unit for (unit,) in units)
        numbers = ", ".join(f"{unit:,}" for unit in (different if len(different) == 1 else (unit for (unit,) in units)))
        order = "" if len(different) == 1 else ", by seed"
        return f"The tested state is the one that did best on validation, after {numbers} of {last:,} {name}{order}."
    mean = float(np.mean([unit - task * last for own in units for task, unit in enumerate(own)]))
    return f"For each task, the state that did best on validation was kept, on average after {mean:,.0f} of {last:,} {name}."


def _last_probe(run: StoredRun) -> str:
    """The last probe of a run that stopped before its first task was learned."""
    score, guess = run.score, "" if run.chance is None else f"; chance is {chance_text(run.chance)}"
    first, last = (score_text(float(run.evaluations.probe_scores[:, probe, 0].mean()), score) for probe in (0, -1))
    where = f"{run.unit_name} {run.evaluations.units[-1]}/{run.units.lengths[0]} of task 1"
    return f"The last probe, after {where}: {score.score_words} {last} on it, {first} before learning{guess}."


def evaluation_error_words(error: float, score: Score) -> str:
    """How exact one seed's score is."""
    return f"Within one seed, the last evaluation gives {score.score_words} to ±{number(error)} (95%, over what was evaluated)."


def time_words(run: StoredRun) -> str | None:
    """The share of the run's time that evaluation and insight took; None where that is not known."""
    train, evaluate, insight = (run.summary["timing"].get(name) for name in ("train_s", "evaluate_s", "insight_s"))
    if (
        run.summary["evaluation_of"]
        or run.kind == "osaka"
        or None in (train, evaluate, insight)
        or not train + evaluate + insight
    ):
        return None
    total = train + evaluate + insight
    probes = len(run.probe_units if run.sequences is None else run.sequences.probe_units) > 0
    work = "evaluation" if run.sequences is None else "meta-test"
    share = f"{'Probes and ' + work if probes else work.capitalize()} took {evaluate / total:.0%} of the time"
    return f"{share}, insight {insight / total:.0%}." if insight else f"{share}."


def not_evaluated(run: StoredRun) -> str | None:
    """Says which metrics are missing because what they need was not evaluated; None where there are none."""
    protocol, score = run.config.get("protocol") or {}, run.score.score_name
    rows_every, eval_future = protocol.get("rows_every", 1), protocol.get("eval_future", "all")
    causes: dict[str, list[str]] = {}
    if rows_every != 1:
        names = ["forgetting", f"anytime_{score}", worst_name(run.score), f"worst_case_{score}"]
        causes[f"protocol.rows_every={rows_every}"] = names
    if run.summary["forward_transfer"] and eval_future == "none":
        causes["protocol.eval_future=none"] = ["fwt"]
    missing = {
        cause: [name for name in metrics_of(run.score, run.kind) if name in names and name not in run.summary["metrics"]]
        for cause, names in causes.items()
    }
    texts = [f"{', '.join(names)} (by {cause})" for cause, names in missing.items() if names]
    if not texts or run.status != "completed" or run.num_tasks < 2:
        return None
    return f"Not evaluated, so left out: {'; '.join(texts)}."


def describe_matrix(matrix: np.ndarray, chance: float | None, score: Score = ACCURACY) -> str:
    """Describes the accuracy matrix [R, T + 1, T], as far as its rows were reached."""

    def say(value: float, signed: bool = False) -> str:
        return score_text(value, score, signed)

    words, sign = score.score_words, score.sign
    rose, fell = ("rose", "fell") if score.higher_is_better else ("fell", "rose")
    mean = np.asarray(matrix).mean(axis=0)
    num_tasks = mean.shape[1]
    whole = [row for row, tasks in enumerate(np.isfinite(mean)) if tasks[: row or None].all()]
    if not whole:
        return f"No evaluation gave a finite {words} for every seed."
    last = whole[-1]
    guess = "" if chance is None else f"; chance is {chance_text(chance)}"
    if last == 0:
        return f"Only the untrained learner was evaluated: {words} {say(mean[0].mean())}{guess}."
    if not np.isfinite(mean[:last]).any():
        return f"{words.capitalize()} {say(mean[last].mean())} at the end of learning{guess}."
    prefix = "" if last == num_tasks else f"After {last} of {num_tasks} tasks. "
    when_learned = float(np.diagonal(mean[1 : last + 1]).mean())
    before = float(mean[0, :last].mean())
    if learned_nothing(when_learned, before, chance, score):
        than = f"{say(before)} before" if chance is None else f"and chance is {chance_text(chance)}"
        what = "a task" if num_tasks > 1 else "it"
        return f"{prefix}Nothing was learned: {words} right after learning {what} is {say(when_learned)}, {than}."
    if last == 1:
        return f"{prefix}{words.capitalize()} {say(mean[1, 0])} after learning, {say(mean[0, 0])} before{guess}."
    learned = float(np.diagonal(mean[1:last]).mean())
    final = float(mean[last, : last - 1].mean())
    every_row = len(whole) == last + 1
    # Without every row the best score of a task is not known.
    best = sign * float(np.nanmax(sign * matrix[:, 1:last, : last - 1], axis=1).mean()) if every_row else learned
    gained, lost = sign * (final - learned), sign * (best - final)
    least = 0.005 if score.higher_is_better else 0.01 * learned
    if gained >= max(least, lost):
        text = f"Backward transfer {say(gained, True)}: {words} on earlier tasks {rose} from {say(learned)} when learned"
    elif lost >= least:
        since = "at best" if every_row else "when learned"
        text = f"Forgetting {say(lost)}: {words} on earlier tasks {fell} from {say(best)} {since}"
    else:
        text = f"Nothing was forgotten: {words} on earlier tasks went from {say(learned)} when learned"
    when = "at the end" if last == num_tasks else "by then"
    near = chance is not None and learned < chance + min(0.05, chance)
    remark = " Accuracy when learned is near chance: there was little to forget." if near else ""
    which = f"all {num_tasks} tasks at the end" if last == num_tasks else f"the {last} tasks learned so far"
    level = f"{score.mean_words.capitalize()} {say(mean[last, :last].mean())} on {which}{guess}."
    return f"{prefix}{level} {text} to {say(final)} {when}.{remark}"


def learned_nothing(when_learned: float, before: float, chance: float | None, score: Score) -> bool:
    """Whether scores right after learning are no better than chance or, where that is not known, than the untrained learner.

    Args:
        when_learned: mean score on tasks right after learning them.
        before: of the untrained learner on the same tasks.
        chance: the score of a guess.
    """
    if chance is None:
        better = score.sign * (when_learned - before)
        return better < (0.01 if score.higher_is_better else 0.01 * before)
    return when_learned < chance + min(0.05, max(0.01, 0.2 * chance))


def describe_meta_test(
    length: int,
    held_out: float,
    memory: float,
    joint: float,
    tuned_on: str | None,
    score: Score = ACCURACY,
) -> str:
    """Describes a meta-test on `length` concepts; `joint` is NaN where there is no upper bound."""
    concepts = score.concepts
    if not math.isfinite(held_out):
        return f"Learning {length} unseen {concepts} in one pass gave no finite {score.score_words}."
    if score.higher_is_better:
        text = (
            f"After learning {length} unseen {concepts} in one pass, {held_out:.0%} of held-out examples are still recognised "
            f"(memory {memory:.0%}); chance is {round(100 / length, 1):g}%."
        )
    else:
        text = (
            f"After learning {length} unseen {concepts} in one pass, the {score.score_words} on held-out points is "
            f"{held_out:.2f} ({memory:.2f} on the learned points)."
        )
    if score.higher_is_better and learned_nothing(held_out, math.nan, 1 / length, score):
        text = f"Nothing was remembered: {text[0].lower()}{text[1:]}"
    if math.isfinite(joint):
        text += f" Joint training on the same {concepts}, shuffled, gives "
        text += f"{joint:.0%}." if score.higher_is_better else f"{joint:.2f}."
    if tuned_on in TUNED_ON:
        text += (
            f" The learning rate was tuned on {tuned_on}: on the same {concepts} on which the {score.score_words} is measured."
        )
    return text
