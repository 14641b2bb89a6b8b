"""A representation from ordinary supervised training, for comparison with a meta-learned one.

    metacl-run algo=pretrain data=omniglot

"Pretraining" in OML's figures (Javed and White 2019, arXiv 1905.12588). (x, y) are `remember` examples, drawn at random from
all meta-train classes:

    (theta, W) <- outer optimiser on grad loss(x, y; theta, W)

At meta-test the head learns a sequence on the representation theta.

Differences from the paper:
 1. There are `protocol.updates` steps, each on `remember` examples drawn anew; there are no epochs.
 2. At meta-test plain SGD learns the head, as for OML here (oml.py, difference 4).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.head_tested import HeadTested
from metacl_run.algorithms.meta_continual.sequence_sgd import require_several_classes
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Pretrain(HeadTested):
    """Ordinary supervised training; a meta-update is a step on `remember` random examples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_several_classes(self.classes, self.remember)
        require(self.class_steps == 0, "class_steps", self.class_steps, "must be 0: nothing is learned in trajectories")

    def init(self, network: Network, params: Params) -> Meta:
        self.check_test(network, params)
        return {"params": params}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        def objective(meta: Meta) -> tuple[Tensor, Tensor]:
            outputs = network(meta["params"], episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))
