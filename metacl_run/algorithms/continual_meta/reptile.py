"""Reptile: moves the initialisation towards the weights that ordinary training on a task ends with.

    metacl-run algo=reptile data=split_omniglot

Nichol, Achiam, Schulman 2018 (arXiv 1803.02999, algorithm 2): theta <- theta + epsilon * mean over tasks of (phi - theta),
where phi are the weights after inner_steps steps of Adam (beta1 = 0) on mini-batches of the task. No query set is used while
meta-learning.

With outer_optimizer=sgd and no momentum, outer_lr is epsilon; outer_schedule=linear lets it fall to 0 as in the paper.

Differences from the paper:
 1. The released code passes the inner optimiser's second moments from one task to the next within a meta-batch. Here the tasks
    of a meta-batch run in parallel: all start from the same moments, and the mean of their final moments is kept.
 2. Adam's epsilon is added after the bias correction of its moments, as in torch; TensorFlow's Adam, which the released code
    uses, adds it before.
 3. An episode never holds one character under two rotations; in the released code it may, since rotated copies are separate
    classes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Examples, NoEffectWith, Positive, Steps, StepsFromZero
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapted_by_step
from metacl_run.inner.optimizers import Adam, Optimizer, Sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Reptile(EpisodeLearner):
    """First-order meta-learning: averages the weights that ordinary training ends with.

    Attributes:
        inner_optimizer: "adam" (beta1 = 0) or "sgd".
        inner_lr: its rate, for a mean loss.
        inner_steps, inner_batch: number of steps and examples of a mini-batch while meta-learning.
        eval_inner_steps, eval_inner_batch: at evaluation; batches are no larger than the support set.
        carry_moments: keep the inner Adam's second moments from one meta-update to the next.
    """

    inner_optimizer: Literal["adam", "sgd"]
    inner_lr: Annotated[Positive, AT_EVALUATION]
    inner_steps: Steps
    inner_batch: Examples
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    eval_inner_batch: Annotated[Examples, AT_EVALUATION]
    carry_moments: Annotated[bool, NoEffectWith("inner_optimizer", ("sgd",))]

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        steps, batch = (self.inner_steps, self.inner_batch) if training else (self.eval_inner_steps, self.eval_inner_batch)
        return None if batch >= support or steps == 0 else (steps, batch)

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        return {"params": params}, self._inner.init(params) if self.carry_moments else {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        params = meta["params"]
        *_, (adapted, moments) = self._by_step(network, params, carry, episode, self.inner_steps)
        outputs = network(adapted, episode.support_x)
        direction = {"params": {name: params[name] - adapted[name] for name in params}}
        metrics = metrics_of(network, network.objective.loss(outputs, episode.support_y), outputs, episode.support_y)
        return Update(direction, moments if self.carry_moments else carry, metrics)

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Pytree:
        *_, adapted = self.learn_by_step(network, meta, carry, episode)
        return adapted

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Params]:
        yield from (fast for fast, _ in self._by_step(network, meta["params"], carry, episode, self.eval_inner_steps))

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(fast, x)

    @property
    def _inner(self) -> Optimizer:
        return Adam(beta1=0.0) if self.inner_optimizer == "adam" else Sgd()

    def _by_step(
        self, network: Network, params: Params, carry: Pytree, episode: Episode, steps: int
    ) -> Iterator[tuple[Params, Pytree]]:
        """The parameters and the inner optimiser's moments after 0, 1 .. `steps` inner steps."""
        return adapted_by_step(
            network.loss,
            params,
            episode.inner_batches(steps),
            optimizer=self._inner,
            rate=self.inner_lr,
            state=carry if self.carry_moments else None,
            first_order=True,
        )
