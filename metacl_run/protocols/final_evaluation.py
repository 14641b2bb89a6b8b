"""The evaluation of a learner that has finished learning: the only phase of a run that trains nothing.

Shapes: R replicates, T tasks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metacl_run.protocols.loop import Phase
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.score_history import ScoreHistory
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.metric_table import TRANSDUCTIVE


@dataclass(frozen=True, kw_only=True)
class FinalEvaluation(Phase):
    """Fills the last row of the accuracy matrix; the other rows stay empty. A unit is the evaluation of one task.

    Attributes:
        scorer: measures the learner.
        progress: of the run.
    """

    scorer: Scorer
    progress: Progress

    @property
    def length(self) -> int:
        return self.progress.num_tasks

    def step(self, unit: int) -> int:
        state, begun = self.progress.state, time.monotonic()
        evaluation = self.scorer.scores(state.learner, range(unit, unit + 1), whole=True)
        _keep(state.scores, evaluation, unit)
        if evaluation.transductive is not None:
            if state.transductive is None:
                state.transductive = ScoreHistory.empty(len(evaluation.scores), self.progress.num_tasks)
            _keep(state.transductive, evaluation.transductive, unit)
        state.evaluations += 1
        state.evaluate_s += time.monotonic() - begun
        return 1

    def after_step(self) -> None:
        state, num_tasks = self.progress.state, self.progress.num_tasks
        done = state.unit
        tasks = range(num_tasks) if done == num_tasks else range(done - 1, done)
        name = self.scorer.score.score_name
        content: dict[str, Any] = {"tasks": list(tasks), name: _last_row(state.scores, tasks).tolist()}
        if state.transductive is not None:
            content[f"{TRANSDUCTIVE}{name}"] = _last_row(state.transductive, tasks).tolist()
        store = self.progress.context.store
        if done == num_tasks:
            store.write_matrix(state.scores.matrix.numpy())
            if state.transductive is not None:
                store.write_matrix(state.transductive.matrix.numpy(), transductive=True)
        self.progress.record("eval", row=num_tasks if done == num_tasks else None, **content)


def _keep(history: ScoreHistory, evaluation: Evaluation, task: int) -> None:
    half_width = None if evaluation.half_width is None else evaluation.half_width[:, 0]
    history.set_final(task, evaluation.scores[:, 0], half_width)


def _last_row(history: ScoreHistory, tasks: range) -> Tensor:
    """[R, len(tasks)]."""
    return history.matrix[:, -1, tasks.start : tasks.stop]
