"""What outputs are judged by: class labels by cross-entropy and accuracy, real targets by mean squared error."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Objective(abc.ABC):
    """A loss to learn by and a score to report.

    Attributes:
        score_name: "accuracy" or "mse"; it stands in for "accuracy" in the names of metrics.
        score_words: the same in full, for a sentence.
        concepts, examples: what is learned about, and from what: "classes" from "images", "functions" from "points".
        higher_is_better: which way the score is good.
    """

    score_name: str
    score_words: str
    higher_is_better: bool
    concepts: str
    examples: str

    @property
    def sign(self) -> int:
        """What makes higher better: 1, or -1 for an error."""
        return 1 if self.higher_is_better else -1

    @abc.abstractmethod
    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each sample, [N]."""

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        return self.losses(outputs, y).mean()

    @abc.abstractmethod
    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The derivative of each sample's loss by its outputs, [N, outputs]."""

    @abc.abstractmethod
    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The score of each sample, [..., N] of the outputs' dtype."""

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean score over the last axis of `y`."""
        return self.scores(outputs, y).mean(-1)


class Classification(Objective):
    """Outputs [..., N, classes], labels [..., N] int64."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(outputs, y, reduction="none")

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(outputs, y)  # in one kernel

    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        classes = torch.arange(outputs.shape[-1], device=y.device)
        return outputs.softmax(-1) - (y.unsqueeze(-1) == classes).to(outputs.dtype)

    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs.argmax(-1) == y).to(outputs.dtype)


class Regression(Objective):
    """Outputs and targets [..., N, dimensions]; squared errors are averaged over dimensions."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y).square().mean(-1)

    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        return 2 * (outputs - y) / outputs.shape[-1]

    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.losses(outputs, y)


CLASSIFICATION: Objective = Classification("accuracy", "accuracy", higher_is_better=True, concepts="classes", examples="images")
REGRESSION: Objective = Regression("mse", "mean squared error", higher_is_better=False, concepts="functions", examples="points")
OBJECTIVES = {each.score_name: each for each in (CLASSIFICATION, REGRESSION)}
"""By the name of the score."""
