"""iMAML: MAML with an implicit gradient, whose memory does not grow with inner steps (Rajeswaran et al. 2019, 1909.04630).

    metacl-run algo=imaml data=split_omniglot

The inner problem pulls towards the initialisation (section 2.2, equation 3). The meta-gradient depends on the solution of this
problem, not on how it was found (lemma 1, equation 6; algorithm 2):

    phi = argmin over phi of L_support(phi) + strength / 2 |phi - theta|^2
    direction = (I + H / strength)^-1 grad L_query(phi),   H the Hessian of L_support at phi

phi is approximated by inner_steps steps of gradient descent from theta; the product with the inverse by cg_steps steps of
conjugate gradients. Each of these costs one product with H, a derivative of a derivative, without forming the matrix.

Differences from the paper and its code (aravindr93/imaml_dev):
 1. The code solves with ((1 + 1) I + H / (strength + 10)) in place of I + H / strength: another scale, with damping. Here it is
    equation 6, and the outer rate is for this scale.
 2. Conjugate gradients stop at a direction of negative curvature, which the Hessian of a network may have. If the first
    direction is one, the gradient of the query loss is used unchanged.
 3. Inner steps are plain gradient descent; the paper also has Hessian-free ones.
 4. Every inner step has the pull, as in the paper. The code takes its inner steps without it, and after them one step on the
    pull.
 5. Adam has an epsilon of 1e-8 in the outer loop; the code has 1e-3, at the scale of difference 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Examples, Hint, Positive, Steps, StepsFromZero
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapted_by_step
from metacl_run.inner.conjugate_gradient import conjugate_gradient
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class IMaml(EpisodeLearner):
    """Meta-learns an initialisation by the implicit gradient of a regularised inner problem.

    Attributes:
        strength: strength of the pull towards the initialisation (lambda).
        inner_lr: rate of the inner loop, for a mean loss plus the pull.
        inner_steps: gradient steps on the support set while meta-learning.
        eval_inner_steps: gradient steps at evaluation.
        cg_steps: conjugate gradient steps in a meta-gradient; the code takes the query's gradient as it is for 1 and below.
    """

    train_queries: Annotated[Examples, Hint("the meta-gradient is taken on the query set")] | None
    strength: Annotated[Positive, AT_EVALUATION]
    inner_lr: Annotated[Positive, AT_EVALUATION]
    inner_steps: Steps
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    cg_steps: Annotated[Steps, Hint("without any it is algo=fomaml")]

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        return {"params": params}, {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        *_, adapted = self._by_step(network, meta["params"], episode, self.inner_steps)

        def query_loss(params: Params) -> tuple[Tensor, Tensor]:
            outputs = network(params, episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(query_loss, has_aux=True)(adapted)
        support_gradient = grad(lambda params: network.loss(params, episode.support_x, episode.support_y))
        times_hessian: Callable[[Params], tuple[Params]] = vjp(support_gradient, adapted)[1]  # the Hessian is symmetric

        def product(vector: Params) -> Params:
            times: Params = tree_map(lambda v, h: v + h / self.strength, vector, times_hessian(vector)[0])
            return times

        direction = conjugate_gradient(product, gradient, self.cg_steps)
        return Update({"params": direction}, carry, metrics_of(network, loss, outputs, episode.query_y))

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Params:
        *_, adapted = self.learn_by_step(network, meta, carry, episode)
        return adapted

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Params]:
        yield from self._by_step(network, meta["params"], episode, self.eval_inner_steps)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(fast, x)

    def _by_step(self, network: Network, params: Params, episode: Episode, steps: int) -> Iterator[Params]:
        """The parameters after 0, 1 .. `steps` inner steps."""

        def pulled_loss(moving: Params, x: Tensor, y: Tensor) -> Tensor:
            squares = tree_leaves(tree_map(lambda phi, theta: (phi - theta.detach()).square().sum(), moving, params))
            return network.loss(moving, x, y) + self.strength / 2 * torch.stack(squares).sum()

        batches = episode.inner_batches(steps)
        adapted = adapted_by_step(pulled_loss, params, batches, optimizer=Sgd(), rate=self.inner_lr, first_order=True)
        return (fast for fast, _ in adapted)
