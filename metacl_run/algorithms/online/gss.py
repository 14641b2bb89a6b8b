"""Gradient-based sample selection, greedy version (GSS): keeps samples whose gradients differ.

    metacl-run algo=gss data=rotated_mnist

Aljundi et al. 2019 (arXiv 1903.08671, algorithm 2). First come `updates` steps on a batch and draws from the exemplars. Then
each new sample, with gradient g, is compared with `compare` exemplars, with gradients G_i:

    c = max over i of cos(g, G_i) + 1
    a place is free            it takes the place, with the score c
    none is, and c < 1         an exemplar i, drawn with chances as the scores C_i, gives way with probability C_i / (C_i + c)

Differences from the paper and its code:
 1. The exemplars to compare with are drawn once per batch, from the exemplars before it; samples of the batch are not compared
    with each other, unless one has taken the place of another.
 2. Gradients are of single samples, at the weights after the steps. The released code compares with mini-batches of exemplars,
    and lets a whole batch in or not by the gradient of the batch.
 3. The loss of a step is the mean over batch and replayed samples together, as for `er`; the released code steps on each.
 4. The candidate to give way is drawn anew for every sample, with chances C_i; in the released code without replacement within
    a batch, with chances (C_i - min C) / (max C - min C + .01).
 5. As long as there is nothing to compare with, c = 1.
 6. With several passes over a task (`protocol.epochs`), a sample that is already an exemplar does not enter again; the others
    are considered in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad
from torch.nn.functional import normalize

from metacl_run.algorithms.online.exemplar_learner import NOTHING, ExemplarLearner, ExemplarState
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Examples, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, Samples, WeightedSamples
from metacl_run.models.network import Network


class GssState(ExemplarState):
    """The exemplars, and how similar each was to others when it came."""

    scores: Tensor
    """[memory] float64 C_i; 0 where a place has none."""


@dataclass(frozen=True, kw_only=True)
class GradientSampleSelection(ExemplarLearner[GssState]):
    """Steps on batches of the stream, and on exemplars whose gradients differ.

    Attributes:
        updates: steps for each batch, each with a new draw.
        compare: exemplars with which each new sample is compared.
    """

    updates: Steps
    compare: Examples

    def __post_init__(self) -> None:
        memory, compare = self.memory, self.compare
        most = f"must be at most memory={memory}, which they are drawn from"
        require_all(*self.steps_fit(), self.replay_fits(), (compare <= memory, "compare", compare, most))

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.exemplar_spec(self.updates + 1, max(self.replay, self.compare), uniforms=2)

    def init(self, network: Network, params: Params, num_tasks: int) -> GssState:
        network.refuse_running_averages(self, "compares the gradients of single samples")
        exemplars = self.no_exemplars(next(iter(params.values())).device)
        return {**self.start(params), "exemplars": exemplars, "scores": torch.zeros_like(exemplars, dtype=torch.float64)}

    def observe(self, network: Network, state: GssState, observed: Observation) -> tuple[GssState, Metrics]:
        state, loss = self.stepped(network, state, observed, self.updates)
        others = observed.draw(self.updates).at(slice(self.compare))
        alike = _likeness(network, state["params"], observed.batch, others)
        return self._chosen(state, observed, alike + 1), {"loss": loss}

    def _chosen(self, state: GssState, observed: Observation, alike: Tensor) -> GssState:
        """The state with the samples of a batch among the exemplars, one after another; `alike` [B] are their c."""
        exemplars, scores = state["exemplars"], state["scores"]
        places = torch.arange(self.memory, device=exemplars.device)
        for number, c, (which, whether) in zip(observed.number, alike, observed.uniform.to(scores.dtype), strict=True):
            in_use = (exemplars != NOTHING).sum()
            reached = scores.cumsum(0)
            candidate = (reached <= which * reached[-1]).sum().clamp(max=self.memory - 1)
            score = scores.gather(0, candidate.unsqueeze(0)).squeeze(0)
            gives_way = (c < 1) & (whether < score / (score + c))
            is_full, is_new = in_use == self.memory, (exemplars != number).all()
            enters = (places == torch.where(is_full, candidate, in_use)) & (gives_way | ~is_full) & is_new
            exemplars, scores = torch.where(enters, number, exemplars), torch.where(enters, c, scores)
        return {**state, "exemplars": exemplars, "scores": scores}


def _likeness(network: Network, params: Params, batch: Samples, others: WeightedSamples) -> Tensor:
    """[B] the largest cosine between the gradient of a sample and those of some others; 0 where there are none."""
    directions = _directions(network, params, batch.joined(others.samples))
    own, compared = torch.split(directions, [len(batch.task), len(others.weight)])
    cosines = (own @ compared.T).double().masked_fill(others.weight == 0, -torch.inf)
    return torch.where((others.weight > 0).any(), cosines.amax(1), 0.0)


def _directions(network: Network, params: Params, samples: Samples) -> Tensor:
    """[N, parameters] the gradients of single samples, of length 1."""

    def of_one(sample: Samples) -> Tensor:
        return torch.cat([leaf.flatten() for leaf in grad(network.loss)(params, *sample).values()])

    return normalize(torch.vmap(of_one)(samples.unsqueeze(1)))
