"""An untrained network, with which a meta-learned one is compared: at meta-test the whole network learns from scratch.

    metacl-run algo=scratch data=omniglot

("Scratch" in OML's figures, Javed and White 2019, arXiv 1905.12588.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.sequence_sgd import SequenceSgd
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Scratch(TrajectoryLearner):
    """A network with its initial parameters: updates are 0, and protocols make none.

    Attributes:
        inner_lr, test_plastic, redraw: see `sequence_sgd.SequenceSgd`.
    """

    trains: ClassVar[bool] = False

    inner_lr: Positive
    test_plastic: Annotated[list[str], AT_EVALUATION]
    redraw: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.class_steps == 0, "class_steps", self.class_steps, "must be 0: nothing is learned in trajectories")

    @property
    def sequence_learner(self) -> SequenceSgd:
        return SequenceSgd(self.inner_lr, self.test_plastic, self.redraw, self.step_examples)

    def num_outputs(self, outputs: int) -> int | None:
        return outputs

    def init(self, network: Network, params: Params) -> Meta:
        self.sequence_learner.check(network, params)
        return {"params": params}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        outputs = network(meta["params"], episode.query_x)
        loss = network.objective.loss(outputs, episode.query_y)
        return Update(tree_map(torch.zeros_like, meta), carry, metrics_of(network, loss, outputs, episode.query_y))
