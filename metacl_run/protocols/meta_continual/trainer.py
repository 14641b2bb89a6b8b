"""Meta-training under `meta_continual`: a unit is a meta-update on trajectories."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaState, Update
from metacl_run.core.types import Trajectory
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.meta_continual.trajectories import draw_trajectories
from metacl_run.protocols.trainer import Trainer
from metacl_run.protocols.unit_check import check_outputs, check_unit, check_update

PROBED_RATE = 0.01
"""The learning rate with which the check learns a sequence."""
MetaUpdate = Callable[[MetaState, Trajectory], "tuple[MetaState, dict[str, Tensor]]"]


class TrajectoryTrainer(Trainer):
    """Meta-updates, `updates` in all.

    Args:
        setup: the learner, and the concepts.
        updates: meta-updates of the run.
        places: as in `draw_trajectories`.
    """

    def __init__(self, setup: SequenceSetup, updates: int, places: int | None) -> None:
        self._setup, self._places = setup, places
        algo, engine = setup.algo, setup.train_engine

        def one(state: MetaState, trajectories: Trajectory) -> tuple[MetaState, dict[str, Tensor]]:
            return algo.meta_update(setup.network, engine, updates, state, trajectories)

        self._of_replicate: MetaUpdate = one
        self._update: MetaUpdate = engine.prepare_update(engine.over_replicates(one))

    def check(self, learner: MetaState, unit: int) -> None:
        setup, name = self._setup, type(self._setup.algo).__name__
        trajectories = draw_trajectories(setup, unit, self._places)

        def update(state: MetaState, trajectory: Trajectory) -> Update:
            return setup.algo.episode_update(setup.network, state["meta"], state["carry"], trajectory)

        def sequence(state: MetaState, x: Tensor, y: Tensor, fresh: Tensor, rate: Tensor) -> Tensor:
            """What a learner that has learned some examples says of them."""
            learner, network, meta = setup.sequence_learner, setup.network, state["meta"]
            prepared = learner.prepare(network, meta, x)
            fast = learner.learn(network, meta, learner.begin(network, meta, fresh, prepared), prepared, y, rate)
            return learner.predict(network, meta, fast, prepared)

        check_update(update, learner, trajectories, name=name)
        check_unit(self._of_replicate, learner, trajectories, name=name, part="meta_update")
        place = torch.arange(setup.algo.step_examples) % trajectories.query_y.shape[2]  # one step, on some queries
        x, y = (leaf[:, 0, place] for leaf in (trajectories.query_x, trajectories.query_y))
        fresh, rates = x.new_ones(len(x), setup.network.ways, setup.fresh_width), x.new_full((len(x),), PROBED_RATE)
        check_outputs(sequence, learner, x, y, fresh, rates, outputs=setup.network.ways, name=f"the sequence_learner of {name}")

    def count_examples(self, units: range) -> int:
        algo = self._setup.algo
        queries = algo.classes * (algo.query_examples or 0) + algo.remember
        return len(units) * algo.meta_batch_size * (algo.classes * algo.class_steps * algo.step_examples + queries)

    def step(self, learner: MetaState, unit: int) -> tuple[MetaState, dict[str, Tensor]]:
        return self._update(learner, draw_trajectories(self._setup, unit, self._places))
