"""What the scores of a run are called and which way they are good, for whoever reads them. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """What learning is judged by.

    Attributes:
        score_name: "accuracy" or "mse"; it stands in for "accuracy" in the names of metrics.
        score_words: the same in full, for a sentence.
        higher_is_better: which way the score is good.
        concepts, examples: what is learned about, and from what: "classes" from "images", "functions" from "points".
        least, largest: what the score can be.
    """

    score_name: str
    score_words: str
    higher_is_better: bool
    concepts: str
    examples: str
    least: float = 0.0
    largest: float = math.inf

    @property
    def sign(self) -> int:
        """What makes higher better: 1, or -1 for an error."""
        return 1 if self.higher_is_better else -1


ACCURACY = Score("accuracy", "accuracy", higher_is_better=True, concepts="classes", examples="images", largest=1.0)
MSE = Score("mse", "mean squared error", higher_is_better=False, concepts="functions", examples="points")
SCORES = {each.score_name: each for each in (ACCURACY, MSE)}
"""By their names."""
