"""Continual-MAML (Caccia et al. 2020, OSAKA, arXiv 2003.05856, algorithm 1) and its baselines, for a stream whose tasks recur.

With theta the initialisation, phi the fast weights and (x, y) the batch of step t, which phi has just predicted:

    L = loss(phi; x, y),  phi = adapt(theta; the batch of step t - 1)
    switch if  loss(adapt(theta; x, y); x, y) + switch_margin <= L
    if not switch:  theta <- theta - outer_lr * w(L) * grad_theta L
    phi <- adapt(theta; x, y)

w(L) is 1 (update=always), 1 - exp(-update_scale * L) (smooth: the paper's update modulation), or 1 where L > update_scale
(threshold). After a switch phi was adapted to another task, so that its loss says nothing about theta.

  maml_osaka      update=never, pre-trained: theta stays; anil_osaka adapts the head alone
  sgd_osaka       stream_inner_steps=0, update=always: theta is trained on the stream and predicts, nothing adapts
  finetune_osaka  the same after pre-training

Differences from the released code (ElementAI/osaka, branch camera_ready):
 1. phi is adapted again after theta has moved, as on its main branch; there, phi stays one update behind.
 2. The first batch is predicted by theta itself and counts; there, it counts as 0.
 3. A hard threshold compares as theirs; with update=smooth and a switch margin this is their method "ours_kwto".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.algorithms.osaka.task_free_learner import MamlStart, Observed, chosen
from metacl_run.core.bounds import Positive
from metacl_run.core.errors import require_all
from metacl_run.core.types import Episode, Params, Pytree
from metacl_run.models.network import Network

UpdateRule = Literal["always", "smooth", "threshold", "never"]


@dataclass(frozen=True, kw_only=True)
class ContinualMaml(MamlStart):
    """Adapts to every batch from an initialisation that goes on being meta-learned.

    Attributes:
        update: how a loss decides the step of theta, see above.
        update_scale: lambda of the paper; null unless update is smooth or threshold.
        switch_margin: gamma of the paper, by how much adapting must lower the loss for a switch; null: none are detected.
    """

    update: UpdateRule
    update_scale: Positive | None
    switch_margin: Positive | None

    def __post_init__(self) -> None:
        super().__post_init__()
        scaled = self.update in ("smooth", "threshold")
        text = f"must be a number with update={self.update}" if scaled else f"must be null with update={self.update}"
        nothing = "must be null with stream_inner_steps=0: nothing adapts, so that no switch can be seen"
        require_all(
            (scaled == (self.update_scale is not None), "update_scale", self.update_scale, text),
            (self.stream_inner_steps > 0 or self.switch_margin is None, "switch_margin", self.switch_margin, nothing),
            (
                self.stream_inner_steps > 0 or self.update != "never",
                "update",
                self.update,
                "must be another one with stream_inner_steps=0: nothing would be learned",
            ),
        )

    @property
    def detects_switches(self) -> bool:  # type: ignore[override]
        return self.switch_margin is not None

    def init(self, network: Network, params: Params, rates: Tensor, batch: Observed) -> Pytree:
        slow = self.stream_maml.start(network, params, rates)
        last = {"x": torch.zeros_like(batch.x), "y": torch.zeros_like(batch.y)} if self._adapts else {}
        return {"slow": slow, "fast": params, "last": last, "has_last": torch.zeros((), dtype=torch.bool)}

    @property
    def _adapts(self) -> bool:
        return self.stream_inner_steps > 0

    def begin(self, network: Network, state: Pytree) -> Pytree:
        slow = self.fresh_slow(state["slow"])
        return {**state, "slow": slow, "fast": slow["meta"]["params"]}

    def weights(self, network: Network, state: Pytree) -> Params:
        fast: Params = state["fast"]
        return fast

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
        contribution = self.stream_maml.episode_update(network, slow["meta"], slow["carry"], episode)
        weight, counts = self.weight(contribution.metrics["loss"])
        direction = tree_map(lambda leaf: leaf * weight, contribution.direction)
        moved = self.stream_maml.outer_step(1, slow, contribution._replace(direction=direction))
        after: MetaState = chosen(learns & counts, moved, slow)
        return after

    def weight(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """The factor of a gradient by its loss, and whether there is a step at all."""
        always = torch.ones_like(loss, dtype=torch.bool)
        if self.update_scale is None:
            return torch.ones_like(loss), always
        if self.update == "smooth":
            return 1 - torch.exp(-self.update_scale * loss), always
        return torch.ones_like(loss), loss > self.update_scale
