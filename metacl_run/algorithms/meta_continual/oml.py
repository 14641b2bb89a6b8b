"""OML, ANML, MAML-Rep: meta-learn a representation on which plain SGD learns a long sequence without forgetting.

    metacl-run algo=oml data=omniglot                   # or algo=anml, maml_rep

OML (Javed and White 2019, arXiv 1905.12588, algorithm 2): the head learns a trajectory, one example at a time, on a fixed
representation. Then the loss on the trajectory's classes and on random other examples is differentiated through these steps; it
updates the representation and the initial head.

    W_k = W_{k-1} - inner_lr * grad_W loss(x_k, y_k)          k = 1 .. steps, W: the plastic groups
    (theta, W_0) <- outer optimiser on grad loss(queries; theta, W_steps)

  oml       plastic=[head]
  anml      a neuromodulatory branch that does not move gates the other, which does: plastic=[body, head] in meta-training, the
            last layer alone at meta-test (Beaulieu et al. 2020, arXiv 2002.09571)
  maml_rep online=false: the head takes `inner_steps` steps on the whole trajectory at once. With several classes in a
            trajectory, which the outer loss must distinguish, `remember` may be 0

Differences from the papers:
 1. With the values of oml.yaml it learns within minutes. experiment=omniglot_oml_paper has the paper's (a head of two layers,
    one class of ten steps), experiment=omniglot_oml those of the authors' code of July 2020 (a head of one layer, three classes
    of five steps, 5 further examples of each in the outer loss, trajectories from one half of the meta-train classes and
    `remember` from the other). ANML's code draws both from all classes, as `halves=false` does.
 2. The gradient is that of the equations. `first_order=true` treats the inner gradients as constants, as do OML's code before
    July 2020 and ANML's code.
 3. The new output weights of a trajectory's classes stay in the network and are updated with it, as in the released code.
    (Discarding them after the update gave an accuracy of .424 after 50 unseen glyphs, keeping them .444: 500 updates of a
    network of 24 filters; each of 3 seeds gained.)
 4. At meta-test plain SGD learns, as in the papers' equations; the released evaluations use Adam, as test_head=adam does. The
    last layer starts from new weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.head_tested import HeadTested
from metacl_run.algorithms.meta_continual.sequence_sgd import redraw_outputs, require_several_classes
from metacl_run.algorithms.meta_learner import Meta, MetaState, Update, metrics_of
from metacl_run.core.bounds import Steps
from metacl_run.core.errors import require
from metacl_run.core.types import Metrics, Params, Pytree, Trajectory
from metacl_run.inner.engine import Engine
from metacl_run.inner.implicit_head import outputs_after
from metacl_run.models.network import Network
from metacl_run.models.split_network import SplitNetwork


@dataclass(frozen=True, kw_only=True)
class Oml(HeadTested):
    """Differentiates through learning a trajectory.

    Attributes:
        plastic: groups of parameters, attributes of the network, that learn in a training trajectory.
        first_order: drop second derivatives.
        online: take one step after another along the trajectory; false: `inner_steps` steps on the whole trajectory.
        inner_steps: number of these steps; null with online=true.
    """

    class_steps: Steps
    plastic: list[str]
    first_order: bool
    online: bool
    inner_steps: Steps | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_several_classes(self.classes, self.remember)
        steps, allowed = self.inner_steps, "must be null with online=true: a step is taken on each batch of the trajectory"
        if self.online:
            require(steps is None, "inner_steps", steps, allowed)
        else:
            require(steps is not None, "inner_steps", steps, "must be at least 1 with online=false")

    def init(self, network: Network, params: Params) -> Meta:
        SplitNetwork(network, params, self.plastic)
        self.check_test(network, params)
        return {"params": params}

    def meta_update(
        self, network: Network, engine: Engine, total_units: int, state: MetaState, episodes: Pytree
    ) -> tuple[MetaState, Metrics]:
        """Does the update of every meta-learner, from a network with new output weights for the trajectories' classes."""
        if self.redraw:
            split = SplitNetwork(network, state["meta"]["params"], self.plastic)
            state = redraw_outputs(split.last[0], state, episodes)
        return super().meta_update(network, engine, total_units, state, episodes)

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        split = SplitNetwork(network, meta["params"], self.plastic)

        def objective(meta: Meta) -> tuple[Tensor, Tensor]:
            params, y = meta["params"], episode.y
            learned, queries = self._frozen_parts(split, params, episode)
            if not self.online:
                learned, y = tree_map(self._as_inner_steps, (learned, y))
            outputs = outputs_after(split, params, learned, y, queries, rate=self.inner_lr, first_order=self.first_order)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))

    def _frozen_parts(self, split: SplitNetwork, params: Params, episode: Trajectory) -> tuple[Pytree, Pytree]:
        """The frozen part of the trajectory, [S, B, ...], and of the queries, [Q, ...], in one pass.

        If queries are not drawn separately, the trajectory is the first of them.
        """
        apart = self.query_examples is not None
        frozen = split.frozen(params, episode.all_x() if apart else episode.query_x)
        learned = tree_map(lambda leaf: leaf[: episode.num_learned].unflatten(0, tuple(episode.y.shape[:2])), frozen)
        return learned, tree_map(lambda leaf: leaf[episode.num_learned :], frozen) if apart else frozen

    def _as_inner_steps(self, leaf: Tensor) -> Tensor:
        """[S, B, ...] -> [inner_steps, S * B, ...]: the whole trajectory at every step."""
        assert self.inner_steps is not None
        whole = leaf.flatten(0, 1)
        return whole.expand(self.inner_steps, *whole.shape)
