"""How a score is spoken of in titles and captions, by which way it is good."""

from __future__ import annotations

from typing import NamedTuple

from metacl_run.scoring.scores import Score


class Words(NamedTuple):
    score: str
    mean: str
    worsens: str
    improves: str
    dip: str
    """What a line has where things get worse for a while."""
    extreme: str
    """Its points that are worst."""
    beyond: str
    """Where a line lies that is worse than another."""
    seen_line: str
    """Where the line of the tasks seen so far lies, beside that of all tasks."""
    is_lost: str


def words(objective: Score) -> Words:
    score = objective.score_words
    if objective.higher_is_better:
        return Words(score, f"mean {score}", "falls", "rises", "dip", "lowest", "below", "upper", f"{score} is lost")
    return Words(score, score, "rises", "falls", "peak", "highest", "above", "lower", "the error grows")
