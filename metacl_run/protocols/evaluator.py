"""Evaluators decide when a learner is evaluated and keep its scores; a scorer measures them.

Shapes: R replicates, T tasks.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metacl_run.protocols.evaluation_rows import EvaluationRows
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.recorder import Recorder
from metacl_run.protocols.score_history import ScoreHistory
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.metric_table import TRANSDUCTIVE


class Evaluator(abc.ABC):
    """Evaluates a learner before training and between its units."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Evaluates before any learning; does nothing in a run that continues."""

    @abc.abstractmethod
    def is_due(self, units_done: int) -> bool:
        """Whether an evaluation follows when so many units of training are done."""

    @abc.abstractmethod
    def evaluate(self) -> None:
        """Evaluates and records the scores."""


@dataclass(frozen=True, kw_only=True)
class MatrixEvaluator(Evaluator):
    """Fills the accuracy matrix: a row before any learning and after each task, probes within tasks.

    Attributes:
        progress: of the run.
        scorer: measures the learner.
        rows: which tasks are evaluated when.
        eval_every: units of a task between two probes; 0: none.
        recorders: record more of the learner after every evaluation, in this order.
    """

    progress: Progress
    scorer: Scorer
    rows: EvaluationRows
    eval_every: int
    recorders: Sequence[Recorder] = ()

    def begin(self) -> None:
        if not self.progress.state.evaluations:
            self._evaluate(row=0)

    def is_due(self, units_done: int) -> bool:
        done = self.progress.into_task(units_done)
        return done == 0 or (self.eval_every > 0 and done % self.eval_every == 0)

    def evaluate(self) -> None:
        self._evaluate(row=None if self.progress.units_into_task else self.progress.task + 1)

    @property
    def _has_probes(self) -> bool:
        """Whether there are evaluations within tasks."""
        return 0 < self.eval_every < self.progress.units_per_task

    def _evaluate(self, row: int | None) -> None:
        progress, state, begun = self.progress, self.progress.state, time.monotonic()
        num_tasks = progress.num_tasks
        tasks = self.rows.within(progress.task, num_tasks) if row is None else self.rows.at_end(row, num_tasks)
        evaluation = self.scorer.scores(state.learner, tasks, whole=row is not None).cpu()
        probe = self._probe_at_end(tasks, row)
        state.evaluate_s += time.monotonic() - begun
        state.evaluations += 1
        self._keep(state.scores, evaluation, tasks, row, probe)
        if self._has_probes:
            state.probe_tasks.append(progress.task)
        if row is not None:
            progress.context.store.write_matrix_row(row, state.scores.matrix[:, row].numpy())
        name = self.scorer.score.score_name
        content: dict[str, Any] = {} if len(tasks) == num_tasks else {"tasks": list(tasks)}
        content |= {name: evaluation.scores.tolist(), "ci95": _rounded(evaluation.half_width)}
        content |= {} if probe is None else {"probe": probe.tolist()}
        if evaluation.transductive is not None:
            self._keep_transductive(evaluation.transductive, tasks, row)
            content[f"{TRANSDUCTIVE}{name}"] = evaluation.transductive.scores.tolist()
            content[f"{TRANSDUCTIVE}ci95"] = _rounded(evaluation.transductive.half_width)
        progress.record("eval", row=row, **content)
        for recorder in self.recorders:
            recorder.record(row)

    def _probe_at_end(self, tasks: range, row: int | None) -> Tensor | None:
        """[R, K] at a row, scores on the same samples as the probes within tasks, to be compared with them; None where the
        row itself is comparable."""
        if row is None or not (self._has_probes and self.scorer.probes_are_partial):
            return None
        return self.scorer.scores(self.progress.state.learner, tasks, whole=False).scores.cpu()

    def _keep(
        self, history: ScoreHistory, evaluation: Evaluation, tasks: range, row: int | None, probe: Tensor | None = None
    ) -> None:
        history.set_half_width(tasks, evaluation.half_width)
        if self._has_probes:
            history.add_probe(tasks, evaluation.scores if probe is None else probe)
        if row is not None:
            history.set_row(row, tasks, evaluation.scores)

    def _keep_transductive(self, evaluation: Evaluation, tasks: range, row: int | None) -> None:
        state = self.progress.state
        if state.transductive is None:
            state.transductive = ScoreHistory.empty(len(evaluation.scores), self.progress.num_tasks)
            self.progress.context.store.write_matrix(state.transductive.matrix.numpy(), transductive=True)
        self._keep(state.transductive, evaluation, tasks, row)
        if row is not None:
            scores = state.transductive.matrix[:, row].numpy()
            self.progress.context.store.write_matrix_row(row, scores, transductive=True)


def _rounded(values: Tensor | None) -> list[list[float]] | None:
    """As lists with four decimals; a half-width needs no more."""
    if values is None:
        return None
    rounded: list[list[float]] = values.double().cpu().numpy().round(4).tolist()
    return rounded
