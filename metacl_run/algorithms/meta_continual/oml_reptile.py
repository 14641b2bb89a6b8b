"""Reptile on trajectories: the initial parameters move towards the parameters that learning a trajectory ends with.

    metacl-run algo=oml_reptile data=omniglot

    phi_0 = theta;  phi_k = phi_{k-1} - inner_lr * grad loss(x_k, y_k)          k = 1 .. steps, every parameter moves
    theta <- theta + outer_lr * (mean over trajectories of phi_steps - theta)

theta includes the new weights of `redraw`.

This is Nichol et al. 2018 (arXiv 1803.02999, algorithm 2) with the trajectories of protocol `meta_continual` in place of
few-shot tasks; Lee et al. 2023 (arXiv 2310.11952) call Reptile on OML's problem OML-Reptile.

Differences from the papers:
 1. The whole network learns in meta-training, not only the head as in OML; `test_plastic` learns at meta-test.
 2. The last step is on the batch that other methods use for the outer loss: queries and examples to remember.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.head_tested import HeadTested
from metacl_run.algorithms.meta_continual.sequence_sgd import redraw_outputs, require_several_classes
from metacl_run.algorithms.meta_learner import Meta, MetaState, Update, metrics_of
from metacl_run.core.bounds import Steps
from metacl_run.core.types import Metrics, Params, Pytree, Trajectory
from metacl_run.inner.adapt import adapt
from metacl_run.inner.engine import Engine
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class OmlReptile(HeadTested):
    """First-order meta-learning whose outer update is a displacement."""

    class_steps: Steps

    def __post_init__(self) -> None:
        super().__post_init__()
        require_several_classes(self.classes, self.remember)

    def init(self, network: Network, params: Params) -> Meta:
        self.check_test(network, params)
        return {"params": params}

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: MetaState, episodes: Pytree
    ) -> tuple[MetaState, Metrics]:
        """Does the update of every meta-learner, from a network with new output weights for the trajectories' classes."""
        if self.redraw:
            split = self.sgd.split(network, state["meta"]["params"])
            state = redraw_outputs(split.last[0], state, episodes)
        return super().meta_update(network, engine, total_units, state, episodes)

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        start = meta["params"]
        steps = [*episode.steps(), (episode.query_x, episode.query_y)]
        with torch.no_grad():
            end, _ = adapt(network.loss, start, steps, optimizer=Sgd(), rate=self.inner_lr, first_order=True)
            outputs = network(end, episode.query_x)
        direction = {"params": tree_map(torch.sub, start, end)}
        loss = network.objective.loss(outputs, episode.query_y)
        return Update(direction, carry, metrics_of(network, loss, outputs, episode.query_y))
