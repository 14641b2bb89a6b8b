"""Protocol `online` with a score of its own: accuracy on a task after a few steps on a few of its training samples.

A network that has forgotten a task may learn it again at once. The parameters are put back after the measurement.
Shapes: R replicates, K evaluated tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.bounds import Examples, Positive, Steps
from metacl_run.inner.optimizers import descend
from metacl_run.protocols.evaluation_rows import EvaluationRows
from metacl_run.protocols.evaluator import MatrixEvaluator
from metacl_run.protocols.loop import run_phases
from metacl_run.protocols.online.protocol import Context, Online
from metacl_run.protocols.online.setup import StreamSetup, params_of
from metacl_run.protocols.online.trainer import StreamTrainer
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_result import ProtocolResult, result_of
from metacl_run.protocols.resume import same_kernels, start_or_resume
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.protocols.training import TrainingPhase
from metacl_run.scoring.scores import Score


@dataclass(frozen=True, kw_only=True)
class OnlineRelearning(Online):
    """The settings of `online`, and those of relearning before every evaluation."""

    relearn_samples: Examples
    relearn_steps: Steps
    relearn_lr: Positive

    def run(self, context: Context) -> ProtocolResult:
        setup = StreamSetup.of(context, self.epochs)
        task_names = [list(names) for names in context.pool.task_names]
        state = start_or_resume(context, setup.initial_learners(), setup.num_tasks, list(context.pool.notes))
        progress = Progress(
            context=context,
            state=state,
            num_tasks=setup.num_tasks,
            units_per_task=setup.units_per_task,
            task_units=setup.units,
        )
        evaluator = MatrixEvaluator(
            progress=progress,
            scorer=RelearningScorer(setup, self),
            rows=EvaluationRows(every=self.rows_every, future=self.eval_future),
            eval_every=self.eval_every,
        )
        training = TrainingPhase(
            trainer=StreamTrainer(setup),
            evaluator=evaluator,
            progress=progress,
            unit_name=self.unit_name,
            log_every=self.log_every,
        )
        with same_kernels(state, setup.device):
            context.started(task_names, state.unit, setup.units_per_task, None, progress.task_units)
            status = run_phases(progress, [training], checkpoint_every=self.checkpoint_every)
        return result_of(progress, status, task_names=task_names, chance=None)


class RelearningScorer(Scorer):
    """The score on test samples after relearning."""

    def __init__(self, setup: StreamSetup, settings: OnlineRelearning) -> None:
        self._setup, self._settings = setup, settings

    @property
    def score(self) -> Score:
        return self._setup.network.objective

    def scores(self, learner: StreamState, tasks: range, *, whole: bool) -> Evaluation:
        replicates = range(len(self._setup.seeds))
        return Evaluation(torch.stack([torch.stack([self._score(learner, r, task) for task in tasks]) for r in replicates]))

    def _score(self, learner: StreamState, replicate: int, task: int) -> Tensor:
        setup, settings, network = self._setup, self._settings, self._setup.network
        numbers = setup.used.starts[task] + np.arange(min(settings.relearn_samples, setup.used.lengths[task]))
        samples, params = setup.gather(replicate, numbers).cast(setup.dtype), params_of(learner, replicate)
        for _ in range(settings.relearn_steps):
            params = descend(grad(network.loss)(params, *samples), params, settings.relearn_lr)
        test = setup.pool.test(task, None)[replicate].cast(setup.dtype)
        with torch.no_grad():
            return network.objective.scores(network(params, test.x, test.task), test.y).double().mean()
