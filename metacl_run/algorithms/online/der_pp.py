"""Dark experience replay with labels (DER++): replays samples with their labels, and with the logits that they had when they
were first observed.

    metacl-run algo=der_pp data=split_mnist

Buzzega et al. 2020 (arXiv 2004.07211, equation 6). z are the logits of a sample now, h those when it was first observed:

    loss = L(batch) + alpha * mean of (h - z)^2 over one draw + beta * L(another draw)

Differences from the paper:
 1. The squared distance is the mean over a sample's own outputs, as in the released code, whose values of alpha assume this;
    equation 6 has the sum. If tasks are known, these are the outputs of the sample's task, whose number does not grow with the
    tasks.
 2. Batch and replayed samples pass through the network together, which makes no difference without batch norm.
 3. As long as the replay buffer has fewer samples than `replay`, all of them are replayed, in both draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Hint, NonNegative, Positive
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.models.network import Network


class DerState(GradientState):
    """The parameters, and the logits of the samples in the replay buffer."""

    logits: Tensor
    """[memory + 1, outputs] the logits stored at each place of the buffer; the last row means no place and is 0."""


@dataclass(frozen=True, kw_only=True)
class DerPlusPlus(ReplayBuffer, GradientLearner[DerState]):
    """SGD on the stream and on two draws from the replay buffer.

    Attributes:
        alpha: factor of the distance to the stored logits.
        beta: factor of the loss on stored labels; 0: DER.
        replay: samples in each of the two draws.
    """

    alpha: Annotated[Positive, Hint("without stored logits, algo=er")]
    beta: NonNegative

    def __post_init__(self) -> None:
        require_all(*self.steps_fit(), self.replay_fits())

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(2)

    def init(self, network: Network, params: Params, num_tasks: int) -> DerState:
        leaf = next(iter(params.values()))
        return {**self.start(params), "logits": leaf.new_zeros(self.memory + 1, network.ways)}

    def observe(self, network: Network, state: DerState, observed: Observation) -> tuple[DerState, Metrics]:
        batch, (first, second), params = observed.batch, (observed.replay.at(0), observed.replay.at(1)), state["params"]
        together = batch.joined(first).joined(second)
        sizes = [len(batch.y), self.replay, self.replay]
        stored = state["logits"][observed.slot[0]]
        share = observed.weight / observed.weight.sum(1, keepdim=True).clamp(min=1)
        own = network.ways if network.masks is None else network.masks[first.task].sum(-1)

        def objective(params: Params) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            new, distilled, replayed = torch.split(network(params, together.x, together.task), sizes)
            loss = network.objective.loss(new, batch.y)
            distances = (distilled - stored).square().sum(-1) / own
            losses = network.objective.losses(replayed, second.y)
            total = loss + self.alpha * (distances * share[0]).sum() + self.beta * (losses * share[1]).sum()
            return total, (loss, new)

        gradient, (_, (loss, new)) = grad_and_value(objective, has_aux=True)(params)
        logits = self._written(state["logits"], observed.write, new)
        return {**self.step(gradient, state, self.lr_at(observed)), "logits": logits}, {"loss": loss}

    def _written(self, stored: Tensor, write: Tensor, logits: Tensor) -> Tensor:
        """Stores the logits [B, outputs] of a batch at places `write`; if two go to one place, the later one stays."""
        overwritten = (write.unsqueeze(1) == write).triu(1).any(1)
        place = torch.where(overwritten, self.memory, write)
        nowhere = (place == self.memory).unsqueeze(1)
        return stored.index_put((place,), logits.masked_fill(nowhere, 0.0))
