"""Look-ahead MAML and what differs from it by a setting: C-MAML, Sync La-MAML, La-ER.

Gupta, Yadav, Paull 2020 (arXiv 2007.13904, algorithm 1 and section 4). For each batch of the stream, `glances` times:

    theta_0 = theta;  theta_{j+1} = theta_j - max(alpha, 0) * grad L(theta_j; chunk j of the batch)       inner loop, own task
    J(theta, alpha) = mean over j > 0 of L(theta_j; batch and replayed samples)                            meta-objective
    alpha <- alpha - rate_lr * dJ/dalpha                                                                    one rate per element
    theta <- theta - max(alpha, 0) * dJ/dtheta

  la_maml    as above: the updated rates also move the weights
  sync_la_maml   outer_lr: the weights take a plain step of their own rate
  c_maml     rate_lr=null, outer_lr: the rates stay what they are
  la_er      meta=false: the weights follow the gradient of the joint loss at theta itself; only the rates look ahead, and J is
             the loss after the last inner step alone, as in the released code

With first_order the inner gradients are constants: dJ/dtheta = mean_j G_j and dJ/dalpha = -mean_j (g_1 + .. + g_j) * G_j where
alpha > 0, G_j the gradient of the meta-loss at theta_j. On a plain perceptron one compiled call computes this
(kernels/perceptron.cpp); else, and in second order, J is differentiated as it stands.

Differences from the paper and its code:
 1. Samples are written to memory after the last glance at them, not during the first: a batch is not replayed to itself.
 2. The reservoir takes sample n + 1 with probability M / (n + 1); the released code draws from one number more.
 3. Rates are cut off at 0 on every data set (the released CIFAR code does not), and inner gradients are never clamped (the
    released MNIST code throws its clamped ones away, the CIFAR code uses them).
 4. The last test sample counts; the released evaluation never scores it.
 5. Samples to replay are drawn without replacement; the released code draws each anew, so that of 10 from 200 one comes twice
    in a fifth of the draws.
 6. The released option to replay from a snapshot of the memory taken when a task starts is left out: in the MNIST code the
    snapshot is the live memory itself from the second task on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import Recall, State, StreamLearner, joined, loss_on
from metacl_run.core.bounds import Examples, Positive, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Sgd, clip
from metacl_run.inner.perceptron_sgd import compiled, look_ahead, weighted_loss
from metacl_run.models.base import Network


@dataclass(frozen=True, kw_only=True)
class LaMaml(StreamLearner):
    """Online meta-learning of the weights and of one learning rate for each of them.

    Attributes:
        inner_lr: where every learned rate starts; the inner rate itself where none is learned.
        inner_batch: samples of the batch in an inner step.
        rate_lr: rate at which the rates are learned; null: they are not.
        outer_lr: rate of the weights' own step; null: the learned rates are.
        glances: times that each batch is gone through.
        first_order: take the inner gradients as constants.
        meta: false: the weights follow the joint loss at where they are (La-ER).
        clip_norm: largest norm of the gradient of the weights, and of the gradient of the rates; null: no limit.
        memory: samples kept.
        replay: samples drawn to join the batch in the meta-loss.
    """

    inner_lr: Positive
    inner_batch: Examples
    rate_lr: Positive | None
    outer_lr: Positive | None
    glances: Steps
    first_order: bool
    meta: bool
    clip_norm: Positive | None
    memory: Examples
    replay: Examples

    def __post_init__(self) -> None:
        batch, learned = self.batch_size, self.rate_lr is not None
        either = "must be a number with rate_lr=null: no rate is learned that could move the weights"
        most = f"must be at most memory={self.memory}, which it is drawn from"
        require_all(
            (batch % self.inner_batch == 0, "inner_batch", self.inner_batch, f"must be 1 to batch_size={batch}, and divide it"),
            (learned or self.outer_lr is not None, "outer_lr", self.outer_lr, either),
            (learned or self.meta, "meta", self.meta, "must be true with rate_lr=null: that would be algo=er"),
            (self.replay <= self.memory, "replay", self.replay, most),
        )

    def recall(self, num_tasks: int) -> Recall:
        return Recall(keep="reservoir", capacity=self.memory, draws=self.glances, size=self.replay)

    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        rates = tree_map(lambda p: torch.full_like(p, self.inner_lr), params)
        return {"params": params, "rates": rates} if self.rate_lr is not None else {"params": params}

    def rates(self, state: State) -> Params | None:
        return state.get("rates")

    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, dict[str, Tensor]]:
        losses = []
        for glance in range(self.glances):
            replay = Samples(*(part[glance] for part in observed.replay))
            order = observed.order[glance]
            batch = Samples(*(part[order] for part in observed.batch))
            state, loss = self._glance(network, state, batch, *joined(batch, replay, observed.weight[glance]))
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}

    def _glance(self, network: Network, state: State, batch: Samples, joint: Samples, weight: Tensor) -> tuple[State, Tensor]:
        """One meta-update; the loss is the meta-objective."""
        params = state["params"]
        rates = state["rates"] if self.rate_lr is not None else tree_map(lambda p: torch.full_like(p, self.inner_lr), params)
        fast = self.first_order and self.inner_batch == 1 and compiled(network, params, batch.x)
        derivatives = self._compiled if fast else self._differentiated
        along, rates_along, loss = derivatives(network, params, rates, batch, joint, weight)
        if not self.meta:
            along = grad(lambda p: weighted_loss(network, p, joint, weight))(params)
        along = clip(along, norm=self.clip_norm, value=None)
        new: State = {}
        if self.rate_lr is not None:
            rates_along = clip(rates_along, norm=self.clip_norm, value=None)
            rates, _ = Sgd().update(rates_along, {}, rates, self.rate_lr)
            new["rates"] = rates
        if self.outer_lr is None:
            new["params"] = tree_map(lambda p, r, g: torch.addcmul(p, r.relu(), g, value=-1), params, rates, along)
        else:
            new["params"], _ = Sgd().update(along, {}, params, self.outer_lr)
        return new, loss

    def _compiled(
        self, network: Network, params: Params, rates: Params, batch: Samples, joint: Samples, weight: Tensor
    ) -> tuple[Params, Params, Tensor]:
        """The same as `_differentiated`, in first order and where the kernel takes it."""
        positive, steps = tree_map(torch.relu, rates), len(batch.y)
        whole = look_ahead(network, params, positive, batch, joint, weight)
        if self.meta or steps == 1:
            return whole
        # What the last of the steps adds to the sum: means are over all of them, and over all but it.
        shorter = look_ahead(network, params, positive, Samples(*(part[:-1] for part in batch)), joint, weight)
        last: tuple[Params, Params, Tensor] = tree_map(lambda a, b: steps * a - (steps - 1) * b, whole, shorter)
        return last

    def _differentiated(
        self, network: Network, params: Params, rates: Params, batch: Samples, joint: Samples, weight: Tensor
    ) -> tuple[Params, Params, Tensor]:
        """dJ/dtheta, dJ/dalpha and J, through the inner loop."""
        chunks = [Samples(*parts) for parts in zip(*(part.split(self.inner_batch) for part in batch), strict=True)]

        def objective(params: Params, rates: Params) -> Tensor:
            moving, losses = params, []
            positive = tree_map(torch.relu, rates)
            for step, chunk in enumerate(chunks, 1):
                moving, _ = adapt(
                    lambda p, c: loss_on(network, p, c),
                    moving,
                    [chunk],
                    optimizer=Sgd(),
                    rate=positive,
                    first_order=self.first_order,
                )
                if self.meta or step == len(chunks):
                    losses.append(weighted_loss(network, moving, joint, weight))
            return torch.stack(losses).mean()

        (along, rates_along), loss = grad_and_value(objective, argnums=(0, 1))(params, rates)
        return along, rates_along, loss
