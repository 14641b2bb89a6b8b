"""Meta-learning for online learning, MOLe (Nagabandi, Finn and Levine 2019, arXiv 1812.07671, algorithm 1): a growing mixture
of models, for tasks that recur and are not known.

Every task i met so far has parameters theta_i and a count n_i; a new task would start from the meta-learned prior theta*. (x,
y) is the batch of step t, and the prior over tasks is a Chinese restaurant process of concentration alpha:

    P(i | x, y)   is proportional to  n_i exp(-B loss(theta_i; x, y) / temperature)
    P(new | x, y) is proportional to  alpha exp(-B loss(theta*; x, y) / temperature)
    where the new task is the most probable, it is added, with theta* as its parameters
    theta_i <- theta_i - inner_lr P(i | x, y) grad loss(theta_i; x, y),  n_i <- n_i + P(i | x, y)

The next batch is predicted by the most probable task. theta* is meta-learned before the stream, by MAML on windows of
transitions, as in GrBAL; then it does not change.

Differences from the paper:
 1. There are at most `most_tasks` tasks; then no new one is added.
 2. A new task that is not the most probable is not added; its probability is divided among the others.
 3. The step on a task is `stream_inner_steps` gradient steps on the newest batch; the paper does not say how many it takes.
 4. A Gaussian of variance v in d dimensions corresponds to temperature = 2 v / d; the cross-entropy of classes to temperature
    1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import MamlStart, Observed
from metacl_run.core.bounds import Positive
from metacl_run.core.errors import require
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Rate, Sgd
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Mole(MamlStart):
    """Keeps a model for every task that it believes to have met.

    Attributes:
        most_tasks: largest number of tasks that it keeps.
        concentration: alpha of the Chinese restaurant process; a larger one makes new tasks more likely.
        temperature: see difference 4; a lower one makes the choice of a task more certain.
    """

    most_tasks: Annotated[int, Ge(1), Le(1000)]
    concentration: Positive
    temperature: Positive

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.stream_inner_steps
        require(steps > 0, "stream_inner_steps", steps, "must be at least 1: no model would learn anything")

    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        slow = self.stream_maml.start(network, params, rates)
        leaf = next(iter(params.values()))
        return {
            "slow": slow,
            "tasks": tree_map(lambda value: value.expand(self.most_tasks, *value.shape).clone(), params),
            "counts": leaf.new_zeros(self.most_tasks),
            "current": torch.zeros((), dtype=torch.int64),
        }

    def begin(self, network: Network, state: Pytree) -> Pytree:
        prior = state["slow"]["meta"]["params"]
        return {**state, "tasks": tree_map(lambda value: value.expand(self.most_tasks, *value.shape).clone(), prior)}

    def weights(self, network: Network, state: Pytree) -> Params:
        # Slots that no task has hold the prior, so that the first prediction is the prior's.
        current = state["current"].unsqueeze(0)
        return {name: value.index_select(0, current)[0] for name, value in state["tasks"].items()}

    def observe(self, network: Network, state: Pytree, batch: Observed) -> tuple[Pytree, Tensor]:
        tasks, counts, current = state["tasks"], state["counts"], state["current"]
        place = torch.arange(self.most_tasks, device=counts.device)
        used = (counts > 0).sum()
        is_new = place == used  # the first slot that no task has, which holds the prior; none where all are used
        losses = torch.vmap(lambda params: network.loss(params, *batch.pair))(tasks)
        seats = torch.where(is_new, torch.full_like(counts, self.concentration), counts)
        fit = torch.log(seats) - len(batch.x) * losses / self.temperature
        best = fit.argmax()
        admitted = (place < used) | (is_new & (place == best))
        chance = torch.softmax(fit.masked_fill(~admitted, -torch.inf), 0)
        learned = torch.vmap(lambda params, weight: self._learned(network, state, params, weight, batch))(tasks, chance)
        switch = (best != current) & (used > 0)
        new = {"slow": state["slow"], "tasks": learned, "counts": counts + chance, "current": best}
        return new, switch.to(losses.dtype)

    def _learned(self, network: Network, state: Pytree, params: Params, weight: Tensor, batch: Observed) -> Params:
        """The parameters of a task after the steps on a batch that belongs to it with probability `weight`."""
        meta = state["slow"]["meta"]
        names = self.stream_maml.plastic_names(network, params)
        rates: Rate = (
            {name: weight * rate for name, rate in self.stream_maml.rates_of_elements(meta["rates"], params).items()}
            if self.inner_lr is None
            else weight * self.inner_lr
        )
        batches = [batch.pair] * self.stream_inner_steps
        learned, _ = adapt(network.loss, params, batches, optimizer=Sgd(), rate=rates, plastic=names, first_order=True)
        return learned
