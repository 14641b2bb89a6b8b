"""Reptile on trajectories: where learning starts moves towards where learning a trajectory ended.

    phi_0 = theta;  phi_k = phi_{k-1} - inner_lr * grad loss(x_k, y_k)          k = 1 .. steps, every parameter moves
    theta <- theta + outer_lr * (mean over trajectories of phi_steps - theta)

theta has the new weights of `redraw` in it.

Nichol et al. 2018 (arXiv 1803.02999, algorithm 2) with the trajectories of protocol `meta_continual` in place of few-shot
tasks; Lee et al. 2023 (arXiv 2310.11952) call Reptile on OML's problem OML-Reptile.

Differences from the papers:
 1. The whole network moves in meta-training, not OML's head alone; `test_plastic` learns at meta-test.
 2. The last step is on what other methods take their outer loss on: queries and examples to remember, in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.trajectory_learner import SgdLearner, redrawn
from metacl_run.algorithms.meta_learner import State, Update, metrics_of
from metacl_run.core.bounds import Steps
from metacl_run.core.types import Pytree, Trajectory
from metacl_run.inner.adapt import adapt
from metacl_run.inner.engine import Engine
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class OmlReptile(SgdLearner):
    """First-order meta-learning whose outer update is a displacement."""

    class_steps: Steps

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: State, episodes: Pytree
    ) -> tuple[State, dict[str, Tensor]]:
        """As ever, from a network in which the outputs that the trajectories are about start afresh."""
        if self.redraw:
            state = redrawn(self._test_cut(network, state["meta"]["params"]).last[0], state, episodes)
        return super().meta_update(network, engine, total_units, state, episodes)

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        start = meta["params"]
        steps = [*zip(episode.x.unbind(0), episode.y.unbind(0), strict=True), (episode.query_x, episode.query_y)]
        with torch.no_grad():
            end, _ = adapt(
                lambda params, batch: network.objective.loss(network(params, batch[0]), batch[1]),
                start,
                steps,
                optimizer=Sgd(),
                rate=self.inner_lr,
                first_order=True,
            )
            outputs = network(end, episode.query_x)
        direction = {"params": tree_map(torch.sub, start, end)}
        loss = network.objective.loss(outputs, episode.query_y)
        return Update(direction, carry, metrics_of(network, loss, outputs, episode.query_y))
