"""Continual-MAML (Caccia et al. 2020, OSAKA, arXiv 2003.05856, algorithm 1) and its baselines, for a stream whose tasks recur.

theta is the initialisation, phi are the fast weights, and (x, y) is the batch of step t, which phi has just predicted:

    L = loss(phi; x, y),  phi = adapt(theta; the batch of step t - 1)
    switch if  loss(adapt(theta; x, y); x, y) + switch_margin <= L
    if not switch:  theta <- a step of the outer optimiser on w(L) * grad_theta L
    phi <- adapt(theta; x, y)

w(L) is 1 (update=always), 1 - exp(-update_scale * L) (smooth: the paper's update modulation), or 1 where L > update_scale
(threshold). At a switch, phi was adapted to another task, so that its loss says nothing about theta.

  maml_osaka      update=never, pre-trained: theta stays; anil_osaka adapts the head alone
  sgd_osaka       stream_inner_steps=0, update=always: theta is trained on the stream and predicts, nothing adapts
  finetune_osaka  the same after pre-training

Differences from the paper and its code (ElementAI/osaka, branch camera_ready):
 1. phi is adapted again after theta has moved; in that code it is adapted before, and stays one update behind.
 2. The first batch is predicted by theta itself and counts; in that code it counts as 0.
 3. A hard threshold compares as theirs; with update=smooth and a switch margin this is their method "ours_kwto".
 4. inner_lr=null learns a rate for each element; theirs has one for each tensor of parameters (rates_of=tensors).
 5. The stream starts with a new outer optimiser; in that code, Adam goes on with the moments of pre-training.
 6. Pre-training takes a fixed number of updates; theirs ends when accuracy on held-out classes has not improved for a while.
 7. In the paper w(L) scales the rate of theta; here it scales the gradient, before the outer optimiser. With SGD without
    momentum these are the same; Adam, the default, divides by the size of past gradients, so that a constant w(L) cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.algorithms.osaka.task_free_learner import Observed
from metacl_run.algorithms.osaka.updating_maml import UpdatingMaml
from metacl_run.core.errors import require_all
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.inner.states import chosen
from metacl_run.models.network import Network


@dataclass(frozen=True, kw_only=True)
class ContinualMaml(UpdatingMaml):
    """Adapts to every batch from its initialisation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._adapts:
            return
        no_switch = "must be null with stream_inner_steps=0: nothing adapts, so that no switch can be seen"
        nothing = "must be another one with stream_inner_steps=0: nothing would be learned"
        require_all(
            (self.switch_margin is None, "switch_margin", self.switch_margin, no_switch),
            (self.update != "never", "update", self.update, nothing),
        )

    @property
    def _adapts(self) -> bool:
        return self.stream_inner_steps > 0

    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        slow = self.stream_maml.start(network, params, rates)
        last = {"x": torch.zeros_like(batch.x), "y": torch.zeros_like(batch.y)} if self._adapts else {}
        return {"slow": slow, "fast": params, "last": last, "has_last": torch.zeros((), dtype=torch.bool)}

    def observe(self, network: Network, state: Pytree, batch: Observed) -> tuple[Pytree, Tensor]:
        slow, has_last = state["slow"], state["has_last"]
        before = network.loss(state["fast"], *batch.pair)
        switch = torch.zeros_like(before, dtype=torch.bool)
        if self.switch_margin is not None:
            trial = self.adapted(network, slow, batch.pair)
            switch = has_last & (network.loss(trial, *batch.pair) + self.switch_margin <= before)
        if self.update != "never":
            learns = ~switch & (has_last if self._adapts else torch.ones_like(has_last))
            slow = self._updated(network, slow, state["last"], batch, learns)
        fast = self.adapted(network, slow, batch.pair) if self._adapts else slow["meta"]["params"]
        last = {"x": batch.x, "y": batch.y} if self._adapts else {}
        return {"slow": slow, "fast": fast, "last": last, "has_last": torch.ones_like(has_last)}, switch.to(before.dtype)

    def _updated(self, network: Network, slow: MetaState, last: Pytree, batch: Observed, learns: Tensor) -> MetaState:
        """The initialisation after a step against the gradient of the loss that it led to, where it `learns`."""
        support = (last["x"], last["y"]) if self._adapts else batch.pair
        episode = Episode.of_sets(support, batch.pair)
        moved, counts = self.step(slow, self.stream_maml.episode_update(network, slow["meta"], slow["carry"], episode))
        after: MetaState = chosen(learns & counts, moved, slow)
        return after
