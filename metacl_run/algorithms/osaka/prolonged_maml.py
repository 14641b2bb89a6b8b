"""Continual-MAML with a prolonged adaptation phase (Caccia et al. 2020, OSAKA, arXiv 2003.05856, algorithm 1, "PAP").

The fast weights phi keep adapting from step to step until a switch is detected; the batches since the last switch are kept in a
buffer. (x, y) is the batch of step t, which phi has just predicted with loss L:

    phi <- adapt(theta; x, y) if the step before was a switch, else adapt(phi; x, y)
    switch if  loss(phi; x, y) + switch_margin <= L
    at a switch, or when the buffer is full:
        theta <- a step of the outer optimiser on w(M) * grad_theta M, and the buffer is emptied
    else (x, y) joins the buffer

    M = mean over i of loss(adapt(theta; batch i of the first half); batch i of the second half of the buffer)

Differences from the paper and its code (ElementAI/osaka, `observe_accumulate`, branch camera_ready):
 1. A buffer of n batches has pairs for the second half of it; an odd one leaves its middle batch without a pair, as theirs.
 2. The first batch is predicted by theta itself and counts; in that code it counts as 0.
 3. The buffer holds `buffer` batches, 20 by default; theirs holds twice as many as a batch has examples, so about 100 of 50.
 4. Differences 4 to 7 of `continual_maml.py` apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.osaka.task_free_learner import Observed
from metacl_run.algorithms.osaka.updating_maml import UpdatingMaml
from metacl_run.core.bounds import Examples
from metacl_run.core.errors import require_all
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.engine import Engine
from metacl_run.inner.states import chosen
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class ProlongedMaml(UpdatingMaml):
    """Keeps adapting to a task, and updates the initialisation when the task is over.

    Attributes:
        buffer: batches kept until the task ends; when the buffer is full, theta is updated anyway.
    """

    buffer: Examples

    waits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_all(
            (self.stream_inner_steps > 0, "stream_inner_steps", 0, "must be at least 1: the learner adapts"),
            (self.switch_margin is not None, "switch_margin", None, "must be a number: the end of a task has to be detected"),
            (self.update in ("always", "smooth"), "update", self.update, "must be always or smooth"),
        )

    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        waiting = {"x": batch.x, "y": batch.y}
        return {
            "slow": self.stream_maml.start(network, params, rates),
            "fast": params,
            "waiting": tree_map(lambda leaf: leaf.new_zeros(self.buffer, *leaf.shape), waiting),
            "count": torch.zeros((), dtype=torch.int64),
            "due": torch.zeros((), dtype=torch.bool),
            "starts": torch.ones((), dtype=torch.bool),
            "has_last": torch.zeros((), dtype=torch.bool),
        }

    def observe(self, network: Network, state: Pytree, batch: Observed) -> tuple[Pytree, Tensor]:
        slow, count = state["slow"], state["count"]
        before = network.loss(state["fast"], *batch.pair)
        afresh = self.adapted(network, slow, batch.pair)
        further = self.adapted(network, slow, batch.pair, start=state["fast"])
        fast = chosen(state["starts"], afresh, further)
        assert self.switch_margin is not None
        switch = state["has_last"] & (network.loss(fast, *batch.pair) + self.switch_margin <= before)
        due = (switch & (count > 0)) | (count == self.buffer)
        place = torch.arange(self.buffer, device=count.device)
        joins = (place == count) & ~due
        waiting = {
            name: torch.where(joins.view(-1, *[1] * value.dim()), value, state["waiting"][name])
            for name, value in (("x", batch.x), ("y", batch.y))
        }
        new = {
            "slow": slow,
            "fast": fast,
            "waiting": waiting,
            "count": torch.where(due, count, count + 1),
            "due": due,
            "starts": switch,
            "has_last": torch.ones_like(switch),
        }
        return new, switch.to(before.dtype)

    def is_due(self, state: Pytree) -> Tensor:
        due: Tensor = state["due"]
        return due

    def late_update(self, network: Network, engine: Engine, state: Pytree) -> Pytree:
        waiting, count = state["waiting"], int(state["count"])
        x, y = (waiting[name][:count] if count > 1 else waiting[name][:1].repeat_interleave(2, 0) for name in ("x", "y"))
        half, pairs = -(-len(x) // 2), len(x) // 2
        steps = torch.empty(pairs, 0, 0, dtype=torch.int64, device=x.device)
        episodes = Episode(x[:pairs], y[:pairs], x[half:], y[half:], steps)
        mean = self.stream_maml.mean_update(network, engine, state["slow"], episodes)
        slow, _ = self.step(state["slow"], mean)
        empty = {"count": torch.zeros_like(state["count"]), "due": torch.zeros_like(state["due"])}
        return {**state, "slow": slow, **empty}
