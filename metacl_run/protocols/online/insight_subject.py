"""The inside of a learner under `online`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Params
from metacl_run.protocols.insight import FEATURE_COLUMNS, FEATURE_SAMPLES, GRADIENT_SAMPLES, Subject
from metacl_run.protocols.online.setup import StreamSetup, params_of
from metacl_run.protocols.protocol_interface import EvalSplit
from metacl_run.scoring.diagnostics import features_by_layer


class StreamSubject(Subject):
    """Gradients are those of the loss, features those of held-out samples, both of the network as it stands: of a method with
    weights for every task (`packnet`) with the weights of all."""

    gradients_on = f"the loss on up to {GRADIENT_SAMPLES} training samples of each task"

    def __init__(self, setup: StreamSetup, eval_split: EvalSplit) -> None:
        self._setup = setup
        self.features_on = f"up to {FEATURE_SAMPLES} {eval_split} samples of each task"

    def learned_rates(self, learner: StreamState) -> Params | None:
        replicates = range(len(self._setup.seeds))
        states = [tree_map(lambda leaf: leaf[replicate], learner) for replicate in replicates]  # noqa: B023
        rates = [self._setup.algo.rates(state) for state in states]
        if rates[0] is None:
            return None
        stacked: Params = tree_map(lambda *leaves: torch.stack(leaves), *rates)
        return stacked

    def gradient(self, learner: StreamState, replicate: int, task: int) -> Tensor:
        samples = self._setup.random_samples(replicate, task, GRADIENT_SAMPLES, Purpose.INSIGHT)
        gradients = grad(lambda params: self._setup.network.loss(params, *samples))(params_of(learner, replicate))
        return torch.cat([gradient.flatten() for gradient in gradients.values()])

    def features(self, learner: StreamState, replicate: int, task: int) -> dict[str, Tensor]:
        setup, params = self._setup, params_of(learner, replicate)
        x = setup.pool.test(task, FEATURE_SAMPLES)[replicate].cast(setup.dtype).x
        return features_by_layer(setup.network.module, lambda: setup.network(params, x), FEATURE_COLUMNS)
