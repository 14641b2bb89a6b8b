"""What a meta-learned representation is compared with: one trained in the ordinary way on all meta-train classes, or none.

pretrain  cross-entropy on random examples of the meta-train classes, shuffled; at meta-test the head learns on top of that
          ("Pretraining" in OML's figures, Javed and White 2019, arXiv 1905.12588)
scratch   nothing is learned beforehand, and at meta-test the whole network learns ("Scratch" there)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.trajectory_learner import SgdLearner
from metacl_run.algorithms.meta_learner import Update, metrics_of
from metacl_run.core.errors import require
from metacl_run.core.types import Pytree, Trajectory
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class Pretrain(SgdLearner):
    """Ordinary supervised training; a meta-update is a step on `remember` random examples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.class_steps == 0, "class_steps", self.class_steps, "must be 0: nothing is learned in trajectories")

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        def objective(meta: Pytree) -> tuple[Tensor, Tensor]:
            outputs = network(meta["params"], episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))


@dataclass(frozen=True, kw_only=True)
class Scratch(Pretrain):
    """A network as it was drawn."""

    trains: ClassVar[bool] = False
