"""OML, ANML, MAML-Rep: representations meta-learned so that plain SGD on them learns a long sequence without forgetting.

OML (Javed and White 2019, arXiv 1905.12588, algorithm 2): the head learns a trajectory, one example at a time, on a
representation that does not move; the loss afterwards, on that trajectory's classes and on random others, is differentiated
through those steps and updates the representation and where the head starts.

    W_k = W_{k-1} - inner_lr * grad_W loss(x_k, y_k)          k = 1 .. steps, W: the plastic groups
    (theta, W_0) <- outer optimiser on grad loss(queries; theta, W_steps)

  oml       plastic=[head]
  anml      a neuromodulatory branch that does not move gates the other, which does: plastic=[body, head] in meta-training, the
            last layer alone at meta-test (Beaulieu et al. 2020, arXiv 2002.09571)
  maml_rep  online=false: the head takes `inner_steps` steps on the whole trajectory at once. Nothing need be remembered where a
            trajectory has several classes, which the outer loss has to tell apart

Differences from the papers:
 1. oml.yaml has values that learn within minutes. experiment=omniglot_oml_paper has the paper's (two layers to learn, one class
    of ten steps), experiment=omniglot_oml those of the authors' code of July 2020 (one layer, three classes of five steps,
    5 further images of each in the outer loss, trajectories from one half of the meta-train classes and what to remember from
    the other). ANML's code draws both from all classes, as `halves=false` does.
 2. The gradient is the one of the equations. `first_order=true` gives what the released code computed: OML's before July 2020
    and ANML's, which take the inner gradients as constants.
 3. New weights of the outputs that a trajectory is about stay in the network and are updated with it, as in the released code.
    (Forgetting them after the update gave an accuracy of .424 after 50 unseen glyphs where keeping them gives .444: 500 updates
    of a network of 24 filters, 3 seeds, each of which gained.)
 4. At meta-test plain SGD learns, as in the papers' equations; the released evaluations use Adam. The last layer starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.trajectory_learner import SgdLearner, cut_at, redrawn
from metacl_run.algorithms.meta_learner import State, Update, metrics_of
from metacl_run.core.bounds import Steps
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.inner.engine import Engine
from metacl_run.inner.implicit_head import outputs_after
from metacl_run.models.base import Cut, Network


@dataclass(frozen=True, kw_only=True)
class Oml(SgdLearner):
    """Differentiates through learning a trajectory.

    Attributes:
        plastic: groups of parameters, attributes of the network, that learn a training trajectory.
        first_order: drop second derivatives.
        online: learn one step after another; false: `inner_steps` steps on the whole trajectory.
        inner_steps: their number; null with online.
    """

    class_steps: Steps
    plastic: list[str]
    first_order: bool
    online: bool
    inner_steps: Steps | None

    def __post_init__(self) -> None:
        super().__post_init__()
        steps, allowed = self.inner_steps, "must be null with online=true: a step is taken on each batch of the trajectory"
        if self.online:
            require(steps is None, "inner_steps", steps, allowed)
        else:
            require(steps is not None, "inner_steps", steps, "must be at least 1 with online=false")

    def init(self, network: Network, params: Params) -> Pytree:
        cut_at(network, params, self.plastic, "plastic")
        return super().init(network, params)

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: State, episodes: Pytree
    ) -> tuple[State, dict[str, Tensor]]:
        """As ever, from a network in which the outputs that the trajectories are about start afresh."""
        if self.redraw:
            state = redrawn(cut_at(network, state["meta"]["params"], self.plastic, "plastic").last[0], state, episodes)
        return super().meta_update(network, engine, total_units, state, episodes)

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        cut = cut_at(network, meta["params"], self.plastic, "plastic")

        def objective(meta: Pytree) -> tuple[Tensor, Tensor]:
            params = meta["params"]
            learned, queries = self._prepared(cut, params, episode)
            y = episode.y
            if not self.online:
                assert self.inner_steps is not None
                learned, y = tree_map(
                    lambda leaf: leaf.flatten(0, 1).expand(self.inner_steps, *[-1] * (leaf.dim() - 1)), (learned, y)
                )
            outputs = outputs_after(cut, params, learned, y, queries, rate=self.inner_lr, first_order=self.first_order)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))

    def _prepared(self, cut: Cut, params: Params, episode: Trajectory) -> tuple[Pytree, Pytree]:
        """What is frozen, for the trajectory [S, B, ...] and the queries [Q, ...], in one pass; queries that are the trajectory
        itself come first among all."""
        steps, size = episode.x.shape[:2]
        given = cut.before(params, self._all_inputs(episode))
        learned = tree_map(lambda leaf: leaf[: steps * size].unflatten(0, (steps, size)), given)
        return learned, given if self.query_examples is None else tree_map(lambda leaf: leaf[steps * size :], given)

    def _all_inputs(self, episode: Trajectory) -> Tensor:
        return episode.query_x if self.query_examples is None else torch.cat([episode.x.flatten(0, 1), episode.query_x])
