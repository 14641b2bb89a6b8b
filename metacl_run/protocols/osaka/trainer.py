"""Learning under `osaka`: a unit is a meta-update of pre-training, then a step of the stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import Observed
from metacl_run.core.types import Episode, Metrics, Pytree
from metacl_run.protocols.osaka.setup import RecurringSetup, RecurringState
from metacl_run.protocols.osaka.stream_record import LOSS, SCORE, SWITCH, StreamRecord
from metacl_run.protocols.trainer import Trainer
from metacl_run.protocols.unit_check import check_params, check_state, check_unit


class RecurringTrainer(Trainer):
    """Pre-trains, then predicts and learns step by step.

    Args:
        setup: the learner, and its stream.
        record: takes what every step was predicted with.
        pretraining: meta-updates before the stream.
    """

    def __init__(self, setup: RecurringSetup, record: StreamRecord, pretraining: int) -> None:
        self._setup, self._record, self._pretraining = setup, record, pretraining
        algo, network, engine = setup.algo, setup.network, setup.engine
        over = engine.over_replicates
        self._begin = over(lambda state: algo.begin(network, state))
        self._pretrain = engine.prepare_update(over(self._pretrain_on))
        self._step = engine.prepare_update(over(self._predict_and_learn))

    def check(self, learner: RecurringState, unit: int) -> None:
        setup, step, state, name = self._setup, unit - self._pretraining, learner["now"], type(self._setup.algo).__name__
        if step < 0:
            check_unit(self._pretrain_on, state, setup.episodes(unit), name=name, part="pretrain")
        if step <= 0:
            check_state(
                lambda state: setup.algo.begin(setup.network, state), state, name=name, when="after begin", part="begin"
            )
            state = self._begin(state)
        first = tree_map(lambda leaf: leaf[0], state)
        check_params(setup.algo.weights(setup.network, first), setup.initial_params[0], what=f"what weights of {name} returns")
        check_params(setup.algo.learned_params(first), setup.initial_params[0], what=f"what learned_params of {name} returns")
        check_unit(self._predict_and_learn, state, setup.observed(max(step, 0)), name=name, part="predict or observe")

    def count_examples(self, units: range) -> int:
        """As the base says; what an update that waits (`TaskFreeLearner.late_update`) reads once more is not counted."""
        pretraining = len(range(units.start, min(units.stop, self._pretraining)))
        stream = (len(units) - pretraining) * self._setup.pool.batch(0)[1].shape[1]
        if not pretraining:
            return stream
        episodes = self._setup.episodes(0)
        return stream + pretraining * sum(y.shape[1] * y.shape[2] for y in (episodes.support_y, episodes.query_y))

    def alike(self, units: int) -> list[range]:
        return [range(self._pretraining), range(self._pretraining, units)]

    def trial(self, learner: RecurringState, unit: int) -> None:
        if unit < self._pretraining:
            self._pretrain(learner["at_start"], self._setup.episodes(unit))
        else:
            self._step(learner["now"], self._setup.observed(unit - self._pretraining))

    def step(self, learner: RecurringState, unit: int) -> tuple[RecurringState, Metrics]:
        setup, step, state, at_start = self._setup, unit - self._pretraining, learner["now"], learner["at_start"]
        if step < 0:
            state, metrics = self._pretrain(state, setup.episodes(unit))
            return RecurringState(now=state, at_start=at_start), metrics
        if step == 0:
            at_start = tree_map(torch.clone, state)  # an update on a card changes its state in place
            state = self._begin(state)
        state, numbers = self._step(state, setup.observed(step))
        if setup.algo.waits:
            state = self._late_updates(state)
        self._record.write(step, numbers)
        metrics = {"loss": numbers[LOSS], setup.network.objective.score_name: numbers[SCORE]}
        return RecurringState(now=state, at_start=at_start), metrics

    def _pretrain_on(self, state: Pytree, episodes: Episode) -> tuple[Pytree, Metrics]:
        return self._setup.algo.pretrain(self._setup.network, self._setup.engine, state, episodes)

    def _predict_and_learn(self, state: Pytree, batch: Observed) -> tuple[Pytree, Metrics]:
        algo, network = self._setup.algo, self._setup.network
        with torch.no_grad():
            outputs = algo.predict(network, state, batch.x)
            loss, score = network.objective.loss(outputs, batch.y), network.objective.score(outputs, batch.y)
        learned, switch = algo.observe(network, state, batch)
        return learned, {LOSS: loss, SCORE: score, SWITCH: switch}

    def _late_updates(self, state: Pytree) -> Pytree:
        """The state after the updates that are due: of one replicate after another, since few are."""
        algo, setup = self._setup.algo, self._setup
        due: list[bool] = algo.is_due(state).tolist()
        for replicate in (place for place, is_due in enumerate(due) if is_due):
            own: Any = tree_map(lambda leaf: leaf[replicate], state)  # noqa: B023
            updated = algo.late_update(setup.network, setup.engine, own)
            state = tree_map(lambda leaf, new: _replaced(leaf, replicate, new), state, updated)  # noqa: B023
        return state


def _replaced(leaf: Tensor, replicate: int, new: Tensor) -> Tensor:
    changed = leaf.clone()
    changed[replicate] = new
    return changed
