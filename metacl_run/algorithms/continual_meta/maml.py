"""MAML and its variants by a setting: FOMAML, ANIL, Meta-SGD, FTML, MAML++.

    metacl-run algo=maml data=split_omniglot            # or algo=fomaml, anil, meta_sgd, ftml, maml_pp

MAML learns an initialisation from which a few gradient steps on a task's support set do well on its query set (Finn, Abbeel,
Levine 2017, arXiv 1703.03400, algorithm 2):

    phi = theta - inner_lr * grad L_support(theta), repeated inner_steps times
    theta <- theta - outer_lr * grad_theta L_query(phi)

  fomaml     first_order: the inner gradients are constants of the outer derivative (section 5.2)
  anil       plastic=head: only the last layer adapts (Raghu et al. 2020, arXiv 1909.09157)
  meta_sgd   inner_lr=null: one rate per parameter element, learned with theta (Li et al. 2017, arXiv 1707.09835, algorithm 1)
  ftml       replay of every task seen: theta minimises the mean loss over all of them (Finn et al. 2019, arXiv 1902.08438,
             follow the meta leader), by meta-updates on episodes drawn uniformly from the tasks seen
  maml_pp    three parts of MAML++ (Antoniou, Edwards, Storkey 2019, arXiv 1810.09502, section 4), each a setting:
             step_rates, a rate for every parameter tensor and inner step, learned with theta from inner_lr on;
             multi_step_updates, for so many meta-updates (N) the loss is that after every inner step k = 1 .. K, weighted,
               after n of them, by w_k = max(1/K - n/(K N), .03/K) for k < K, and the last step by the rest; then the last's;
             first_order_updates, so many meta-updates are of first order before second derivatives are taken.
             Learned rates and the multi-step loss start at the first meta-update. The loss of the last step alone, and second
             derivatives, start when their numbers of meta-updates are over, in the order of these numbers (in the paper: the
             loss first).

Differences from the papers:
 1. The losses are means over the examples. MAML's released code divides by shots and sums over classes: for a mean loss, its
    inner rate corresponds to ways times the paper's (0.4 -> 2.0 for 5-way Omniglot). inner_lr here is for the mean.
 2. The batch norm has a scale and an offset and both adapt in the inner loop; MAML's code has an offset only, which does not.
 3. Published Meta-SGD takes one inner step; here it takes inner_steps. Its rates start in [0.005, 0.1], for another scale of
    the loss; in meta_sgd.yaml they start around MAML's rate here.
 4. FTML's outer problem is solved by a fixed number of meta-updates per task, not to convergence; the task of every episode is
    drawn from all tasks seen.
 5. MAML++ counts epochs; here meta-updates are counted. First-order meta-updates cost as much as second-order ones, since the
    derivative is computed and multiplied by 0 (a computation with a branch could not be captured as a graph). The batch norm of
    MAML++, with running statistics and an offset for every step, is left out: here batch norm uses batch statistics. At
    evaluation, steps beyond inner_steps use the rates of the last step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import Meta, MetaState, Update, metrics_of
from metacl_run.core.bounds import (
    AT_EVALUATION,
    CountFromZero,
    Examples,
    Hint,
    NoEffectWith,
    Positive,
    StepsFromZero,
    added_setting,
)
from metacl_run.core.errors import require_all
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.adapt import adapted_by_step
from metacl_run.inner.optimizers import Rate, Sgd
from metacl_run.models.network import Network

LEAST = 0.03
"""The smallest weight of an inner step other than the last in the multi-step loss, as a share of an equal weight."""


class MamlMeta(Meta, total=False):
    """The meta-learned parameters of MAML and its variants."""

    rates: Params
    """Learned rates of the plastic parameters, one for each element (Meta-SGD), one for the tensor [], or one for each step [K]
    (MAML++); absent if they are not learned."""


class Counted(TypedDict):
    """What passes from one meta-update to the next if their number matters (MAML++)."""

    updates: Tensor
    """Meta-updates done, float64."""


@dataclass(frozen=True, kw_only=True)
class PartOfSecondOrder(Sgd):
    """SGD whose second derivatives are multiplied by a number, 0 or 1.

    Attributes:
        second: the number, a scalar.
    """

    second: Tensor

    def update(self, gradient: Pytree, state: Pytree, params: Pytree, rate: Rate) -> tuple[Pytree, Pytree]:
        gradient = tree_map(lambda g: g.detach() + self.second.to(g.dtype) * (g - g.detach()), gradient)
        return super().update(gradient, state, params, rate)


RatesOf: TypeAlias = Annotated[Literal["elements", "tensors"], NoEffectWith("rate_low", (None,))]


@dataclass(frozen=True, kw_only=True)
class Maml(EpisodeLearner):
    """Meta-learns an initialisation by differentiating through the inner loop.

    Attributes:
        inner_lr: rate of the inner loop for a mean loss; null: rates of plastic parameters are learned.
        inner_steps: gradient steps on the support set while meta-learning; 0: joint training on the query sets.
        eval_inner_steps: gradient steps at evaluation.
        first_order: drop second derivatives.
        plastic: the parameters that adapt, "all" or "head".
        rate_low, rate_high: start values of learned rates are drawn uniformly from this range; null if none are learned.
        rates_of: what a learned rate is of: each of the parameters' elements (Meta-SGD), or each of their tensors.
        step_rates: learn a rate for every plastic parameter tensor and inner step, starting at inner_lr.
        multi_step_updates: meta-updates in which the loss shifts from all inner steps to the last one; 0: only the last one
            counts.
        first_order_updates: number of meta-updates, at the start, that drop second derivatives.
    """

    train_queries: Annotated[Examples, Hint("the meta-gradient is taken on the query set")] | None
    inner_lr: Annotated[Annotated[Positive, Hint("null learns the rates")] | None, AT_EVALUATION]
    inner_steps: StepsFromZero
    eval_inner_steps: Annotated[StepsFromZero, AT_EVALUATION]
    first_order: bool
    plastic: Literal["all", "head"]
    rate_low: float | None
    rate_high: float | None
    rates_of: RatesOf = field(metadata=added_setting("learns_rates_of_tensors", off="elements"))
    step_rates: bool
    multi_step_updates: CountFromZero
    first_order_updates: CountFromZero

    @property
    def learns_rates_of_tensors(self) -> bool:
        return self.inner_lr is None and self.rates_of == "tensors"

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
        steps, all_first = self.inner_steps > 0, self.first_order
        require_all(
            (
                steps or not self.first_order_updates,
                "first_order_updates",
                self.first_order_updates,
                "must be 0 with inner_steps=0: there are no second derivatives",
            ),
            (fixed or not self.step_rates, "step_rates", True, "must be false with inner_lr=null, which learns other rates"),
            (steps or not self.step_rates, "step_rates", True, "must be false with inner_steps=0"),
            (
                self.inner_steps > 1 or not self.multi_step_updates,
                "multi_step_updates",
                self.multi_step_updates,
                f"must be 0 with inner_steps={self.inner_steps}: there is one loss at most",
            ),
            (
                not (all_first and self.first_order_updates),
                "first_order_updates",
                self.first_order_updates,
                "must be 0 with first_order=true: all meta-updates are",
            ),
        )

    def check_evaluation(self, trained: Maml) -> None:
        void = f"must be {trained.inner_lr}, as in the run: with step_rates=true it learned a rate for every inner step"
        require_all((not self.step_rates or self.inner_lr == trained.inner_lr, "inner_lr", self.inner_lr, void))

    def num_outputs(self, ways: int) -> int | None:
        return ways

    def inner_batches(self, support: int, training: bool) -> tuple[int, int] | None:
        return None

    def init(self, network: Network, params: Params, rates: Tensor) -> tuple[MamlMeta, Pytree]:
        plastic = self.plastic_names(network, params)
        counted = self.multi_step_updates or self.first_order_updates
        carry: Pytree = Counted(updates=torch.zeros((), dtype=torch.float64)) if counted else {}
        if self.step_rates:
            assert self.inner_lr is not None
            steps = {name: params[name].new_full((self.inner_steps,), self.inner_lr) for name in plastic}
            return {"params": params, "rates": steps}, carry
        if self.rate_low is None or self.rate_high is None:
            return {"params": params}, carry
        learned, start = {}, 0
        for name in plastic:
            size = params[name].numel()
            own = rates[start : start + size].view_as(params[name]) if self.rates_of == "elements" else rates[start]
            uniform = own.to(params[name])
            learned[name] = self.rate_low + (self.rate_high - self.rate_low) * uniform
            start += size
        return {"params": params, "rates": learned}, carry

    def returned(self, best: MetaState, last: MetaState) -> MetaState:
        return {**super().returned(best, last), "carry": last["carry"]}  # nothing but the number of meta-updates

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Update:
        def query_loss(meta: MamlMeta) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            optimizer = self._training_optimizer(carry)
            *earlier, last = self._by_step(network, meta, episode, self.inner_steps, self.first_order, optimizer)
            outputs = network(last, episode.query_x)
            loss = network.objective.loss(outputs, episode.query_y)
            if not self.multi_step_updates:
                return loss, (loss, outputs)
            weights = step_weights(carry["updates"], self.inner_steps, self.multi_step_updates).to(loss.dtype)
            losses = [network.loss(params, episode.query_x, episode.query_y) for params in earlier[1:]]
            return weights @ torch.stack([*losses, loss]), (loss, outputs)

        gradient, (_, (loss, outputs)) = grad_and_value(query_loss, has_aux=True)(meta)
        metrics = metrics_of(network, loss, outputs, episode.query_y)
        return Update(gradient, {name: count + 1 for name, count in carry.items()}, metrics)

    def learn(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Pytree:
        *_, adapted = self.learn_by_step(network, meta, carry, episode)
        return adapted

    def learn_by_step(self, network: Network, meta: Pytree, carry: Pytree, episode: Episode) -> Iterator[Params]:
        yield from self._by_step(network, meta, episode, self.eval_inner_steps, True, Sgd())

    def predict(self, network: Network, meta: Pytree, fast: Pytree, x: Tensor) -> Tensor:
        return network(fast, x)

    def _by_step(
        self, network: Network, meta: MamlMeta, episode: Episode, steps: int, first_order: bool, optimizer: Sgd
    ) -> Iterator[Params]:
        """The parameters after 0, 1 .. `steps` inner steps."""
        adapted = adapted_by_step(
            network.loss,
            meta["params"],
            episode.inner_batches(steps),
            optimizer=optimizer,
            rate=self._rate(meta, steps),
            plastic=self.plastic_names(network, meta["params"]),
            first_order=first_order,
        )
        return (params for params, _ in adapted)

    def _rate(self, meta: MamlMeta, steps: int) -> Rate | list[Rate]:
        if not self.step_rates and self.inner_lr is not None:
            return self.inner_lr
        params, rates = meta["params"], meta["rates"]
        if not self.step_rates:
            return self.rates_of_elements(rates, params)
        places = [min(step, self.inner_steps - 1) for step in range(steps)]
        return [self.rates_of_elements({name: rate[place] for name, rate in rates.items()}, params) for place in places]

    def _training_optimizer(self, carry: Pytree) -> Sgd:
        if not self.first_order_updates:
            return Sgd()
        return PartOfSecondOrder(second=(carry["updates"] >= self.first_order_updates).double())

    @staticmethod
    def rates_of_elements(rates: Params, params: Params) -> Params:
        """Rates of elements or of tensors, as rates of the elements of parameters."""
        return {name: rate.expand_as(params[name]) for name, rate in rates.items()}

    def plastic_names(self, network: Network, params: Params) -> list[str]:
        """The names of the parameters that adapt."""
        return list(params) if self.plastic == "all" else network.head_names(params)


def step_weights(updates: Tensor, steps: int, annealed: int) -> Tensor:
    """Returns the weights [K] of the losses after each of K inner steps, for the current number of meta-updates."""
    earlier = ((1 - updates / annealed) / steps).clamp(min=LEAST / steps).expand(steps - 1)
    earlier = torch.where(updates < annealed, earlier, 0)
    return torch.cat([earlier, (1 - earlier.sum()).unsqueeze(0)])
