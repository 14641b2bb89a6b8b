"""Keeps the best state (`best_state.BestState`) while a learner is trained, and returns to it.

Shapes: R replicates, K returns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metacl_run.protocols.best_state import BestState
from metacl_run.protocols.evaluator import Evaluator
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.scorer import Scorer


def keep_better(progress: Progress, score: Tensor, *, higher: bool) -> None:
    """Keeps the learner as it is where its validation scores [R] are better than the best so far."""
    state = progress.state
    state.best = BestState.better_of(state.best, state.learner, score, state.unit, higher=higher)


def return_to_best(progress: Progress) -> None:
    """Makes the best state the learner, as `MetaLearner.returned` says, and adds when it was best to
    `TrainState.results["kept"]`."""
    state = progress.state
    assert state.best is not None
    state.learner = progress.context.algo.returned(state.best.learner, state.learner)
    state.results.setdefault("kept", []).append({"unit": state.best.unit.tolist(), "score": state.best.score.tolist()})
    state.best = None


def kept_details(progress: Progress) -> dict[str, Any]:
    """What the summary says of it: {"kept": {"unit": [R][K], "score": [R][K]}}, or {} where nothing was returned to."""
    returns = progress.state.results.get("kept", [])
    if not returns:
        return {}
    by_replicate = {
        name: [list(values) for values in zip(*(part[name] for part in returns), strict=True)] for name in returns[0]
    }
    return {"kept": by_replicate}


@dataclass(frozen=True, kw_only=True)
class KeepingEvaluator(Evaluator):
    """Measures the learner on validation before every evaluation, and at the end of a task returns to the best state in it,
    which is then evaluated.

    The score is the mean over the tasks learned so far, the current one among them: what is forgotten counts.

    Attributes:
        evaluator: evaluates.
        scorer: measures on validation.
        progress: of the run.
    """

    evaluator: Evaluator
    scorer: Scorer
    progress: Progress

    def begin(self) -> None:
        self.evaluator.begin()

    def is_due(self, units_done: int) -> bool:
        return self.evaluator.is_due(units_done)

    def evaluate(self) -> None:
        progress, state, begun = self.progress, self.progress.state, time.monotonic()
        scores = self.scorer.scores(state.learner, range(progress.task + 1), whole=True).scores.mean(1)
        state.evaluate_s += time.monotonic() - begun
        kind = self.scorer.score
        progress.record("validation", **{kind.score_name: scores.tolist()})
        keep_better(progress, scores, higher=kind.higher_is_better)
        if progress.units_into_task == 0:
            return_to_best(progress)
        self.evaluator.evaluate()
