"""Learning under `osaka`: a unit is a meta-update of pre-training, then a step of the stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import Observed
from metacl_run.core.types import Metrics, Pytree
from metacl_run.protocols.osaka.setup import RecurringSetup
from metacl_run.protocols.osaka.stream_record import LOSS, SCORE, SWITCH, StreamRecord
from metacl_run.protocols.trainer import Trainer


class RecurringTrainer(Trainer):
    """Pre-trains, then predicts and learns step by step.

    Args:
        setup: the learner, and its stream.
        record: takes what every step was predicted with.
        pretraining: meta-updates before the stream.
    """

    remedy = "A smaller algo.inner_lr or algo.outer_lr, or algo.clip_norm=10"

    def __init__(self, setup: RecurringSetup, record: StreamRecord, pretraining: int) -> None:
        self._setup, self._record, self._pretraining = setup, record, pretraining
        algo, network, engine = setup.algo, setup.network, setup.engine
        over = engine.over_replicates
        self._begin = over(lambda state: algo.begin(network, state))
        self._pretrain = engine.prepare_update(over(lambda state, episodes: algo.pretrain(network, engine, state, episodes)))
        self._step = engine.prepare_update(over(self._predict_and_learn))

    def step(self, learner: Pytree, unit: int) -> tuple[Pytree, Metrics]:
        setup, step = self._setup, unit - self._pretraining
        if step < 0:
            return self._pretrain(learner, setup.episodes(unit))
        if step == 0:
            learner = self._begin(learner)
        learner, numbers = self._step(learner, setup.observed(step))
        if setup.algo.waits:
            learner = self._late_updates(learner)
        self._record.write(step, numbers)
        return learner, {"loss": numbers[LOSS], setup.network.objective.score_name: numbers[SCORE]}

    def _predict_and_learn(self, state: Pytree, batch: Observed) -> tuple[Pytree, Metrics]:
        algo, network = self._setup.algo, self._setup.network
        with torch.no_grad():
            outputs = algo.predict(network, state, batch.x)
            loss, score = network.objective.loss(outputs, batch.y), network.objective.score(outputs, batch.y)
        learned, switch = algo.observe(network, state, batch)
        return learned, {LOSS: loss, SCORE: score, SWITCH: switch}

    def _late_updates(self, learner: Pytree) -> Pytree:
        """The learners after the updates that are due: of one replicate after another, since few are."""
        algo, setup = self._setup.algo, self._setup
        due: list[bool] = algo.is_due(learner).tolist()
        for replicate in (place for place, is_due in enumerate(due) if is_due):
            own: Any = tree_map(lambda leaf: leaf[replicate], learner)  # noqa: B023
            updated = algo.late_update(setup.network, setup.engine, own)
            learner = tree_map(lambda leaf, new: _replaced(leaf, replicate, new), learner, updated)  # noqa: B023
        return learner


def _replaced(leaf: Tensor, replicate: int, new: Tensor) -> Tensor:
    changed = leaf.clone()
    changed[replicate] = new
    return changed
