"""The interface of a scorer: it measures how well a learner does on tasks, in whatever way.

A score may come from comparing outputs with targets or from acting, a policy rolled out in a simulator: the evaluator
does not know which.
Shapes: R replicates, K tasks.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

from torch import Tensor

from metacl_run.core.types import Pytree
from metacl_run.scoring.scores import Score


class Evaluation(NamedTuple):
    """The scores of a learner on K tasks."""

    scores: Tensor
    """[R, K] float64."""
    half_width: Tensor | None = None
    """[R, K] float64, 95% half-widths over what was evaluated; None where the score is one measurement."""
    transductive: Evaluation | None = None
    """The same with all queries of an episode together; None where that makes no difference."""

    def cpu(self) -> Evaluation:
        """The same on the CPU."""
        half_width = None if self.half_width is None else self.half_width.cpu()
        return Evaluation(self.scores.cpu(), half_width, None if self.transductive is None else self.transductive.cpu())


class Scorer(abc.ABC):
    """Measures a learner."""

    @property
    @abc.abstractmethod
    def score(self) -> Score:
        """The score; its name is the one in the records."""

    @property
    def probes_are_partial(self) -> bool:
        """Whether scores with `whole=False` are over fewer samples than those with `whole=True`. Default: they are the same."""
        return False

    @abc.abstractmethod
    def scores(self, learner: Pytree, tasks: range, *, whole: bool) -> Evaluation:
        """Scores a learner on some tasks.

        Args:
            learner: its state, leaves [R, ...].
            tasks: K of them, from 0.
            whole: false for a probe within a task, which may use fewer samples.
        """
