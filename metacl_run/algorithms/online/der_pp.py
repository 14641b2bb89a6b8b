"""Dark experience replay with labels (DER++): remembered samples are held to their labels and to the logits they once had.

Buzzega et al. 2020 (arXiv 2004.07211, equation 6). With h the stored logits of a sample, the ones it had when it was observed:

    loss = L(batch) + alpha * mean of (h - z)^2 over one draw from memory + beta * L(another draw)

Differences from the paper:
 1. The squared distance is the mean over a sample's own outputs, as in the released code, whose alphas are for it; equation 6
    has the sum. Where tasks are known these are the outputs of the sample's task, whose number does not grow with the tasks.
 2. Batch and draws go through the network together, which only batch norm can tell. No augmentation.
 3. As long as the memory holds less than `replay`, all it holds is replayed, in both draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner
from metacl_run.core.bounds import Examples, Hint, NonNegative, Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class DerPlusPlus(StreamLearner):
    """SGD on the stream and on two draws from a reservoir.

    State: "logits" [memory + 1, outputs] are those stored at each place; the last row stands for nowhere and is 0.

    Attributes:
        lr: rate.
        alpha: factor of the distance to the stored logits.
        beta: factor of the loss on stored labels; 0: DER.
        memory: samples kept.
        replay: samples in each of the two draws.
    """

    lr: Positive
    alpha: Annotated[Positive, Hint("without stored logits, algo=er")]
    beta: NonNegative
    memory: Examples
    replay: Examples

    def __post_init__(self) -> None:
        most = f"must be at most memory={self.memory}, which it is drawn from"
        require(self.replay <= self.memory, "replay", self.replay, most)

    def recall(self, num_tasks: int) -> Recall:
        return Recall(keep="reservoir", capacity=self.memory, draws=2, size=self.replay)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        leaf = next(iter(params.values()))
        return {"params": params, "logits": leaf.new_zeros(self.memory + 1, network.ways)}

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        batch, replay = observed.batch, Samples(*(part.flatten(0, 1) for part in observed.replay))
        samples = Samples(*(torch.cat(parts) for parts in zip(batch, replay, strict=True)))
        sizes = [len(batch.y), self.replay, self.replay]
        stored, weight = state["logits"][observed.slot[0]], observed.weight
        share = weight / weight.sum(1, keepdim=True).clamp(min=1)
        own = network.ways if network.masks is None else network.masks[observed.replay.task[0]].sum(-1)

        def objective(params: Params) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            new, distilled, replayed = network(params, samples.x, samples.task).split(sizes)
            loss = cross_entropy(new, batch.y)
            distances = (distilled - stored).square().sum(-1) / own
            losses = cross_entropy(replayed, observed.replay.y[1], reduction="none")
            total = loss + self.alpha * (distances * share[0]).sum() + self.beta * (losses * share[1]).sum()
            return total, (loss, new)

        gradient, (_, (loss, new)) = grad_and_value(objective, has_aux=True)(state["params"])
        params, _ = Sgd().update(gradient, {}, state["params"], self.lr)
        logits = self._written(state["logits"], observed.write, new)
        return {"params": params, "logits": logits}, {"loss": loss}

    def _written(self, stored: Tensor, write: Tensor, logits: Tensor) -> Tensor:
        """The stored logits with those [B, outputs] of a batch at places `write`; of two at one place the later stays."""
        overwritten = (write.unsqueeze(1) == write).triu(1).any(1)
        place = torch.where(overwritten, self.memory, write)
        nowhere = (place == self.memory).unsqueeze(1)
        return stored.index_put((place,), logits.masked_fill(nowhere, 0.0))
