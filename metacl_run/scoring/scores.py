"""Names of the scores of a run, and which way they are good. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A measure of learning.

    Attributes:
        score_name: "accuracy" or "mse"; it takes the place of "accuracy" in the names of metrics.
        score_words: the same in full, for a sentence.
        higher_is_better: which way the score is good.
        concepts, examples: words for the things learned and their examples: "classes" and "examples", "functions" and "points".
        least, largest: bounds of the score.
    """

    score_name: str
    score_words: str
    higher_is_better: bool
    concepts: str
    examples: str
    least: float = 0.0
    largest: float = math.inf

    @property
    def mean_words(self) -> str:
        """Names the mean of several scores; the mean of errors that are means already has no second "mean"."""
        return self.score_words if self.score_words.startswith("mean ") else f"mean {self.score_words}"

    @property
    def sign(self) -> int:
        """Factor that makes higher better: 1, or -1 for an error."""
        return 1 if self.higher_is_better else -1


ACCURACY = Score("accuracy", "accuracy", higher_is_better=True, concepts="classes", examples="examples", largest=1.0)
MSE = Score("mse", "mean squared error", higher_is_better=False, concepts="functions", examples="points")
SUCCESS = Score("success", "success rate", higher_is_better=True, concepts="skills", examples="demonstrations", largest=1.0)
"""Measured by acting: the share of episodes in which a policy reaches its goal."""
RETURN = Score("return", "return", higher_is_better=True, concepts="tasks", examples="episodes", least=-math.inf)
"""The sum of the rewards of an episode of control. It stands beside the score of a run, and never in its place."""
SCORES = {score.score_name: score for score in (ACCURACY, MSE, SUCCESS)}
"""By their names."""


def chance_text(chance: float) -> str:
    """The accuracy of a guess: two decimals, below .1 two significant digits, so that the chance of 150 classes is not 0.01."""
    return f"{chance:.2f}" if chance >= 0.1 else f"{chance:.2g}"
