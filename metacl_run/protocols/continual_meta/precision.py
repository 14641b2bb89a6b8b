"""The error of a reduced precision, measured on the first meta-update before it is made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network
from metacl_run.protocols.continual_meta.setup import FewShotSetup


def precision_error(setup: FewShotSetup, engine: Engine, learner: MetaState) -> float | None:
    """Relative distance between the first meta-update's direction in reduced and in full precision; None where the latter is 0,
    as of a method that meta-learns nothing."""
    episodes = setup.episodes.training(0, 0, limit=engine.chunk)

    def direction(network: Network) -> Tensor:
        def one(state: MetaState, episodes: Episode) -> Any:
            meta, carry = state["meta"], state["carry"]
            return engine.mean(lambda e: setup.algo.episode_update(network, meta, carry, e).direction, episodes)

        return torch.cat([leaf.flatten() for leaf in tree_leaves(engine.over_replicates(one)(learner, episodes))])

    full = Network(setup.module, setup.data.outputs, objective=setup.network.objective, rollout=setup.network.rollout)
    exact, reduced = direction(full), direction(setup.network)
    length = float(exact.norm())
    return float((reduced - exact).norm()) / length if length else None
