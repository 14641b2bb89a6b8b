"""Incremental classifier and representation learning (iCaRL): exemplars chosen by herding, prediction by their nearest mean,
distillation.

    metacl-run algo=icarl data=split_mnist

Rebuffi et al. 2017 (arXiv 1611.07725, algorithms 1 to 5). Every output g_y is logistic, and q_y are the outputs of the network
at the end of the previous task. A step on a batch and drawn exemplars lowers the mean, over their samples, of

    - sum over classes y of  t_y log g_y + (1 - t_y) log(1 - g_y),     t_y = q_y for classes of earlier tasks, else [y is right]

When a task is over, each class keeps m = memory / (classes among exemplars and candidates) exemplars. An earlier class keeps
its first m. For a new class, herding takes one after another, so that the mean of the first k is as near as possible to the
mean of the class:

    p_k = argmin over x of | mu - (phi(x) + phi(p_1) + ... + phi(p_(k-1))) / k |

where phi is the input of the last layer, scaled to length 1, and mu is the mean of phi, scaled to length 1. The prediction is
the class y whose mean of exemplars, scaled to length 1, is nearest to phi(x).

Differences from the paper:
 1. One pass over the stream in small batches, with `updates` steps for each batch, each with a new draw of `replay` exemplars;
    the paper trains for 70 epochs on the task and all exemplars together.
 2. mu is the mean over `herding_samples` samples of the task, drawn at random; the paper takes all.
 3. Means of exemplars are computed at the end of each task. Within a task, its new classes are not predicted yet; within the
    first task, when there are no means, the outputs predict.
 4. Classes that the current task also has are not distilled, and their exemplars are chosen anew from old and new samples; so
    it can learn streams whose tasks share classes. If tasks share no classes, this makes no difference. With `data.blur`,
    nearly every class soon belongs to the current task, and little is distilled.
 5. If tasks are known, the sum is over the classes of the sample's task. The authors' code takes the mean over all outputs,
    also of classes that have not come.
 6. Means of exemplars are of the samples as they are; the authors' code adds their mirror images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from metacl_run.algorithms.online.exemplar_learner import NOTHING, ExemplarLearner, ExemplarState
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Examples, Steps
from metacl_run.core.errors import ConfigError, require_all
from metacl_run.core.types import Metrics, Observation, Params, Samples, WeightedSamples
from metacl_run.inner.herding import herded
from metacl_run.models.network import HEAD, Network
from metacl_run.models.split_network import SplitNetwork

FAR = 1e6
"""The distance to a class without exemplars."""


class IcarlState(ExemplarState):
    """The exemplars with class and rank, their means, and the network to distil. C outputs."""

    old_params: Params
    """The parameters at the end of the previous task; at first the initial ones, from which nothing is distilled."""
    label: Tensor
    """[memory] int64, the classes of the exemplars."""
    rank: Tensor
    """[memory] int64, their places in the order in which herding took them in their class."""
    means: Tensor
    """[C, features] the mean of exemplars of each class, at length 1."""
    has_mean: Tensor
    """[C] bool."""
    earlier: Tensor
    """[C] bool, classes that earlier tasks had."""
    current: Tensor
    """[C] bool, classes that the current task had so far."""


@dataclass(frozen=True, kw_only=True)
class Icarl(ExemplarLearner[IcarlState]):
    """Learns a representation with distillation, and classifies by the nearest mean of exemplars. For classes only.

    Attributes:
        updates: steps for each batch, each with a new draw.
        herding_samples: samples of a task among which its exemplars are chosen.
    """

    updates: Steps
    herding_samples: Examples

    consolidation_setting: ClassVar[str | None] = "herding_samples"

    def __post_init__(self) -> None:
        require_all(*self.steps_fit(), self.replay_fits())

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.exemplar_spec(self.updates)

    def init(self, network: Network, params: Params, num_tasks: int) -> IcarlState:
        network.refuse_real_targets(self, "algo=er or another")
        if self.memory < network.ways:
            raise ConfigError(
                f"algo.memory={self.memory}: must be at least {network.ways}, an exemplar of every class when all have come"
            )
        split = SplitNetwork(network, params, [HEAD])
        weight = params[split.last[0]]
        exemplars, classes = self.no_exemplars(weight.device), weight.new_zeros(network.ways, dtype=torch.bool)
        return {
            **self.start(params),
            "old_params": params,
            "exemplars": exemplars,
            "label": torch.zeros_like(exemplars),
            "rank": torch.zeros_like(exemplars),
            "means": torch.zeros_like(weight),
            "has_mean": classes,
            "earlier": classes,
            "current": classes,
        }

    def observe(self, network: Network, state: IcarlState, observed: Observation) -> tuple[IcarlState, Metrics]:
        state = {**state, "current": state["current"] | _classes(observed.batch.y, network.ways).any(0)}
        losses, rate = [], self.lr_at(observed)
        for number in range(self.updates):
            batch = observed.draw(number).after(observed.batch)
            target, counts = self._targets(network, state, batch)

            def objective(params: Params, batch: WeightedSamples, target: Tensor, counts: Tensor) -> Tensor:
                logits = network(params, *batch.samples[::2])
                sums = (binary_cross_entropy_with_logits(logits, target, reduction="none") * counts).sum(1)
                return (sums * batch.weight).sum() / batch.weight.sum()

            gradient, loss = grad_and_value(objective)(state["params"], batch, target, counts)
            state = self.step(gradient, state, rate)
            losses.append(loss)
        return state, {"loss": torch.stack(losses).mean()}

    def _targets(self, network: Network, state: IcarlState, batch: WeightedSamples) -> tuple[Tensor, Tensor]:
        """[N, C] the targets of all outputs, and whether they count."""
        samples = batch.samples
        distilled = state["earlier"] & ~state["current"]
        with torch.no_grad():
            old = network.at_evaluation(state["old_params"], samples.x, samples.task).sigmoid()
        target = torch.where(distilled, old, _classes(samples.y, network.ways).to(old.dtype))
        counts = (state["earlier"] | state["current"]).expand(target.shape)
        return target, counts if network.masks is None else counts & network.masks[samples.task]

    def choose(
        self, network: Network, state: IcarlState, candidates: Samples, number: Tensor, exemplars: WeightedSamples
    ) -> IcarlState:
        split, ways = SplitNetwork(network, state["params"], [HEAD]), network.ways
        with torch.no_grad():
            features = normalize(split.frozen(state["params"], exemplars.samples.joined(candidates).x))
        label = torch.cat([state["label"], candidates.y])
        numbers = torch.cat([state["exemplars"], number])
        there = torch.cat([state["exemplars"] != NOTHING, torch.ones_like(number, dtype=torch.bool)])
        member = (_classes(label, ways) & there.unsqueeze(1)).T  # [C, memory + N]
        is_new = _classes(candidates.y, ways).any(0)
        rank = herded(features, member, self.memory)
        rank = torch.where(is_new[label], rank, torch.cat([state["rank"], torch.zeros_like(number)]))
        of_each = self.memory // member.any(1).sum()
        stays = there & (rank < of_each)
        order = (~stays).to(torch.int8).argsort(stable=True)[: self.memory]  # those that stay come first
        means = normalize((member & stays).to(features.dtype) @ features)
        classes = state["earlier"] | state["current"]
        return {
            **state,
            "old_params": state["params"],
            "exemplars": torch.where(stays[order], numbers[order], NOTHING),
            "label": torch.where(stays[order], label[order], 0),
            "rank": torch.where(stays[order], rank[order], 0),
            "means": means,
            "has_mean": (member & stays).any(1),
            "earlier": classes,
            "current": torch.zeros_like(classes),
        }

    def predict(self, network: Network, state: IcarlState, x: Tensor, task: Tensor | None) -> Tensor:
        features = normalize(SplitNetwork(network, state["params"], [HEAD]).frozen(state["params"], x))
        means = state["means"]
        squares = features.square().sum(1, keepdim=True) + means.square().sum(1)
        distance = squares - 2 * features @ means.T  # squared, at most 4
        nearness = -distance.masked_fill(~state["has_mean"], FAR)
        if task is not None and network.masks is not None:
            nearness = nearness.masked_fill(~network.masks[task], network.MASKED)
        return torch.where(state["has_mean"].any(), nearness, network(state["params"], x, task))


def _classes(y: Tensor, ways: int) -> Tensor:
    """[N, ways] bool, the class of each sample."""
    return y.unsqueeze(1) == torch.arange(ways, device=y.device)
