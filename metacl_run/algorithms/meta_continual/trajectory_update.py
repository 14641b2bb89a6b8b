"""The meta-update of a method that learns a trajectory as it learns a sequence at meta-test, by the gradient through that."""

from __future__ import annotations

from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_learner import Update, metrics_of
from metacl_run.core.types import Pytree, Trajectory
from metacl_run.models.network import Network
from metacl_run.scoring.objectives import CLASSIFICATION


def trajectory_update(network: Network, meta: Pytree, carry: Pytree, episode: Trajectory, learner: SequenceLearner) -> Update:
    """The ordinary gradient of the loss on a trajectory's queries, after `learner` has learned its examples.

    Outputs are those of the trajectory's classes alone.
    """

    def places(y: Tensor) -> Tensor:
        """Outputs of the network -> positions among the trajectory's classes."""
        return (y.unsqueeze(-1) == episode.classes).long().argmax(-1) if network.objective is CLASSIFICATION else y

    learned_y, query_y = places(episode.y.flatten(0, 1)), places(episode.query_y)

    def objective(meta: Pytree) -> tuple[Tensor, Tensor]:
        learned, queries = episode.split(learner.prepare(network, meta, episode.all_x()))
        fast = learner.begin(network, meta, episode.fresh, learned)
        fast = learner.learn(network, meta, fast, learned, learned_y, episode.fresh.new_zeros(()))
        outputs = learner.predict(network, meta, fast, queries)
        return network.objective.loss(outputs, query_y), outputs

    gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
    return Update(gradient, carry, metrics_of(network, loss, outputs, query_y))
