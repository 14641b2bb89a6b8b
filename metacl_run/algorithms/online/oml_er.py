"""Meta-learning with sparse experience replay: OML-ER, ANML-ER.

    metacl-run algo=oml_er data=intents                 # or algo=anml_er model=text_gated

Holla, Mishra, Yannakoudakis, Shutova 2020 (arXiv 2009.04891, algorithm 1). The stream is cut into episodes. An episode has
support batches, from which the plastic part learns, then a query set, on which the whole network learns:

    phi_0 = theta;  phi_{j+1} = phi_j - inner_lr * grad L(phi_j; support batch j)           only the plastic part moves
    theta <- outer step on grad L(phi_last; query)                                  taken at phi_last: first order

The query set is the next batch of the stream; in every `replay_every`-th episode it is drawn from memory instead. To predict,
the plastic part takes the same steps from theta on samples drawn from memory.

  oml_er    plastic=[head]: the body is learned by the meta-update alone (OML, Javed and White 2019, arXiv 1905.12588)
  anml_er   plastic=[body, head] of a network with a branch that gates the features, which the meta-update alone learns (ANML,
            Beaulieu et al. 2020, arXiv 2002.09571)

Differences from the paper and its code:
 1. The paper trains BERT, and for ANML-ER a second BERT. Here the network is any model; for texts, text_head or text_gated on
    the features of a frozen encoder.
 2. An observation is an episode. If an episode replays, its last batch goes to memory and is not learned; in the released code
    it would be the first of the next episode's support set. No episode extends over the end of a task.
 3. The memory is a reservoir of `memory` samples (Vitter 1985, algorithm R). The paper's memory holds the whole stream, as here
    if memory >= samples of the stream.
 4. The parameters that predict are adapted at the end of every episode, on samples drawn from the memory as it was before that
    episode, so that they are the same for all later evaluations and in `load(...).learner()`.
 5. Adam has no weight decay. By default the outer loop uses plain SGD, as do ER and the other online methods here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from annotated_types import MinLen
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.stream_learner import ReplaySpec, StreamLearner, StreamState
from metacl_run.core.bounds import Count, Examples, Momentum, Positive, added_setting
from metacl_run.core.errors import ConfigError, require_all
from metacl_run.core.types import Metrics, Observation, Params, Pytree, Samples, WeightedSamples
from metacl_run.inner.adapt import Loss, adapt
from metacl_run.inner.optimizers import Optimizer, Sgd, clipped_update, optimizer_of
from metacl_run.models.network import Network

QUERY, PREDICTION = 0, 1
"""The use of each draw from memory."""


class EpisodicReplayState(StreamState):
    """`params` predict; they are `meta` after the steps on samples drawn from memory."""

    meta: Params
    """theta, where every episode starts."""
    optimizer: Pytree
    """The outer optimiser's state."""
    episodes: Tensor
    """Episodes so far, float64."""


@dataclass(frozen=True, kw_only=True)
class EpisodicReplay(ReplayBuffer, StreamLearner[EpisodicReplayState]):
    """First-order meta-learning on episodes of the stream, at intervals with a query set from memory.

    Attributes:
        inner_batch: samples of an inner step; an observation is several support batches of this size and one query batch.
        inner_lr: rate of the inner SGD.
        outer_lr: rate of the outer optimiser.
        outer_optimizer: "adam" or "sgd".
        outer_momentum: momentum of "sgd", as in torch.optim.SGD; 0: none.
        plastic: groups of parameters, attributes of the network, that learn in the inner steps.
        replay: samples of a query set drawn from memory.
        replay_every: in every `replay_every`-th episode, the query set is drawn from memory. The paper replays a share r of the
            stream every N samples: replay = r * N and replay_every = (N / inner_batch + 1) / batches of an episode.
    """

    inner_batch: Examples
    inner_lr: Positive
    outer_lr: Positive
    outer_optimizer: Literal["adam", "sgd"]
    outer_momentum: Momentum = field(metadata=added_setting("outer_momentum", off=0.0))
    plastic: Annotated[list[str], MinLen(1)]
    replay_every: Count

    def __post_init__(self) -> None:
        batch, inner = self.batch_size, self.inner_batch
        whole = batch % inner == 0 and batch >= 2 * inner
        parts = (
            f"must divide batch_size={batch} into two parts or more: the last is the query batch, the others the support set"
        )
        support = f"must be at least the {batch - inner} samples that the plastic part learns from before it predicts"
        require_all(
            (whole, "inner_batch", inner, parts),
            (self.memory >= batch - inner, "memory", self.memory, support),
            (
                self.outer_momentum == 0 or self.outer_optimizer == "sgd",
                "outer_momentum",
                self.outer_momentum,
                "must be 0 with outer_optimizer=adam, which has moments of its own",
            ),
            self.replay_fits(),
        )

    @property
    def _outer(self) -> Optimizer:
        return optimizer_of(self.outer_optimizer, self.outer_momentum)

    @property
    def _support(self) -> int:
        """Samples of a support set."""
        return self.batch_size - self.inner_batch

    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        return self.buffer_spec(2, size=max(self.replay, self._support))

    def init(self, network: Network, params: Params, num_tasks: int) -> EpisodicReplayState:
        network.refuse_running_averages(self, "predicts with parameters that no batch of training has passed")
        self._plastic(network, params)
        episodes = torch.zeros((), dtype=torch.float64)
        return {"params": params, "meta": params, "optimizer": self._outer.init(params), "episodes": episodes}

    def learned_params(self, state: EpisodicReplayState) -> Params:
        return state["meta"]

    def observe(
        self, network: Network, state: EpisodicReplayState, observed: Observation
    ) -> tuple[EpisodicReplayState, Metrics]:
        meta, episodes = state["meta"], state["episodes"] + 1
        *support, query = observed.batch.chunks(self.inner_batch)
        adapted = self._adapted(network, network.loss, meta, support)
        query_set = self._query_set(query, observed.draw(QUERY).at(slice(self.replay)), episodes)
        gradient, loss = grad_and_value(network.weighted_loss)(adapted, *query_set)
        meta, optimizer = clipped_update(self._outer, gradient, state["optimizer"], meta, self.outer_lr, norm=None, value=None)
        memory = observed.draw(PREDICTION)
        steps = [memory.at(slice(start, start + self.inner_batch)) for start in range(0, self._support, self.inner_batch)]
        params = self._adapted(network, network.weighted_loss, meta, steps)
        return {"params": params, "meta": meta, "optimizer": optimizer, "episodes": episodes}, {"loss": loss}

    def _query_set(self, query: Samples, replayed: WeightedSamples, episodes: Tensor) -> WeightedSamples:
        """The batch of the stream and the draw, of which one counts: the draw in every `replay_every`-th episode, unless the
        memory is still empty."""
        replays = (episodes % self.replay_every == 0) & (replayed.weight.sum() > 0)
        both = replayed.after(query)
        is_drawn = torch.arange(len(both.weight), device=both.weight.device) >= len(query.task)
        return both._replace(weight=torch.where(is_drawn == replays, both.weight, 0.0))

    def _adapted(self, network: Network, loss: Loss, params: Params, batches: Iterable[Sequence[Any]]) -> Params:
        """The parameters after a step of SGD on every batch; one without a sample moves nothing."""
        plastic = self._plastic(network, params)
        moved, _ = adapt(loss, params, batches, optimizer=Sgd(), rate=self.inner_lr, plastic=plastic, first_order=True)
        return moved

    def _plastic(self, network: Network, params: Params) -> list[str]:
        groups = list(dict.fromkeys(name.split(".")[0] for name in params))
        if unknown := [group for group in self.plastic if group not in groups]:
            raise ConfigError(
                f"algo.plastic=[{','.join(self.plastic)}]: {type(network.module).__name__} has no group of parameters "
                f"{', '.join(unknown)}. Groups: {', '.join(groups)}"
            )
        return [name for name in params if name.split(".")[0] in self.plastic]
