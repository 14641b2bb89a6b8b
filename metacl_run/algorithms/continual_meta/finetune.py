"""Fine-tuning: no meta-learning; ordinary training on each support set, starting from any network.

    metacl-run algo=finetune data=split_omniglot        # or algo=linear_probe
    metacl-run algo=linear_probe start_from=runs/split_omniglot/protonet/1a2b3c4d5e6f

The baselines of few-shot learning (Chen et al. 2019, A Closer Look at Few-shot Classification, arXiv 1904.04232): with theta
the parameters that the run starts with, and a head that starts at 0,

    phi = theta with head 0;  phi <- phi - step of the inner optimiser on grad L_support(phi), repeated eval_inner_steps times

  finetune       all layers move
  linear_probe   plastic=head: a linear classifier on features that stay as they are

Meta-updates change nothing. The run still goes through them, so that its accuracy matrix has the same rows as that of other
methods. From an untrained network, this shows what adapting achieves by itself; with `start_from`, how good the representation
of another run is.

Differences from the paper:
 1. The paper first trains theta on the base classes. Here theta can come from another run of any method (`start_from`).
 2. Every step takes the whole support set; the paper takes 100 steps on batches of 4 by SGD of 0.01, momentum 0.9 and weight
    decay 0.001. The paper's fine-tuned baseline also freezes the layers below the head (here that is linear_probe).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import OUTER_LOOP, Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Examples, Hint, Positive, StepsFromZero
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapted_by_step
from metacl_run.inner.optimizers import Adam, Sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class FineTune(EpisodeLearner):
    """Ordinary training on a support set.

    Attributes:
        inner_optimizer: "adam" or "sgd".
        inner_lr: its rate, for the mean loss of the support set.
        eval_inner_steps: steps on the support set.
        plastic: the parameters that move, "all" or "head".
    """

    unused_settings = (*OUTER_LOOP, "replay", "replay_share")

    train_queries: Annotated[Examples, Hint("the training metrics are of the query set")] | None
    inner_optimizer: Annotated[Literal["adam", "sgd"], AT_EVALUATION]
    inner_lr: Annotated[Positive, AT_EVALUATION]
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    plastic: Annotated[Literal["all", "head"], AT_EVALUATION]

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[Meta, Pytree]:
        network.head_names(params)
        return {"params": params}, {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        """No direction; the metrics are of the head at 0."""
        outputs = network(self._start(network, meta["params"]), episode.query_x)
        metrics = metrics_of(network, network.objective.loss(outputs, episode.query_y), outputs, episode.query_y)
        return Update(tree_map(torch.zeros_like, meta), carry, metrics)

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Params:
        *_, fast = self.learn_by_step(network, meta, carry, episode)
        return fast

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Params]:
        params = self._start(network, meta["params"])
        steps = adapted_by_step(
            network.loss,
            params,
            episode.inner_batches(self.eval_inner_steps),
            optimizer=Adam(beta1=0.9) if self.inner_optimizer == "adam" else Sgd(),
            rate=self.inner_lr,
            plastic=list(params) if self.plastic == "all" else network.head_names(params),
            first_order=True,
        )
        yield from (fast for fast, _ in steps)

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(fast, x)

    def _start(self, network: Network, params: Params) -> Params:
        head = network.head_names(params)
        return {name: torch.zeros_like(value) if name in head else value for name, value in params.items()}
