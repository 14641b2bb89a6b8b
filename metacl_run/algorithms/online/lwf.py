"""Learning without forgetting: a loss keeps the outputs for old tasks, on inputs of the new task, as they were.

    metacl-run algo=lwf data=split_mnist

Li and Hoiem 2016 (arXiv 1606.09282, equations 1 to 4). z are the logits, and z~ those of the network at the end of the previous
task, on the same inputs:

    loss = L + strength * sum over old tasks of cross_entropy(softmax(z~ / temperature), softmax(z / temperature))

where each softmax is over the outputs of that task. If tasks share their outputs or are not known, the outputs of all classes
of earlier tasks count as one old task. During the first task, the second term is 0.

Differences from the paper:
 1. One pass over the stream, without a warm-up of the new outputs, and by default without weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.stream_learner import NO_REPLAY, ReplaySpec
from metacl_run.core.bounds import Hint, Positive
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import Network


class LwfState(GradientState):
    """The parameters, and the network and classes to distil."""

    old_params: Params
    """The parameters at the end of the previous task; at first the initial ones, which have no effect."""
    classes: Tensor
    """[outputs] bool: classes seen so far."""
    old_classes: Tensor
    """[outputs] bool: classes seen before the current task."""


@dataclass(frozen=True, kw_only=True)
class LearningWithoutForgetting(GradientLearner[LwfState]):
    """SGD with distillation from the network of the previous task. For classes only.

    Attributes:
        strength: factor of the distillation loss (lambda_o).
        temperature: temperature of both softmaxes; a higher one gives small outputs more weight.
    """

    strength: Annotated[Positive, Hint("without distillation, algo=sgd")]
    temperature: Positive

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return NO_REPLAY

    def init(self, network: Network, params: Params, num_tasks: int) -> LwfState:
        network.refuse_real_targets(self, "algo=ewc, algo=er or another")
        none = torch.zeros(network.ways, dtype=torch.bool, device=next(iter(params.values())).device)
        return {**self.start(params), "old_params": params, "classes": none, "old_classes": none}

    def observe(self, network: Network, state: LwfState, observed: Observation) -> tuple[LwfState, Metrics]:
        batch, params = observed.batch, state["params"]
        target = self._tempered(_heads(network.at_evaluation, state["old_params"], batch), state).softmax(-1)
        old_tasks = torch.arange(target.shape[1], device=target.device) < batch.task.unsqueeze(1)

        def objective(params: Params) -> tuple[Tensor, Tensor]:
            logits = _heads(network, params, batch)
            loss = network.objective.loss(_own_head(network, logits, batch), batch.y)
            distances = -(target * self._tempered(logits, state).log_softmax(-1)).sum(-1)
            return loss + self.strength * (distances * old_tasks).sum(1).mean(), loss

        gradient, (_, loss) = grad_and_value(objective, has_aux=True)(params)
        in_batch = (batch.y == torch.arange(network.ways, device=batch.y.device).unsqueeze(1)).any(1)
        classes = state["classes"] | in_batch
        return {**self.step(gradient, state, self.lr_at(observed)), "classes": classes}, {"loss": loss}

    def end_task(self, network: Network, state: LwfState, samples: Samples) -> LwfState:
        return {**state, "old_params": state["params"], "old_classes": state["classes"]}

    def _tempered(self, logits: Tensor, state: LwfState) -> Tensor:
        """The logits of `_heads` at the softmax's temperature, without the outputs of classes that no earlier task had."""
        return (logits / self.temperature).masked_fill(~state["old_classes"], Network.MASKED)


def _heads(network: Network, params: Params, samples: Samples) -> Tensor:
    """Logits [B, T, outputs] with the outputs of one task at a time; [B, 1, outputs] where tasks are not known."""
    logits = network(params, samples.x).unsqueeze(1)
    return logits if network.masks is None else logits.masked_fill(~network.masks, network.MASKED)


def _own_head(network: Network, logits: Tensor, samples: Samples) -> Tensor:
    """The logits [B, outputs], out of `_heads`, for the task that each sample belongs to."""
    if network.masks is None:
        return logits.squeeze(1)
    return logits.take_along_dim(samples.task.view(-1, 1, 1), 1).squeeze(1)
