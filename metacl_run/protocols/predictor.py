"""The interface of a trained learner outside a run: it learns from examples that a user has, and predicts.

A predictor is one seed's learner. Nothing is changed in place: learning returns another predictor.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params
from metacl_run.models.network import HEAD, Network
from metacl_run.models.split_network import without_head

Task: TypeAlias = int | Sequence[int] | np.ndarray | Tensor
"""The task of all inputs, or [N] of each; the first is 0."""


@dataclass(frozen=True, kw_only=True)
class Predictor(abc.ABC):
    """Predicts for inputs [N, *input shape] of the run's floating-point type.

    Attributes:
        network: of the run.
    """

    network: Network

    @property
    def module(self) -> nn.Module:
        """The network as a module; its own parameters are not those that were learned."""
        return self.network.module

    @property
    @abc.abstractmethod
    def params(self) -> Params:
        """The parameters that the module of the run computes with, [...] by name."""

    @property
    def num_outputs(self) -> int | None:
        """The classes that it can tell apart, or the dimensions of a target; None: any number of classes."""
        return self.network.ways

    @property
    @abc.abstractmethod
    def learns_in_sequence(self) -> bool:
        """Whether learning goes on from what was learned before; otherwise it starts again from the run's parameters."""

    @abc.abstractmethod
    def learn(self, x: Tensor, y: Tensor, rate: float | None = None) -> Predictor:
        """Learns from examples.

        Args:
            x: [S, *input shape].
            y: [S] int64 outputs, or [S, dimensions] float targets.
            rate: of the inner loop, for a learner in sequence; None: the learner's own.

        Raises:
            ConfigError: the learner does not learn so.
        """

    def inputs(self, x: Tensor) -> Tensor:
        """Returns what the network is called with for examples [N, *input shape]. Default: the examples themselves.

        Raises:
            ConfigError: the network acts, so that an example is not what it sees.
        """
        if self.network.rollout is not None:
            raise ConfigError(
                "inputs: an example of this run describes a situation, in which the network acts: it sees observations that "
                "follow from its own actions. outputs(x) gives what comes of them"
            )
        return x

    def features(self, x: Tensor) -> Tensor:
        """Computes the inputs of the network's head, [N, D], for examples [N, *input shape].

        Raises:
            ConfigError: the network has no head, or acts.
        """
        if HEAD not in self.module._modules:
            groups = ", ".join(dict.fromkeys(name.split(".")[0] for name in self.params))
            raise ConfigError(
                f"features: {type(self.module).__name__} has no layer of the name 'head', whose inputs they are; it has "
                f"{groups}. module() returns the network"
            )
        with torch.no_grad():
            features: Tensor = self.network.part(without_head(self.module))(self.params, self.inputs(x))
        return features

    @abc.abstractmethod
    def outputs(self, x: Tensor, *, together: bool = False, task: Task | None = None) -> Tensor:
        """Computes outputs [N, outputs].

        Args:
            x: [N, *input shape].
            together: where there is batch norm, let all inputs share its statistics (transductive).
            task: which task the inputs belong to, or each of them, where a learner is told it (task-incremental).

        Raises:
            ConfigError: the learner cannot predict so, or not yet.
        """
