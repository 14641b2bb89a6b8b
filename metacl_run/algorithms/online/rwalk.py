"""Riemannian walk (RWalk): EWC++ whose penalty also counts how much each parameter lowered the loss for the distance it went.

    metacl-run algo=rwalk data=rotated_mnist

Chaudhry, Dokania, Ajanthan, Torr 2018 (arXiv 1801.10112, section 4). Beside what `ewc_pp` does, d being the step taken
and D how far the parameter went in an interval:

    path   <- path - g * d                                       at every update
    new    <- new + max(0, path / (F * D^2 / 2 + damping))       at the end of an interval, before F changes; then path <- 0
    scores <- earlier_scores * scores + new / 2                  at the end of a task; of the first: new; then new <- 0
    loss = L + strength * sum of (unit(F) + unit(scores)) * (theta - theta~)^2

Differences from the paper, beside those of `ewc_pp`:
 1. The first interval of all has F = 0, as in the code of A-GEM.
 2. The paper averages the scores of the earlier tasks and of the last one (`earlier_scores` 0.5). That code adds this average
    to the earlier scores (1.5), so that the first tasks weigh most. It leaves out the factor 1/2 before F, which makes its
    damping of 0.001 that of 0.0005 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.running_fisher import RunningFisher, RunningFisherState, to_unit
from metacl_run.core.bounds import NonNegative, Positive
from metacl_run.core.types import Params, Samples
from metacl_run.models.network import Network


class RiemannianWalkState(RunningFisherState):
    """That of EWC++, and the scores."""

    path: Params
    since: Params
    """The parameters at the beginning of the interval, and at the end of the last task."""
    new: Params
    scores: Params
    tasks: Tensor
    """[] int64, tasks learned."""


@dataclass(frozen=True, kw_only=True)
class RiemannianWalk(RunningFisher[RiemannianWalkState]):
    """SGD with a quadratic penalty, weighted by a moving average of the Fisher information and by scores of the path.

    Attributes:
        damping: keeps scores finite where a parameter hardly moved (epsilon).
        earlier_scores: factor of the scores of earlier tasks when half of those of a task are added.
    """

    damping: Positive
    earlier_scores: NonNegative

    def init(self, network: Network, params: Params, num_tasks: int) -> RiemannianWalkState:
        state, zeros = super().init(network, params, num_tasks), tree_map(torch.zeros_like, params)
        return {**state, "path": zeros, "since": params, "new": zeros, "scores": zeros, "tasks": state["updates"]}

    def updated_averages(
        self, gradient: Params, before: RiemannianWalkState, moved: RiemannianWalkState, ends: Tensor
    ) -> dict[str, Any]:
        def walked(path: Tensor, g: Tensor, now: Tensor, then: Tensor) -> Tensor:
            return torch.addcmul(path, g, now - then, value=-1)

        def scored(new: Tensor, path: Tensor, fisher: Tensor, now: Tensor, since: Tensor) -> Tensor:
            distance = torch.addcmul(damping, fisher, (now - since).square(), value=0.5)
            return torch.addcdiv(new, path.clamp(min=0) * ends, distance)

        damping, params = torch.full_like(ends, self.damping), moved["params"]
        path = tree_map(walked, before["path"], gradient, params, before["params"])
        return {
            **super().updated_averages(gradient, before, moved, ends),
            "new": tree_map(scored, before["new"], path, before["fisher"], params, before["since"]),
            "path": tree_map(lambda total: total * (1 - ends), path),
            "since": tree_map(lambda since, now: torch.lerp(since, now, ends), before["since"], params),
        }

    def end_task(self, network: Network, state: RiemannianWalkState, samples: Samples) -> RiemannianWalkState:
        state = super().end_task(network, state, samples)

        def added(scores: Tensor, new: Tensor) -> Tensor:
            return torch.where(state["tasks"] == 0, new, self.earlier_scores * scores + new / 2)

        scores, zeros = tree_map(added, state["scores"], state["new"]), tree_map(torch.zeros_like, state["new"])
        importance = tree_map(torch.add, state["importance"], to_unit(scores))
        begun = {"path": zeros, "new": zeros, "since": state["params"], "tasks": state["tasks"] + 1}
        return {**state, "importance": importance, "scores": scores, **begun}  # type: ignore[typeddict-item]
