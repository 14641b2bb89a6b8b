"""Experience replay with an asymmetric cross-entropy (ER-ACE): a batch does not push down the outputs of other classes.

    metacl-run algo=er_ace data=split_mnist

Caccia et al. 2022 (arXiv 2104.05025, section 4). The loss on the batch only uses the outputs of the classes in the batch; the
loss on the drawn samples uses all outputs. Each is a mean over samples:

    loss = cross_entropy(batch; classes in the batch) + cross_entropy(draw; all classes)

With all outputs in the first term, as in `er`, the first batches of a new class change the features of old classes abruptly,
since the old classes are never the target in them.

Differences from the paper and its code:
 1. The second term uses all outputs, as in the released code; in the paper, those of the classes seen so far.
 2. From the first batch on, the first term uses only the classes in the batch, as in the paper; in the released code it also
    has the outputs of classes that have not come yet.
 3. There are `updates` steps for each batch, each with a new draw; the paper takes one.
 4. The last layer is that of the model; the released code scores by cosines times 10, without an offset, for which there
    is no model here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class AsymmetricReplay(ReplayBuffer, GradientLearner[GradientState]):
    """Steps on batches of the stream, each with the outputs of its own classes, and on replayed samples. For classes only.

    Attributes:
        updates: steps for each batch, every one with a draw of its own.
    """

    updates: Steps

    def __post_init__(self) -> None:
        require_all(*self.steps_fit(), self.replay_fits())

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(self.updates)

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        network.refuse_real_targets(self, "algo=er")
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        """Learns from one observation. The reported loss is that on the batch, over its classes, as a mean over the updates."""
        losses = []
        for number in range(self.updates):
            state, loss = self._update(network, state, observed, number)
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}

    def _update(
        self, network: Network, state: GradientState, observed: Observation, number: int
    ) -> tuple[GradientState, Tensor]:
        batch, replayed = observed.batch, observed.draw(number)
        together, sizes = batch.joined(replayed.samples), [len(batch.y), len(replayed.weight)]
        absent = (batch.y != torch.arange(network.ways, device=batch.y.device).unsqueeze(1)).all(1)
        share = replayed.weight / replayed.weight.sum().clamp(min=1)

        def objective(params: Params) -> tuple[Tensor, Tensor]:
            new, old = torch.split(network(params, together.x, together.task), sizes)
            loss = network.objective.loss(new.masked_fill(absent, network.MASKED), batch.y)
            return loss + (network.objective.losses(old, replayed.samples.y) * share).sum(), loss

        gradient, (_, loss) = grad_and_value(objective, has_aux=True)(state["params"])
        return self.step(gradient, state, self.lr_at(observed)), loss
