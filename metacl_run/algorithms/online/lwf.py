"""Learning without forgetting: on the new task's inputs, the outputs for old tasks are held to what they were.

Li and Hoiem 2016 (arXiv 1606.09282, equations 1 to 4). With z the logits and z~ those of the network as it was at the end of
the previous task, on the same inputs:

    loss = L + strength * sum over old tasks of cross_entropy(softmax(z~ / temperature), softmax(z / temperature))

each softmax over the outputs of that task. Where tasks share their outputs or are not known, the outputs of all classes that
earlier tasks had are one old task. During the first task the second term is 0.

Differences from the paper:
 1. One pass over the stream: no warm-up of the new outputs alone, no weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner
from metacl_run.core.bounds import Hint, Positive
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class LearningWithoutForgetting(StreamLearner):
    """SGD with distillation from the network of the previous task.

    State: "old" are the parameters at the end of the previous task (at first: the initial ones, which have no weight); "seen"
    [outputs] says of which classes samples came so far, "held" of which before the current task.

    Attributes:
        lr: rate.
        strength: factor of the distillation loss (lambda_o).
        temperature: of the softmax on both sides; higher makes small outputs count more.
    """

    lr: Positive
    strength: Annotated[Positive, Hint("without distillation, algo=sgd")]
    temperature: Positive

    def recall(self, num_tasks: int) -> Recall:
        return Recall(keep="reservoir", capacity=0, draws=1, size=0)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        none = torch.zeros(network.ways, dtype=torch.bool, device=next(iter(params.values())).device)
        return {"params": params, "old": params, "seen": none, "held": none}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        batch, held = observed.batch, state["held"]
        target = _tempered(network, _heads(network, state["old"], batch), held, self.temperature).softmax(-1)
        old = torch.arange(target.shape[1], device=target.device) < batch.task.unsqueeze(1)

        def objective(params: Params) -> tuple[Tensor, Tensor]:
            logits = _heads(network, params, batch)
            loss = cross_entropy(_own_head(network, logits, batch), batch.y)
            outputs = _tempered(network, logits, held, self.temperature)
            distances = -(target * outputs.log_softmax(-1)).sum(-1)
            return loss + self.strength * (distances * old).sum(1).mean(), loss

        gradient, (_, loss) = grad_and_value(objective, has_aux=True)(state["params"])
        params, _ = Sgd().update(gradient, {}, state["params"], self.lr)
        here = (batch.y == torch.arange(network.ways, device=held.device).unsqueeze(1)).any(1)
        return {**state, "params": params, "seen": state["seen"] | here}, {"loss": loss}

    def end_task(self, network: Network, state: State, samples: Samples) -> State:
        return {**state, "old": state["params"], "held": state["seen"]}


def _heads(network: Network, params: Params, samples: Samples) -> Tensor:
    """Logits [B, T, outputs] with the outputs of one task at a time; [B, 1, outputs] where tasks are not known."""
    logits = network(params, samples.x).unsqueeze(1)
    return logits if network.masks is None else logits.masked_fill(~network.masks, network.MASKED)


def _tempered(network: Network, logits: Tensor, held: Tensor, temperature: float) -> Tensor:
    """Of `_heads`, what the softmax is taken of: without the outputs that stand for no earlier class."""
    return (logits / temperature).masked_fill(~held, network.MASKED)


def _own_head(network: Network, logits: Tensor, samples: Samples) -> Tensor:
    """Of `_heads`, [B, outputs] for the task that each sample belongs to."""
    if network.masks is None:
        return logits.squeeze(1)
    return logits.take_along_dim(samples.task.view(-1, 1, 1), 1).squeeze(1)
