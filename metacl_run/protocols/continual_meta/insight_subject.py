"""The inside of a meta-learner under `continual_meta`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode, Params
from metacl_run.inner.engine import Engine
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.insight import FEATURE_COLUMNS, FEATURE_SAMPLES, GRADIENT_EPISODES, Subject
from metacl_run.scoring.diagnostics import features_by_layer


class FewShotSubject(Subject):
    """Gradients are those that the outer optimiser follows: a meta-gradient, or Reptile's displacement."""

    gradients_on = f"the outer objective on {GRADIENT_EPISODES} training episodes of each task"
    features_on = f"{FEATURE_SAMPLES} query examples of each task, before adaptation"

    def __init__(self, setup: FewShotSetup, engine: Engine) -> None:
        self._setup, self._engine = setup, engine

    def learned_rates(self, learner: MetaState) -> Params | None:
        rates: Params | None = learner["meta"].get("rates")  # type: ignore[assignment]
        return rates

    def gradient(self, learner: MetaState, replicate: int, task: int) -> Tensor:
        episodes = self._setup.episodes.for_gradients(task, GRADIENT_EPISODES)
        state, own = tree_map(lambda leaf: leaf[replicate], (learner, episodes))

        def direction(episode: Episode) -> Params:
            update = self._setup.algo.episode_update(self._setup.network, state["meta"], state["carry"], episode)
            params: Params = update.direction["params"]
            return params

        return torch.cat([leaf.flatten() for leaf in self._engine.mean(direction, own).values()])

    def features(self, learner: MetaState, replicate: int, task: int) -> dict[str, Tensor]:
        setup = self._setup
        count = -(-FEATURE_SAMPLES // (setup.data.ways * setup.data.queries))
        x = setup.episodes.evaluation(task, 0, count).query_x[replicate].flatten(0, 1)[:FEATURE_SAMPLES]
        params = tree_map(lambda leaf: leaf[replicate], learner["meta"]["params"])
        return features_by_layer(setup.module, lambda: setup.network(params, x), FEATURE_COLUMNS)
