"""A learner that keeps meta-learning its initialisation in the stream: its settings, and how a loss determines its step.

Source: Caccia et al. 2020, OSAKA, arXiv 2003.05856, section 4 ("update modulation").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_learner import MetaState, Update
from metacl_run.algorithms.osaka.task_free_learner import MamlStart
from metacl_run.core.bounds import Positive
from metacl_run.core.errors import require_all
from metacl_run.core.types import Params, Pytree
from metacl_run.models.network import Network

UpdateRule = Literal["always", "smooth", "threshold", "never"]


@dataclass(frozen=True, kw_only=True)
class UpdatingMaml(MamlStart):
    """A learner with fast weights, and an initialisation that is updated in the stream.

    Attributes:
        update: how a loss L determines the step of the initialisation: "always": a whole step; "smooth": its gradient counts 1
            - exp(-update_scale * L); "threshold": a whole step if L > update_scale; "never": no step.
        update_scale: lambda of the paper; null unless update is smooth or threshold.
        switch_margin: gamma of the paper: a switch is detected if adapting lowers the loss by at least this much; null: no
            detection.
    """

    update: UpdateRule
    update_scale: Positive | None
    switch_margin: Positive | None

    def __post_init__(self) -> None:
        super().__post_init__()
        scaled = self.update in ("smooth", "threshold")
        allowed = f"must be a number with update={self.update}" if scaled else f"must be null with update={self.update}"
        require_all((scaled == (self.update_scale is not None), "update_scale", self.update_scale, allowed))

    @property
    def detects_switches(self) -> bool:  # type: ignore[override]
        return self.switch_margin is not None

    def begin(self, network: Network, state: Pytree) -> Pytree:
        slow = self.fresh_slow(state["slow"])
        return {**state, "slow": slow, "fast": slow["meta"]["params"]}

    def weights(self, network: Network, state: Pytree) -> Params:
        fast: Params = state["fast"]
        return fast

    def step(self, slow: MetaState, contribution: Update) -> tuple[MetaState, Tensor]:
        """Takes the step of the initialisation that its loss, the metric "loss" of the contribution, determines.

        Returns:
            the initialisation after it, and whether there is a step at all.
        """
        loss = contribution.metrics["loss"]
        weight, counts = torch.ones_like(loss), torch.ones_like(loss, dtype=torch.bool)
        if self.update == "smooth" and self.update_scale is not None:
            weight = 1 - torch.exp(-self.update_scale * loss)
        if self.update == "threshold" and self.update_scale is not None:
            counts = loss > self.update_scale
        direction = tree_map(lambda leaf: leaf * weight, contribution.direction)
        return self.stream_maml.outer_step(1, slow, contribution._replace(direction=direction)), counts
