"""Maximally interfered retrieval (MIR): replays the samples that a step on the batch would harm most.

    metacl-run algo=mir data=split_mnist

Aljundi et al. 2019 (arXiv 1908.04742, algorithm 1, ER-MIR). For each batch of the stream, `updates` times:

    v    = theta - lr * grad L(theta; batch)                                        a step that is only tried
    s_i  = L(v; x_i) - L(theta; x_i)                   for each of `candidates` samples drawn from the replay buffer
    theta <- theta - lr * grad L(theta; batch and the `replay` candidates of largest s_i)

Differences from the paper and its code:
 1. The loss is the mean over batch and replayed samples together, as in `er`; the released code adds two means.
 2. s_i compares with the current loss (the paper's MI-1); the variant that compares with the lowest loss so far, MI-2, is left
    out.
 3. The released code draws no candidates from the current task, and replays nothing during the first one. Here candidates are
    drawn from the whole buffer, so that the method need not know where tasks end.
 4. With momentum or Adam, the trial step is plain SGD at the same rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from metacl_run.algorithms.online.gradient_learner import GradientLearner, GradientState
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Examples, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, WeightedSamples
from metacl_run.inner.optimizers import descend
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class MaximallyInterfered(ReplayBuffer, GradientLearner[GradientState]):
    """Steps on batches of the stream, and on the samples of the buffer whose loss such a step would raise most.

    Attributes:
        updates: steps for each batch, each with new candidates.
        candidates: samples drawn from the buffer for each step, of which `replay` are replayed.
        replay: samples replayed in each step.
    """

    updates: Steps
    candidates: Examples

    def __post_init__(self) -> None:
        memory, candidates = self.memory, self.candidates
        require_all(
            *self.steps_fit(),
            (candidates <= memory, "candidates", candidates, f"must be at most memory={memory}, which they are drawn from"),
            (
                self.replay <= candidates,
                "replay",
                self.replay,
                f"must be at most candidates={candidates}, of which it is taken",
            ),
        )

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(self.updates, size=self.candidates)

    def init(self, network: Network, params: Params, num_tasks: int) -> GradientState:
        return self.start(params)

    def observe(self, network: Network, state: GradientState, observed: Observation) -> tuple[GradientState, Metrics]:
        losses, rate = [], self.lr_at(observed)
        for number in range(self.updates):
            trial = descend(grad(network.loss)(state["params"], *observed.batch), state["params"], rate)
            worst = self._most_harmed(network, state["params"], trial, observed.draw(number))
            gradient, loss = grad_and_value(network.weighted_loss)(state["params"], *worst.after(observed.batch))
            state = self.step(gradient, state, rate)
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}

    def _most_harmed(self, network: Network, now: Params, trial: Params, candidates: WeightedSamples) -> WeightedSamples:
        """The `replay` candidates whose loss grows most from `now` to `trial`; places without a sample come last."""
        samples = candidates.samples

        def losses(params: Params) -> Tensor:
            return network.objective.losses(network(params, samples.x, samples.task), samples.y)

        with torch.no_grad():
            harm = torch.where(candidates.weight > 0, losses(trial) - losses(now), -torch.inf)
        return candidates.at(harm.topk(self.replay).indices)
