"""Losses and scores of outputs: cross-entropy and accuracy for class labels, mean squared error for real targets."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metacl_run.scoring.scores import ACCURACY, MSE, Score


@dataclass(frozen=True)
class Objective(Score, abc.ABC):
    """A loss to learn by and a score to report."""

    @abc.abstractmethod
    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of every sample, [N]."""

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss, a scalar."""
        return self.losses(outputs, y).mean()

    @abc.abstractmethod
    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The derivative of every sample's loss by its outputs, [N, outputs]."""

    @abc.abstractmethod
    def information_roots(self, outputs: Tensor) -> Tensor:
        """Vectors [N, D, outputs] whose products v_d v_d', summed over D, are the Fisher information of a sample's outputs: the
        loss is minus the logarithm of a likelihood, and targets are as the outputs expect them."""

    @abc.abstractmethod
    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The score of every sample, [..., N] of the outputs' dtype."""

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean score over the last axis of `y`."""
        return self.scores(outputs, y).mean(-1)


class Classification(Objective):
    """Outputs [..., N, classes], labels [..., N] int64."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(outputs, y, reduction="none")

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        if outputs.is_cuda:  # without what `cross_entropy` launches under vmap for labels that do not count
            return -outputs.log_softmax(-1).gather(-1, y.unsqueeze(-1)).mean()
        return cross_entropy(outputs, y)  # in one kernel

    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        classes = torch.arange(outputs.shape[-1], device=y.device)
        return outputs.softmax(-1) - (y.unsqueeze(-1) == classes).to(outputs.dtype)

    def information_roots(self, outputs: Tensor) -> Tensor:
        chances = outputs.softmax(-1)  # of every class c a slope p - e_c, with the chance of c
        slopes = chances.unsqueeze(-2) - torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
        return slopes * chances.sqrt().unsqueeze(-1)

    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs.argmax(-1) == y).to(outputs.dtype)


class Regression(Objective):
    """Outputs and targets [..., N, dimensions]; squared errors are averaged over dimensions."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y).square().mean(-1)

    def slope(self, outputs: Tensor, y: Tensor) -> Tensor:
        return 2 * (outputs - y) / outputs.shape[-1]

    def information_roots(self, outputs: Tensor) -> Tensor:
        dimensions = outputs.shape[-1]  # a Gaussian around the outputs, whose variance is dimensions / 2
        root = math.sqrt(2 / dimensions) * torch.eye(dimensions, dtype=outputs.dtype, device=outputs.device)
        return root.expand(*outputs.shape, dimensions)

    def scores(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.losses(outputs, y)


CLASSIFICATION: Objective = Classification(**vars(ACCURACY))
REGRESSION: Objective = Regression(**vars(MSE))
