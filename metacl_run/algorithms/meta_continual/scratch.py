"""An untrained network, for comparison with a meta-learned one: at meta-test the whole network learns from scratch.

    metacl-run algo=scratch data=omniglot

"Scratch" in OML's figures (Javed and White 2019, arXiv 1905.12588). theta are random weights, and (x_k, y_k) the examples of a
sequence:

    theta <- theta - rate * grad loss(x_k, y_k; theta)          every group of `test_plastic` moves

Differences from the paper:
 1. At meta-test plain SGD learns, as for OML here (oml.py, difference 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.head_tested import HeadTested
from metacl_run.algorithms.meta_learner import OUTER_LOOP, Meta, Update, metrics_of
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Scratch(HeadTested):
    """A network with its initial parameters. Updates are 0, and the protocol does none."""

    trains: ClassVar[bool] = False
    unused_settings = (*OUTER_LOOP, "classes", "query_examples", "remember", "halves")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.class_steps == 0, "class_steps", self.class_steps, "must be 0: nothing is learned in trajectories")

    def init(self, network: Network, params: Params) -> Meta:
        self.check_test(network, params)
        return {"params": params}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        outputs = network(meta["params"], episode.query_x)
        loss = network.objective.loss(outputs, episode.query_y)
        return Update(tree_map(torch.zeros_like, meta), carry, metrics_of(network, loss, outputs, episode.query_y))
