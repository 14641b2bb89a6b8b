"""The state that did best on validation (`protocol.keep=best`): every replicate has its own.

What is tested, saved and used afterwards is then the state of the evaluation at which a replicate's validation score was best,
the first of equals. Until it is returned to, it is part of the run's state, so that a run that continues chooses as one that
never stopped.

Shapes: R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.core.types import Pytree

Keep: TypeAlias = Literal["last", "best"]
"""Which state is tested and saved."""


@dataclass(frozen=True, kw_only=True)
class BestState:
    """The best state so far.

    Attributes:
        learner: leaves [R, ...].
        score: [R] float64, its validation score; NaN where there was none yet.
        unit: [R] int64, the units that were done then.
    """

    learner: Pytree
    score: Tensor
    unit: Tensor

    @classmethod
    def better_of(cls, best: BestState | None, learner: Pytree, score: Tensor, unit: int, *, higher: bool) -> BestState:
        """The better of `best` and the state `learner` with the scores [R], for every replicate.

        Args:
            unit: of `learner`.
            higher: whether a higher score is better. NaN is worse than any number.
        """
        score, units = score.double().cpu(), torch.full((len(score),), unit)
        if best is None:
            return cls(learner=tree_map(torch.clone, learner), score=score, unit=units)
        gained = score > best.score if higher else score < best.score
        wins = gained | (best.score.isnan() & ~score.isnan())

        def chosen(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(wins.to(new.device).reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return cls(
            learner=tree_map(chosen, learner, best.learner),
            score=chosen(score, best.score),
            unit=chosen(units, best.unit),
        )
