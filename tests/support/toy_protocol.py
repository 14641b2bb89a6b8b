"""The smallest protocol: a number that moves to each task's target, for tests of what all protocols share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from metacl_run.protocols.evaluation_rows import EvaluationRows
from metacl_run.protocols.evaluator import Evaluator, MatrixEvaluator
from metacl_run.protocols.loop import Phase, run_phases
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.resume import start_or_resume
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.protocols.trainer import Trainer
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.ranks import ALONE
from metacl_run.scoring.scores import MSE, Score
from metacl_run.storage.store import RunStore

TARGETS = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
"""[T] by task."""
UNITS = 4
"""Of a task."""
STARTS = [torch.tensor(0.0, dtype=torch.float64), torch.tensor(8.0, dtype=torch.float64)]
"""[R]."""


class Halving(Trainer):
    """A unit halves the distance to the task's target; the end of a task adds 0.125."""

    def count_examples(self, units: range) -> int:
        return len(units)

    def step(self, learner: Tensor, unit: int) -> tuple[Tensor, dict[str, Tensor]]:
        distance = TARGETS[unit // UNITS] - learner
        return learner + distance / 2, {"loss": distance.square()}

    def end_task(self, learner: Tensor, task: int) -> Tensor:
        return learner + 0.125


class SquaredDistance(Scorer):
    """Compares the number with the targets; a probe rounds to whole numbers."""

    @property
    def score(self) -> Score:
        return MSE

    @property
    def probes_are_partial(self) -> bool:
        return True

    def scores(self, learner: Tensor, tasks: range, *, whole: bool) -> Evaluation:
        distances = (learner[:, None] - TARGETS[list(tasks)]).square()
        return Evaluation(distances if whole else distances.round())


def toy_context(store: RunStore, stop_requested: Callable[[], bool] = lambda: False) -> RunContext[Any, Any, Any]:
    gpu: Any = SimpleNamespace(torch_device=torch.device("cpu"))
    parts: dict[str, Any] = {"algo": None, "model": None, "data": None, "pool": None, "insight": "none"}
    return RunContext(
        **parts, gpu=gpu, seeds=[0, 1], store=store, ranks=ALONE, stop_requested=stop_requested, started=lambda *_, **__: None
    )


def toy_run(
    directory: Path,
    *,
    learners: Sequence[Any] = (),
    trainer: Trainer | None = None,
    scorer: Scorer | None = None,
    evaluator: Callable[[Progress], Evaluator] | None = None,
    more_phases: Callable[[Progress], list[Phase]] = lambda _: [],
    log_every: int = 3,
    stop_after: int | None = None,
    checkpoint_every: float = 1e9,
) -> tuple[str, Progress]:
    """Runs the protocol from the start or the last checkpoint, with two replicates."""
    with RunStore(directory) as store:
        context = toy_context(store, lambda: stop_after is not None and state.unit >= stop_after)
        state = start_or_resume(context, lambda: learners or STARTS, len(TARGETS), [])
        progress = Progress(context=context, state=state, num_tasks=len(TARGETS), units_per_task=UNITS)
        if evaluator is None:
            own: Evaluator = MatrixEvaluator(
                progress=progress, scorer=scorer or SquaredDistance(), rows=EvaluationRows(), eval_every=2
            )
        else:
            own = evaluator(progress)
        training = TrainingPhase(
            trainer=trainer or Halving(),
            evaluator=own,
            progress=progress,
            unit_name="step",
            log_every=log_every,
            first=lambda: state.learner,
        )
        phases = [training, *more_phases(progress)]
        return run_phases(progress, phases, checkpoint_every=checkpoint_every), progress


def toy_records(directory: Path) -> list[dict[str, Any]]:
    """The records of a toy run, without times."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "wall_s"} for line in lines]
