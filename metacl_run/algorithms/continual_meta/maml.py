"""MAML and its variants by a setting: FOMAML, ANIL, Meta-SGD, FTML.

    metacl-run algo=maml data=split_omniglot            # or algo=fomaml, anil, meta_sgd, ftml

MAML learns an initialisation from which a few gradient steps on a task's support set do well on its query set (Finn, Abbeel,
Levine 2017, arXiv 1703.03400, algorithm 2):

    phi = theta - inner_lr * grad L_support(theta), repeated inner_steps times
    theta <- theta - outer_lr * grad_theta L_query(phi)

  fomaml     first_order: the inner gradients are constants of the outer derivative (section 5.2)
  anil       plastic=head: only the last layer adapts (Raghu et al. 2020, arXiv 1909.09157)
  meta_sgd   inner_lr=null: one rate per parameter element, learned with theta (Li et al. 2017, arXiv 1707.09835, algorithm 1)
  ftml       replay of every task seen: theta minimises the mean loss over all of them (Finn et al. 2019, arXiv 1902.08438,
             follow the meta leader), by meta-updates on episodes drawn uniformly from the tasks seen

Differences from the papers:
 1. The losses are means over the examples. MAML's released code divides by shots and sums over classes: its inner rate for a
    mean loss is ways times the paper's (0.4 -> 2.0 for 5-way Omniglot). inner_lr here is for the mean.
 2. The batch norm has a scale and an offset and both adapt in the inner loop; MAML's code has an offset only, which does not.
 3. Meta-SGD as published takes one inner step; here as many as inner_steps. Its rates start in [0.005, 0.1], for another scale
    of the loss; those of meta_sgd.yaml start around MAML's rate here.
 4. FTML's outer problem is solved by a fixed number of meta-updates a task, not to convergence; every episode is from a task
 drawn from all tasks seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import AT_EVALUATION, Examples, Hint, Positive, StepsFromZero
from metacl_run.core.errors import require_all
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.network import Network


class MamlMeta(Meta, total=False):
    """The meta-learned parameters of MAML and its variants."""

    rates: Params
    """Learned rates of the plastic parameters (Meta-SGD); absent with a fixed inner_lr."""


@dataclass(frozen=True, kw_only=True)
class Maml(EpisodeLearner):
    """Meta-learns an initialisation by differentiating through the inner loop.

    Attributes:
        inner_lr: rate of the inner loop for a mean loss; null: a rate is learned for each element of every plastic parameter.
        inner_steps: gradient steps on the support set while meta-learning; 0: joint training on the query sets.
        eval_inner_steps: gradient steps at evaluation.
        first_order: drop second derivatives.
        plastic: the parameters that adapt, "all" or "head".
        rate_low, rate_high: learned rates start uniform in this range; null where none are learned.
    """

    train_queries: Annotated[Examples, Hint("the meta-gradient is taken on the query set")] | None
    inner_lr: Annotated[Annotated[Positive, Hint("null learns the rates")] | None, AT_EVALUATION]
    inner_steps: StepsFromZero
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    first_order: bool
    plastic: Literal["all", "head"]
    rate_low: float | None
    rate_high: float | None

    def __post_init__(self) -> None:
        low, high, fixed = self.rate_low, self.rate_high, self.inner_lr is not None
        allowed = (
            f"must be null with inner_lr={self.inner_lr}: no rates are learned"
            if fixed
            else "must be a number with inner_lr=null: where learned rates start"
        )
        require_all(
            *((fixed == (rate is None), name, rate, allowed) for name, rate in (("rate_low", low), ("rate_high", high)))
        )
        if low is not None and high is not None:
            require_all((low <= high, "rate_low", low, f"must be at most rate_high={high}"))

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[MamlMeta, Pytree]:
        plastic = self._plastic(network, params)
        if self.rate_low is None or self.rate_high is None:
            return {"params": params}, {}
        learned, start = {}, 0
        for name in plastic:
            size = params[name].numel()
            uniform = rates[start : start + size].view_as(params[name]).to(params[name])
            learned[name] = self.rate_low + (self.rate_high - self.rate_low) * uniform
            start += size
        return {"params": params, "rates": learned}, {}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        def query_loss(meta: MamlMeta) -> tuple[Tensor, Tensor]:
            adapted = self._adapt(network, meta, episode, self.inner_steps, self.first_order)
            outputs = network(adapted, episode.query_x)
            return network.objective.loss(outputs, episode.query_y), outputs

        gradient, (loss, outputs) = grad_and_value(query_loss, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Pytree:
        return self._adapt(network, meta, episode, self.eval_inner_steps, True)

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Params]:
        fast, rate = meta["params"], meta["rates"] if self.inner_lr is None else self.inner_lr
        plastic = self._plastic(network, fast)
        yield fast
        for batch in episode.inner_batches(self.eval_inner_steps):
            fast, _ = adapt(network.loss, fast, [batch], optimizer=Sgd(), rate=rate, plastic=plastic, first_order=True)
            yield fast

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(fast, x)

    def _adapt(self, network: Network, meta: MamlMeta, episode: Episode, steps: int, first_order: bool) -> Params:
        adapted, _ = adapt(
            network.loss,
            meta["params"],
            episode.inner_batches(steps),
            optimizer=Sgd(),
            rate=meta["rates"] if self.inner_lr is None else self.inner_lr,
            plastic=self._plastic(network, meta["params"]),
            first_order=first_order,
        )
        return adapted

    def _plastic(self, network: Network, params: Params) -> list[str]:
        return list(params) if self.plastic == "all" else network.head_names(params)
