"""Meta-training under `continual_meta`: a unit is a meta-update on the current task's episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode
from metacl_run.inner.engine import Engine
from metacl_run.protocols.continual_meta.episodes import training_examples
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.trainer import Trainer
from metacl_run.protocols.unit_check import check_learns_support, check_outputs, check_unit, check_update

MetaUpdate = Callable[[MetaState, Episode], "tuple[MetaState, dict[str, Tensor]]"]


def meta_update(setup: FewShotSetup, engine: Engine) -> MetaUpdate:
    """(state, episodes [R, E, ...]) of all replicates -> (state, metrics), computed by `engine`."""
    return engine.over_replicates(_of_replicate(setup, engine))


def _of_replicate(setup: FewShotSetup, engine: Engine) -> MetaUpdate:
    """The same of one replicate."""

    def one(state: MetaState, episodes: Episode) -> Any:
        return setup.algo.meta_update(setup.network, engine, setup.total_units, state, episodes)

    return one


class EpisodeTrainer(Trainer):
    """Meta-updates, task after task."""

    def __init__(self, setup: FewShotSetup, engine: Engine, units_per_task: int) -> None:
        self._episodes, self._units_per_task = setup.episodes, units_per_task
        self._update: MetaUpdate = engine.prepare_update(meta_update(setup, engine))

    def count_examples(self, units: range) -> int:
        algo, data = self._episodes.algo, self._episodes.data
        return len(units) * algo.meta_batch_size * algo.training_ways(data.ways) * sum(training_examples(algo, data))

    def step(self, learner: MetaState, unit: int) -> tuple[MetaState, dict[str, Tensor]]:
        return self._update(learner, self._episodes.training(unit, unit // self._units_per_task))


def check_code(setup: FewShotSetup, learner: MetaState) -> None:
    """Checks the method's code on the first meta-update, see `unit_check`.

    Raises:
        ConfigError: the code does not do what a run needs of it.
    """
    algo, network, name, episodes = setup.algo, setup.network, type(setup.algo).__name__, setup.episodes.training(0, 0)

    def update(state: MetaState, episode: Episode) -> Any:
        return algo.episode_update(network, state["meta"], state["carry"], episode)

    def predict(state: MetaState, x: Tensor, episode: Episode) -> Tensor:
        fast = algo.learn(network, state["meta"], state["carry"], episode)
        return algo.predict(network, state["meta"], fast, x)

    check_update(update, learner, episodes, name=name)
    check_unit(_of_replicate(setup, setup.engine), learner, episodes, name=name, part="meta_update")
    if network.rollout is not None:  # outputs are what comes of acting, in a form of their own
        return
    first: Episode = tree_map(lambda leaf: leaf[:, 0], episodes)
    x = torch.cat([first.query_x, first.query_x], 1)  # more than there are classes, so that both axes can be told apart
    check_outputs(predict, learner, x, first, outputs=None, name=name)
    check_learns_support(predict, learner, first, name=name)
