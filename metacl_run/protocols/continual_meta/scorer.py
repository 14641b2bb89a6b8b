"""Few-shot scores: a learner adapts to the support set of unseen classes or functions and predicts their queries.

Where a network has batch norm, its prediction for a query depends on what passes with it. Every evaluation then learns from
the support set once and predicts twice: each query with the support set alone, and all queries together. The second,
transductive, has metrics of its own (`metric_table.TRANSDUCTIVE`).
Shapes: R replicates, K tasks, E episodes, Q queries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode, Pytree
from metacl_run.inner.engine import Engine
from metacl_run.models.layers import has_batch_norm
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.intervals import half_width_within_seed
from metacl_run.scoring.scores import Score

log = logging.getLogger("metacl_run")

DIVERGED = 1e6
"""An error above so many times the median of its task's episodes, and above 1, is of an adaptation that diverged."""
EVALUATION_BLOCK = 100
"""Evaluation episodes of a task are drawn in blocks of this size, so that memory does not grow with their number."""
EpisodeScores = Callable[[FewShotSetup, Engine, MetaState, Episode], Tensor]
"""A measure of every episode, [R, E, measures]."""
CARD_BYTES = 1e9
"""Episodes that a card scores in one call."""


def predict_one_by_one(outputs: Callable[[Tensor], Tensor], episode: Episode) -> Tensor:
    """Outputs [Q, ...] for each query example when it passes with the support set and no other query.

    Batch norm then sees what a learner sees that predicts one query at a time (Nichol et al. 2018, section 6.1: not
    transductive); where the query set passes together, the other queries add information (Finn et al. 2017: transductive).
    """
    return torch.vmap(lambda query: outputs(torch.cat([episode.support_x, query.unsqueeze(0)]))[-1])(episode.query_x)


def episode_scores(setup: FewShotSetup, engine: Engine, learner: MetaState, episodes: Episode) -> Tensor:
    """The scores of every episode, [R, E, 1], or where there is batch norm [R, E, 2], the transductive one second."""
    algo, network = setup.algo, setup.network

    def one(state: MetaState, episode: Episode) -> Tensor:
        fast = algo.learn(network, state["meta"], state["carry"], episode)
        return torch.stack(_scores_of(setup, state, episode, fast))

    return of_every_episode(engine, one, learner, episodes)


def scores_by_step(setup: FewShotSetup, engine: Engine, learner: MetaState, episodes: Episode) -> Tensor:
    """The same after 0, 1 ... K inner steps: [R, E, K + 1], or [R, E, 2 (K + 1)], all transductive ones last."""
    algo, network = setup.algo, setup.network

    def one(state: MetaState, episode: Episode) -> Tensor:
        steps = algo.learn_by_step(network, state["meta"], state["carry"], episode)
        by_kind = zip(*(_scores_of(setup, state, episode, fast) for fast in steps), strict=True)
        return torch.cat([torch.stack(scores) for scores in by_kind])

    return of_every_episode(engine, one, learner, episodes)


def _scores_of(setup: FewShotSetup, state: MetaState, episode: Episode, fast: Pytree) -> list[Tensor]:
    """The score of an episode's queries, each alone, and where there is batch norm that of all together."""
    network = setup.network

    def outputs(x: Tensor) -> Tensor:
        return setup.algo.predict(network, state["meta"], fast, x)

    predictions = [outputs(episode.query_x)]
    if has_batch_norm(setup.module):
        predictions.insert(0, predict_one_by_one(outputs, episode))
    return [network.objective.score(prediction, episode.query_y) for prediction in predictions]


def of_every_episode(
    engine: Engine, one: Callable[[MetaState, Episode], Tensor], learner: MetaState, episodes: Episode
) -> Tensor:
    with torch.no_grad():
        mapped = engine.over_replicates(lambda state, batch: engine.map(lambda episode: one(state, episode), batch))
        scores: Tensor = mapped(learner, episodes)
    return scores


def scores_before(setup: FewShotSetup, engine: Engine, learner: MetaState, episodes: Episode) -> Tensor:
    """The scores of every episode before adaptation, [R, E, 1]; only where an output means the same in every episode."""
    network = setup.network

    def one(state: MetaState, episode: Episode) -> Tensor:
        outputs = network(state["meta"]["params"], episode.query_x)
        return network.objective.score(outputs, episode.query_y).unsqueeze(0)

    return of_every_episode(engine, one, learner, episodes)


class FewShotScorer(Scorer):
    """The mean score over a fixed number of episodes of each task, the same ones every time.

    Args:
        setup: of the run.
        engine: computes them.
        eval_episodes: their number.
        measure: `episode_scores`, `scores_by_step` or `scores_before`.
    """

    def __init__(
        self, setup: FewShotSetup, engine: Engine, eval_episodes: int, measure: EpisodeScores = episode_scores
    ) -> None:
        self._setup, self._engine, self._eval_episodes, self._measure = setup, engine, eval_episodes, measure
        self._prepared: dict[int, Callable[[MetaState, Episode], Tensor]] = {}
        """By the number of episodes, which a graph is captured for."""
        self._has_warned = False

    @property
    def score(self) -> Score:
        return self._setup.network.objective

    def scores(self, learner: MetaState, tasks: range, *, whole: bool) -> Evaluation:
        scores = self.of_episodes(learner, tasks)  # [R, K, E, 1 or 2]
        self._warn_of_diverged(scores[..., 0])
        episodes = scores.shape[2]
        half = half_width_within_seed(scores.var(2), episodes) if episodes > 1 else None
        alone, *transductive = (
            Evaluation(scores[..., column].mean(2), None if half is None else half[..., column])
            for column in range(scores.shape[3])
        )
        return alone._replace(transductive=transductive[0] if transductive else None)

    def of_episodes(self, learner: MetaState, tasks: range) -> Tensor:
        """[R, K, E, measures] float64, of every evaluation episode of some tasks."""
        blocks = [
            torch.cat([self._of_block(learner, tasks_at_once, block) for block in enumerate(self._blocks())], 2)
            for tasks_at_once in self._at_once(tasks)
        ]
        return torch.cat(blocks, 1).double()

    def _warn_of_diverged(self, scores: Tensor) -> None:
        """Says, once, how many of the episodes [R, K, E] make the mean error say nothing."""
        if self._has_warned or self.score.higher_is_better:
            return
        diverged = ~(scores <= (DIVERGED * scores.nanmedian(2, keepdim=True).values).clamp(min=1))
        counts = diverged.sum((1, 2)).tolist()
        if any(counts):
            self._has_warned = True
            seeds = ", ".join(str(seed) for seed, count in zip(self._setup.episodes.seeds, counts, strict=True) if count)
            log.warning(
                "adapting diverged in %d of %d evaluation episodes (seeds %s), so that the mean error says nothing: take fewer "
                "steps (algo.eval_inner_steps) or smaller ones (algo.inner_lr)",
                sum(counts),
                scores.numel(),
                seeds,
            )

    def _of_block(self, learner: MetaState, tasks: range, block: tuple[int, int]) -> Tensor:
        """[R, K, E, ...] the scores of a block of evaluation episodes of some tasks, as `episode_scores` returns them."""
        by_task = [self._setup.episodes.evaluation(task, *block) for task in tasks]
        episodes = by_task[0] if len(tasks) == 1 else Episode(*(torch.cat(leaves, 1) for leaves in zip(*by_task, strict=True)))
        scores = self._scores_of(len(tasks) * block[1])(learner, episodes)
        return torch.unflatten(scores, 1, (len(tasks), block[1]))

    def _scores_of(self, count: int) -> Callable[[MetaState, Episode], Tensor]:
        setup, engine = self._setup, self._engine
        if count not in self._prepared:
            prepared = engine.prepare(lambda learner, episodes: self._measure(setup, engine, learner, episodes))
            self._prepared[count] = prepared
        return self._prepared[count]

    def _at_once(self, tasks: range) -> list[range]:
        """The tasks that are evaluated in one call: one after another on the CPU, whose caches are small, as many as
        `CARD_BYTES` of episodes hold on a card."""
        most = self._most_tasks
        return [tasks[first : first + most] for first in range(0, len(tasks), most)]

    @cached_property
    def _most_tasks(self) -> int:
        if self._engine.kind != "cuda_graph":
            return 1
        episode = self._setup.episodes.evaluation(0, 0, 1)
        return max(1, int(CARD_BYTES // (sum(leaf.nbytes for leaf in episode) * self._blocks()[0])))

    def _blocks(self) -> list[int]:
        """The episodes of every block."""
        whole, rest = divmod(self._eval_episodes, EVALUATION_BLOCK)
        return [EVALUATION_BLOCK] * whole + [rest] * (rest > 0)
