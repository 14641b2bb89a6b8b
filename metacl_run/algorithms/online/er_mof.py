"""Experience replay from the samples nearest to the mean of their class's features (mean of features, MoF).

    metacl-run algo=er_mof data=rotated_digits

Chaudhry et al. 2019 (arXiv 1902.10486, section 4, "mean of features"). First come `updates` steps on a batch and draws from the
exemplars, as for `er`. Then each new sample (x, y), with the input phi of the last layer at the weights after the steps, moves
the running mean of its class and competes for the places of its class in this task:

    m_y <- decay m_y + (1 - decay) phi      m_y <- phi for the first sample of a class in a task
    a place is free                         it takes the place
    else, another class of a task has       it takes the place of that class's exemplar which is farthest from the mean
      at least two exemplars more
    else, | phi - m_y | < | phi_i - m_y |   it takes the place of i, the exemplar of its own class that is farthest from m_y

A class that comes again in another task counts as another class, with a mean of its own.

Differences from the paper:
 1. There every class of every task has its share of the places from the start; here the whole memory is in use from the first
    task on, and shares shrink as classes come.
 2. The decay of the mean is not known to us.
 3. Features of exemplars are those at the weights when they came; they are not computed again. Those of past tasks keep their
    distances from the mean at the end of the task.
 4. With several passes over a task (`protocol.epochs`), a sample that is already an exemplar does not enter again; the others
    are considered in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metacl_run.algorithms.online.exemplar_learner import NOTHING, ExemplarLearner, ExemplarState
from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.bounds import Momentum, Steps
from metacl_run.core.errors import require_all
from metacl_run.core.types import Metrics, Observation, Params, Samples, WeightedSamples
from metacl_run.models.network import HEAD, Network
from metacl_run.models.split_network import SplitNetwork

NO_GROUP = -1
"""The group of a free place, and of a class that the current task has not had yet."""


class MofState(ExemplarState):
    """The exemplars in groups, one for every class of every task, and the mean features of classes. C outputs, F features."""

    group: Tensor
    """[memory] int64, the groups of the exemplars."""
    size: Tensor
    """[memory] int64, the exemplars in the group of each; 0 for a free place."""
    features: Tensor
    """[memory, F] at the weights when they came."""
    distance: Tensor
    """[memory] squared, from the mean of their class."""
    means: Tensor
    """[C, F]."""
    group_of: Tensor
    """[C] int64, the group of each class in the current task."""
    num_groups: Tensor
    """int64, the groups so far."""


@dataclass(frozen=True, kw_only=True)
class MeanOfFeatures(ExemplarLearner[MofState]):
    """Steps on batches of the stream, and on exemplars near the mean of their class's features. For classes only.

    Attributes:
        updates: steps for each batch, each with a new draw.
        decay: part of its mean that a class keeps at every sample.
    """

    updates: Steps
    decay: Momentum

    def __post_init__(self) -> None:
        require_all(*self.steps_fit(), self.replay_fits())

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.exemplar_spec(self.updates)

    def init(self, network: Network, params: Params, num_tasks: int) -> MofState:
        network.refuse_real_targets(self, "algo=er or another")
        weight = params[SplitNetwork(network, params, [HEAD]).last[0]]
        exemplars = self.no_exemplars(weight.device)
        return {
            **self.start(params),
            "exemplars": exemplars,
            "group": torch.full_like(exemplars, NO_GROUP),
            "size": torch.zeros_like(exemplars),
            "features": weight.new_zeros(self.memory, weight.shape[1]),
            "distance": weight.new_zeros(self.memory),
            "means": torch.zeros_like(weight),
            "group_of": torch.full((network.ways,), NO_GROUP, device=weight.device),
            "num_groups": exemplars.new_zeros(()),
        }

    def observe(self, network: Network, state: MofState, observed: Observation) -> tuple[MofState, Metrics]:
        state, loss = self.stepped(network, state, observed, self.updates)
        split = SplitNetwork(network, state["params"], [HEAD])
        with torch.no_grad():
            features = split.frozen(state["params"], observed.batch.x)
        for number, label, own in zip(observed.number, observed.batch.y, features, strict=True):
            state = self._competed(state, number, label, own)
        return state, {"loss": loss}

    def _competed(self, state: MofState, number: Tensor, label: Tensor, own: Tensor) -> MofState:
        """The state after one sample, which may have become an exemplar; `own` [F] are its features."""
        exemplars, means, group_of, num_groups = state["exemplars"], state["means"], state["group_of"], state["num_groups"]
        is_class = torch.arange(len(means), device=means.device) == label
        earlier = group_of.index_select(0, label.unsqueeze(0)).squeeze(0)
        is_new = earlier == NO_GROUP
        group = torch.where(is_new, num_groups, earlier)
        moved = self.decay * means.index_select(0, label.unsqueeze(0)).squeeze(0) + (1 - self.decay) * own
        mean = torch.where(is_new, own, moved)

        in_group = state["group"] == group
        distance = torch.where(in_group, (state["features"] - mean).square().sum(1), state["distance"])
        own_distance, size, free = (own - mean).square().sum(), state["size"], exemplars == NOTHING
        has_room, has_fewer = free.any(), in_group.sum() + 1 < size.amax()
        gives_way = torch.where(has_fewer, size == size.amax(), in_group)
        farthest = distance.masked_fill(~gives_way, -torch.inf)
        place = torch.where(has_room, free.to(torch.int8).argmax(), farthest.argmax())
        enters = (has_room | has_fewer | (own_distance < farthest.amax())) & (exemplars != number).all()
        takes = (torch.arange(self.memory, device=exemplars.device) == place) & enters

        left = state["group"].index_select(0, place.unsqueeze(0))
        after = torch.where(takes, group, state["group"])
        size = torch.where(enters & ~has_room & (state["group"] == left), size - 1, size)
        return {
            **state,
            "exemplars": torch.where(takes, number, exemplars),
            "group": after,
            "size": torch.where(after == group, (after == group).sum(), size),
            "features": torch.where(takes.unsqueeze(1), own, state["features"]),
            "distance": torch.where(takes, own_distance, distance),
            "means": torch.where(is_class.unsqueeze(1), mean, means),
            "group_of": torch.where(is_class, group, group_of),
            "num_groups": num_groups + is_new,
        }

    def choose(
        self, network: Network, state: MofState, candidates: Samples, number: Tensor, exemplars: WeightedSamples
    ) -> MofState:
        return {**state, "group_of": torch.full_like(state["group_of"], NO_GROUP)}
