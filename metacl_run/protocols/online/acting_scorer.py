"""The score of a learner that acts, and the policies of learners."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.data.streams.acting import Acting, Policy
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.intervals import half_width_within_seed
from metacl_run.scoring.scores import Score


class ActingScorer(Scorer):
    """The share of episodes in which the learner reaches its goal; a probe may act from only the first few placements."""

    def __init__(self, setup: StreamSetup, acting: Acting, probe_episodes: int | None) -> None:
        self._setup, self._acting, self._probe_episodes = setup, acting, probe_episodes

    @property
    def score(self) -> Score:
        return self._acting.score

    @property
    def probes_are_partial(self) -> bool:
        return self._probe_episodes is not None and self._probe_episodes < self._acting.episodes

    def scores(self, learner: StreamState, tasks: range, *, whole: bool) -> Evaluation:
        limit = None if whole else self._probe_episodes
        with torch.no_grad():
            successes = self._acting.successes(tasks, policy_of(self._setup, learner), limit=limit).double()
        mean = successes.mean(-1)
        return Evaluation(mean, half_width_within_seed(mean * (1 - mean), successes.shape[-1]))


def policy_of(setup: StreamSetup, learner: StreamState) -> Policy:
    """The policy of some replicates, whose states are [R, ...]; all of them act at once."""
    actions = setup.engine.over_replicates(lambda state, x, task: setup.algo.predict(setup.network, state, x, task))

    def policy(observations: Tensor, tasks: Tensor) -> Tensor:
        outputs: Tensor = actions(learner, observations.to(setup.dtype), tasks.expand(len(observations), -1))
        return outputs

    return policy


def first_policy(setup: StreamSetup, learner: StreamState) -> Policy:
    """The policy of the first replicate alone, R = 1."""
    return policy_of(setup, tree_map(lambda leaf: leaf[:1], learner))
