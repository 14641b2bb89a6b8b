"""Acting after adaptation: a learner adapts to an episode, and then has to reach its goal in the simulator.

Shapes: R replicates, K episodes, B observations.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode, Pytree
from metacl_run.data.streams.stream import EpisodesToAct
from metacl_run.inner.engine import Engine
from metacl_run.protocols.continual_meta.setup import FewShotSetup


def successes(setup: FewShotSetup, engine: Engine, learner: MetaState, to_act: EpisodesToAct, *, adapts: bool) -> np.ndarray:
    """[R] the share of episodes in which a learner reaches its goal by acting, after adapting to their support set or not."""
    algo, network = setup.algo, setup.network

    def learn(state: MetaState, episode: Episode) -> Pytree:
        return algo.learn(network, state["meta"], state["carry"], episode)

    def act(state: MetaState, fast: Pytree, x: Tensor) -> Tensor:
        meta, inputs = state["meta"], x.unsqueeze(0)
        outputs = algo.predict(network, meta, fast, inputs) if adapts else network(meta["params"], inputs)
        return outputs.squeeze(0)

    with torch.no_grad():
        learn_all = engine.over_replicates(lambda state, batch: engine.map(lambda episode: learn(state, episode), batch))
        fast = learn_all(learner, to_act.episodes) if adapts else {}  # [R, K, ...]
        act_all = torch.vmap(torch.vmap(act, in_dims=(None, 0, 0)))

        def policy(observations: Tensor, tasks: Tensor) -> Tensor:
            own = tree_map(lambda leaf: leaf[:, tasks], fast)
            actions: Tensor = act_all(learner, own, observations.to(to_act.episodes.support_x.dtype))
            return actions

        episodes = range(to_act.episodes.support_x.shape[1])
        return to_act.acting.successes(episodes, policy, limit=None).double().mean((1, 2)).cpu().numpy()
