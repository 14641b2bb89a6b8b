"""What the numbers of a run say, in a sentence or two for a person."""

from __future__ import annotations

import math

import numpy as np

from metacl_run.scoring.scores import ACCURACY, Score
from metacl_run.storage.marks import TUNED_ON


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
    whole = [row for row, tasks in enumerate(np.isfinite(mean)) if tasks[: row or None].all()]
    if not whole:
        return "No evaluation was completed."
    last = whole[-1]
    guess = "" if chance is None else f"; chance is {chance:.2f}"
    if last == 0:
        return f"Only the untrained learner was evaluated: {score} {say(mean[0].mean())}{guess}."
    prefix = "" if last == num_tasks else f"After {last} of {num_tasks} tasks. "
    when_learned = float(np.diagonal(mean[1 : last + 1]).mean())
    before = float(mean[0, :last].mean())
    if learned_nothing(when_learned, before, chance, objective):
        than = f"{say(before)} before" if chance is None else f"and chance is {chance:.2f}"
        what = "a task" if num_tasks > 1 else "it"
        return f"{prefix}Nothing was learned: {score} right after learning {what} is {say(when_learned)}, {than}."
    if last == 1:
        return f"{prefix}{score.capitalize()} {say(mean[1, 0])} after learning, {say(mean[0, 0])} before{guess}."
    learned = float(np.diagonal(mean[1:last]).mean())
    final = float(mean[last, : last - 1].mean())
    every_row = len(whole) == last + 1
    # What was not evaluated, tasks to come or rows left out, cannot have been the best that was seen.
    best = sign * float(np.nanmax(sign * matrix[:, 1:last, : last - 1], axis=1).mean()) if every_row else learned
    gained, lost = sign * (final - learned), sign * (best - final)
    least = 0.005 if objective.higher_is_better else 0.01 * learned
    if gained >= max(least, lost):
        text = f"Backward transfer {say(gained, True)}: {score} on earlier tasks {rose} from {say(learned)} when learned"
    elif lost >= least:
        since = "at best" if every_row else "when learned"
        text = f"Forgetting {say(lost)}: {score} on earlier tasks {fell} from {say(best)} {since}"
    else:
        text = f"Nothing was forgotten: {score} on earlier tasks went from {say(learned)} when learned"
    when = "at the end" if last == num_tasks else "by then"
    near = chance is not None and learned < chance + 0.05
    remark = " Accuracy when learned is near chance: there was little to forget." if near else ""
    return f"{prefix}{text} to {say(final)} {when}{guess}.{remark}"


def learned_nothing(when_learned: float, before: float, chance: float | None, objective: Score) -> bool:
    """Whether scores right after learning are those of a guess: of chance where it is known, else of the untrained learner.

    Args:
        when_learned: mean score on tasks right after learning them.
        before: of the untrained learner on the same tasks.
        chance: the score of a guess.
    """
    if chance is None:
        better = objective.sign * (when_learned - before)
        return better < (0.01 if objective.higher_is_better else 0.01 * before)
    return when_learned < chance + min(0.05, max(0.01, 0.2 * chance))


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
    if objective.higher_is_better and learned_nothing(held_out, math.nan, 1 / length, objective):
        text = f"Nothing was kept: {text[0].lower()}{text[1:]}"
    if math.isfinite(joint):
        text += f" Trained on the same {concepts} shuffled, it would be "
        text += f"{joint:.0%}." if objective.higher_is_better else f"{joint:.2f}."
    if tuned_on in TUNED_ON:
        text += (
            f" The learning rate was tuned on {tuned_on}: on the very {concepts} that {objective.score_words} is measured on."
        )
    return text
