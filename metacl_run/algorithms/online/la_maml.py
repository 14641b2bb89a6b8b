"""Look-ahead MAML and its variants by a setting: C-MAML, Sync La-MAML, La-ER, VR-MCL.

    metacl-run algo=la_maml data=rotated_mnist          # or algo=c_maml, sync_la_maml, la_er, vr_mcl

Gupta, Yadav, Paull 2020 (arXiv 2007.13904, algorithm 1 and section 4). For each batch of the stream, `glances` times:

    theta_0 = theta;  theta_{j+1} = theta_j - max(alpha, 0) * grad L(theta_j; chunk j of the batch)       inner loop, own task
    J(theta, alpha) = mean over j > 0 of L(theta_j; batch and replayed samples)                            meta-objective
    alpha <- alpha - rate_lr * dJ/dalpha                                                                    one rate per element
    theta <- theta - max(alpha, 0) * dJ/dtheta

  la_maml    as above: the updated rates also move the weights
  sync_la_maml   outer_lr: the weights take a plain step of their own rate; with outer_optimizer=adam a step of Adam
  c_maml     rate_lr=null, outer_lr: the rates stay as they are
  la_er      meta=false: the weights follow the gradient of the joint loss at theta itself; only the rates look ahead, and J is
             the loss after the last inner step alone, as in the released code
  vr_mcl variance_reduction=beta, outer_lr: the weights follow a momentum m, corrected with the gradient of the same samples at
             the weights before the last meta-update, theta' (Wu et al. 2024, ICLR, OpenReview TpD2aG1h0D):

             m <- dJ/dtheta at theta + beta * (m - dJ/dtheta at theta');    theta' <- theta;    theta <- theta - outer_lr * m

             The rates follow the sum of dJ/dalpha at both, as in its released code.

With first_order, the inner gradients are treated as constants: dJ/dtheta = mean_j G_j and dJ/dalpha = -mean_j (g_1 + .. + g_j)
* G_j where alpha > 0, G_j the gradient of the meta-loss at theta_j. On a plain perceptron one compiled call computes this
(kernels/perceptron.cpp); otherwise, and in second order, J is differentiated as it stands.

Differences from the paper and its code:
 1. Samples enter the replay buffer after the last pass over them, not during the first: a sample is not replayed while its
    own batch is learned.
 2. The reservoir takes sample n + 1 with probability M / (n + 1); the released code with M / (n + 2).
 3. By default, inner steps count rates below 0 as 0 and do not clip inner gradients. So does the released MNIST code, which
    discards its clipped gradients. The CIFAR code also uses rates below 0 (`inner_rates=signed`), and clips (`inner_clip`).
 4. The last test sample counts; the released evaluation never scores it.
 5. Samples to replay are drawn without replacement; the released code draws with replacement, so that in a fifth of the draws
    of 10 from 200 a sample comes twice.
 6. VR-MCL's code gives replayed samples a weight of .4 in J (.5 in another of its files), takes J over the outputs of the
    current and later tasks for the batch and of the tasks up to now for replayed samples, the inner loss over those of the
    current task, and clips inner gradients element by element (`inner_clip=2`); here J is that of La-MAML.
 7. The released option to replay from a snapshot of the buffer taken when a task starts is left out: in the MNIST code the
    snapshot is the live buffer itself from the second task on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec, StreamLearner, StreamState
from metacl_run.core.bounds import Examples, Momentum, Positive, Steps, added_setting
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, Pytree, Samples, WeightedSamples
from metacl_run.inner.adapt import adapt
from metacl_run.inner.flat import flatly, update_with_few_launches
from metacl_run.inner.optimizers import Optimizer, Sgd, clip, descend, optimizer_of
from metacl_run.inner.perceptron_sgd import compiled, look_ahead
from metacl_run.models.network import Network


class Reduction(TypedDict):
    """The state of VR-MCL's momentum."""

    momentum: Params
    """m."""
    before: Params
    """theta', the weights before the last meta-update."""
    weight: Tensor
    """[] what the momentum counts: 0 before the first meta-update, then 1."""


class LaMamlState(StreamState, total=False):
    """The weights and their learned rates."""

    rates: Params
    """alpha, before it is cut off at 0; absent with rate_lr=null."""
    optimizer: Pytree
    """Velocities or Adam's moments of the weights; absent with plain SGD."""
    reduction: Reduction
    """The state of the corrected momentum; absent with variance_reduction=null."""


Derivatives: TypeAlias = tuple[Params, Params, Tensor]
"""dJ/dtheta, dJ/dalpha, and J itself."""


@dataclass(frozen=True, kw_only=True)
class LaMaml(ReplayBuffer, StreamLearner[LaMamlState]):
    """Online meta-learning of the weights and of one learning rate for each of them.

    Attributes:
        inner_lr: start value of every learned rate; the inner rate itself if none is learned.
        inner_batch: samples of the batch in an inner step.
        inner_clip: largest absolute value of an element of an inner gradient; null: no limit.
        inner_rates: what an inner step uses if a learned rate is below 0: "positive": 0; "signed": the rate itself.
        rate_lr: rate at which the rates are learned; null: they stay at inner_lr.
        outer_lr: the single rate of the step of the weights; null: the weights move by the learned rates.
        outer_optimizer: optimiser of the step of the weights: "sgd", or, by outer_lr, "adam", which cloned policies need.
        outer_momentum: momentum of that step by SGD, as in torch.optim.SGD; 0: none.
        glances: passes over each batch (glances in the paper).
        first_order: treat the inner gradients as constants.
        meta: false: the weights follow the gradient of the joint loss at their current values (La-ER).
        variance_reduction: null, or the factor beta of the corrected momentum that the weights follow (VR-MCL).
        clip_norm: largest norm of the gradient of the weights, and of the gradient of the rates; null: no limit.
        replay: samples drawn from the replay buffer that join the batch in the meta-loss.
    """

    inner_lr: Positive
    inner_batch: Examples
    inner_clip: Positive | None
    inner_rates: Literal["positive", "signed"]
    rate_lr: Positive | None
    outer_lr: Positive | None
    outer_optimizer: Literal["sgd", "adam"]
    outer_momentum: Momentum = field(metadata=added_setting("outer_momentum", off=0.0))
    glances: Steps
    first_order: bool
    meta: bool
    variance_reduction: Momentum | None
    clip_norm: Positive | None

    def __post_init__(self) -> None:
        batch, learned, reduces = self.batch_size, self.rate_lr is not None, self.variance_reduction is not None
        either = "must be a number with rate_lr=null: no rate is learned that could move the weights"
        require_all(
            (batch % self.inner_batch == 0, "inner_batch", self.inner_batch, f"must be 1 to batch_size={batch}, and divide it"),
            (learned or self.outer_lr is not None, "outer_lr", self.outer_lr, either),
            (
                learned or self.inner_rates == "positive",
                "inner_rates",
                self.inner_rates,
                "must be positive with rate_lr=null: no rate is learned that could fall below 0",
            ),
            (learned or self.meta, "meta", self.meta, "must be true with rate_lr=null: that would be algo=er"),
            (not reduces or self.outer_lr is not None, "outer_lr", self.outer_lr, "must be a number with variance_reduction"),
            (not reduces or self.meta, "meta", self.meta, "must be true with variance_reduction"),
            (
                self.outer_optimizer == "sgd" or self.outer_lr is not None,
                "outer_lr",
                self.outer_lr,
                "must be a number with adam",
            ),
            (
                self.outer_momentum == 0 or (self.outer_optimizer == "sgd" and not reduces),
                "outer_momentum",
                self.outer_momentum,
                "must be 0 with outer_optimizer=adam and with variance_reduction, which have moments of their own",
            ),
            self.replay_fits(),
        )

    @property
    def _outer(self) -> Optimizer:
        return optimizer_of(self.outer_optimizer, self.outer_momentum)

    @property
    def _keeps_moments(self) -> bool:
        return self.outer_optimizer == "adam" or self.outer_momentum > 0

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(self.glances)

    def init(self, network: Network, params: Params, num_tasks: int) -> LaMamlState:
        network.refuse_running_averages(self, "differentiates through steps on single samples")
        state: LaMamlState = {"params": params}
        if self.rate_lr is not None:
            state["rates"] = self._fixed_rates(params)
        if self._keeps_moments:
            state["optimizer"] = self._outer.init(params)
        if self.variance_reduction is not None:
            zeros = tree_map(torch.zeros_like, params)
            state["reduction"] = {"momentum": zeros, "before": params, "weight": next(iter(params.values())).new_zeros(())}
        return state

    def rates(self, state: LaMamlState) -> Params | None:
        return state.get("rates")

    def observe(self, network: Network, state: LaMamlState, observed: Observation) -> tuple[LaMamlState, Metrics]:
        losses = []
        for glance in range(self.glances):
            batch, replay = observed.shuffled_batch(glance), observed.draw(glance)
            state, loss = self._meta_update(network, state, batch, replay.after(batch))
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}

    def _meta_update(
        self, network: Network, state: LaMamlState, batch: Samples, joint: WeightedSamples
    ) -> tuple[LaMamlState, Tensor]:
        """One meta-update; the loss is the meta-objective."""
        params, rates = state["params"], state["rates"] if self.rate_lr is not None else self._fixed_rates(state["params"])
        one_call = self._is_plain and compiled(network, params, joint.samples.x)
        derivatives = self._compiled if one_call else self._differentiated
        by_params, by_rates, loss = derivatives(network, params, rates, batch, joint)
        if not self.meta:
            by_params = grad(network.weighted_loss)(params, *joint)
        learned: dict[str, Any] = {} if self.rate_lr is None else {"rates": rates, "by_rates": by_rates}
        if self._keeps_moments:
            learned["optimizer"] = state["optimizer"]
        if self.variance_reduction is not None:
            reduction = state["reduction"]
            there, by_rates_there, _ = derivatives(network, reduction["before"], rates, batch, joint)
            learned |= {**reduction, "by_before": there}
            if self.rate_lr is not None:
                weight = reduction["weight"]
                learned["by_rates"] = tree_map(lambda a, b: a + weight * b, by_rates, by_rates_there)
        params, learned = update_with_few_launches(self._descend, by_params, learned, params)
        after: Any = {"params": params}
        if self.rate_lr is not None:
            after["rates"] = learned.pop("rates")
        if self._keeps_moments:
            after["optimizer"] = learned.pop("optimizer")
        if self.variance_reduction is not None:
            after["reduction"] = learned
        return after, loss

    def _descend(self, by_params: Params, learned: dict[str, Any], params: Params) -> tuple[Params, dict[str, Any]]:
        """The steps of the rates and of the weights; `learned`: the rates and their gradient, where any are learned, and what
        the corrected momentum goes on from, with the gradient at the weights before."""
        direction = clip(by_params, norm=self.clip_norm, value=None)
        after: dict[str, Any] = {}
        if self.variance_reduction is not None:
            there = clip(learned["by_before"], norm=self.clip_norm, value=None)
            share = self.variance_reduction * learned["weight"]
            direction = tree_map(lambda g, m, old: g + share * (m - old), direction, learned["momentum"], there)
            after = {"momentum": direction, "before": params, "weight": torch.ones_like(learned["weight"])}
        rate: Any = self.outer_lr
        if self.rate_lr is not None:
            by_rates = clip(learned["by_rates"], norm=self.clip_norm, value=None)
            after["rates"] = descend(by_rates, learned["rates"], self.rate_lr)
            rate = _positive(after["rates"]) if self.outer_lr is None else self.outer_lr
        moved, moments = self._outer.update(direction, learned.get("optimizer", {}), params, rate)
        return moved, {**after, "optimizer": moments} if self._keeps_moments else after

    def _compiled(self, network: Network, params: Params, rates: Params, batch: Samples, joint: WeightedSamples) -> Derivatives:
        """The same as `_differentiated`, in first order and where the kernel can compute it."""
        steps = len(batch.y)
        whole = look_ahead(network, params, _positive(rates), batch, joint)
        if self.meta or steps == 1:
            return whole
        # The last of the steps alone: the kernel's means are over all steps, and over all but the last.
        shorter = look_ahead(network, params, _positive(rates), batch.at(slice(steps - 1)), joint)
        last: Derivatives = tree_map(lambda a, b: steps * a - (steps - 1) * b, whole, shorter)
        return last

    def _differentiated(
        self, network: Network, params: Params, rates: Params, batch: Samples, joint: WeightedSamples
    ) -> Derivatives:
        """dJ/dtheta, dJ/dalpha and J, through the inner loop."""
        chunks, inner = batch.chunks(self.inner_batch), Sgd(clip_value=self.inner_clip)

        def objective(params: Params, rates: Params) -> Tensor:
            moving, rate, losses = params, rates if self.inner_rates == "signed" else _positive(rates), []
            for chunk in chunks:
                moving, _ = adapt(network.loss, moving, [chunk], optimizer=inner, rate=rate, first_order=self.first_order)
                if self.meta or chunk is chunks[-1]:
                    losses.append(network.weighted_loss(moving, *joint))
            return torch.stack(losses).mean()

        (by_params, by_rates), loss = grad_and_value(objective, argnums=(0, 1))(params, rates)
        return by_params, by_rates, loss

    @property
    def _is_plain(self) -> bool:
        """Whether the inner steps are those of the compiled kernel."""
        return self.first_order and self.inner_batch == 1 and self.inner_clip is None and self.inner_rates == "positive"

    def _fixed_rates(self, params: Params) -> Params:
        return {name: torch.full_like(value, self.inner_lr) for name, value in params.items()}


def _positive(rates: Params) -> Params:
    leaves = list(rates.values())
    positive = flatly(torch.relu, leaves) if leaves[0].is_cuda else [leaf.relu() for leaf in leaves]
    return dict(zip(rates, positive, strict=True))
