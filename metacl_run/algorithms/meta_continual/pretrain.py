"""An ordinary supervised representation, with which a meta-learned one is compared.

    metacl-run algo=pretrain data=omniglot

Minimises cross-entropy on random examples of the meta-train classes, shuffled; at meta-test the head learns on top of that
("Pretraining" in OML's figures, Javed and White 2019, arXiv 1905.12588).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.sequence_sgd import SequenceSgd, require_several_classes
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Pretrain(TrajectoryLearner):
    """Ordinary supervised training; a meta-update is a step on `remember` random examples.

    Attributes:
        inner_lr, test_plastic, redraw: see `sequence_sgd.SequenceSgd`.
    """

    inner_lr: Positive
    test_plastic: Annotated[list[str], AT_EVALUATION]
    redraw: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require_several_classes(self.classes, self.remember)
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
        def objective(meta: Meta) -> tuple[Tensor, Tensor]:
            outputs = network(meta["params"], episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))
