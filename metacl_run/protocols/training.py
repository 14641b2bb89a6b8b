"""The phase of training: a trainer's units, their records, and the evaluations between them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Pytree
from metacl_run.protocols.cost import Cost, Work, cost_of
from metacl_run.protocols.evaluator import Evaluator
from metacl_run.protocols.loop import Phase
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_result import Status
from metacl_run.protocols.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class TrainingPhase(Phase):
    """Trains through all tasks.

    Attributes:
        trainer: does the units.
        evaluator: evaluates between them.
        progress: of the run.
        unit_name: the name of a unit in messages.
        log_every: units between two records of the training metrics. There is one also where work of another kind begins.
        first: makes the learner before any learning; what a unit costs is counted on it, since no task is over there.
    """

    trainer: Trainer
    evaluator: Evaluator
    progress: Progress
    unit_name: str
    log_every: int
    first: Callable[[], Pytree]

    @property
    def length(self) -> int:
        return self.progress.training_units

    def cost(self, status: Status) -> Cost | None:
        """What the training of a completed run cost; None for any other."""
        trainer, context = self.trainer, self.progress.context
        if status != "completed":
            return None
        countable = context.gpu.engine_kind in ("loop", "vmap") and context.ranks.count == 1
        learner = self.first()
        work = [self._work(learner, units) for units in trainer.alike(self.length) if units]
        return cost_of(work, self._ends(learner), replicates=len(context.seeds), countable=countable)

    def _work(self, learner: Pytree, units: range) -> Work:
        middle = functools.partial(self.trainer.trial, learner, units[len(units) // 2])
        return Work(len(units), self.trainer.count_examples(units), middle)

    def _ends(self, learner: Pytree) -> Work:
        """What is done at the ends of tasks."""
        tasks = self.progress.num_tasks
        middle = functools.partial(self.trainer.end_task, learner, tasks // 2)
        return Work(tasks, self.trainer.count_examples_at_end() * tasks, middle)

    def begin(self) -> None:
        if self.progress.context.checks_code:
            self.trainer.check(self.progress.state.learner, self.progress.state.unit)
        self.evaluator.begin()

    def step(self, unit: int) -> int:
        state, begun, units = self.progress.state, time.monotonic(), range(unit, unit + self._units_at_once(unit))
        state.learner, state.metric_sums = self.trainer.steps(state.learner, state.metric_sums, units)
        state.units_summed += len(units)
        state.train_s += time.monotonic() - begun
        return len(units)

    def _units_at_once(self, unit: int) -> int:
        """Units from this one to the end of the task, or to a record or an evaluation before it."""
        units = self.progress.units
        to_end = int(units.ends[units.task_at(unit)]) - unit
        most = max(1, min(self.trainer.at_once, self.log_every - self.progress.state.units_summed, to_end))
        return next((count for count in range(1, most) if self._is_recorded(unit + count)), most)

    def _is_recorded(self, units_done: int) -> bool:
        """Whether there is a record after so many units, however many it sums up: no record mixes kinds of work."""
        return self.evaluator.is_due(units_done) or units_done in self._changes

    @functools.cached_property
    def _changes(self) -> set[int]:
        """The units after which work of another kind begins."""
        return {units.stop for units in self.trainer.alike(self.length) if units} - {self.length}

    def after_step(self) -> None:
        state, begun = self.progress.state, time.monotonic()
        if self.progress.units_into_task == 0:
            state.learner = self.trainer.end_task(state.learner, self.progress.task)
        due = self.evaluator.is_due(self.progress.state.unit)
        averages = self._averages() if self._is_recorded(state.unit) or state.units_summed >= self.log_every else None
        state.train_s += time.monotonic() - begun
        if averages is not None:
            self.progress.record("train", metrics=averages)
            if "loss" not in averages:
                name = type(self.progress.context.algo).__name__
                raise ConfigError(f'algo: the metrics of {name} have no "loss"; they have {", ".join(averages) or "nothing"}')
            state.error = self._divergence(averages["loss"])
        if due and state.error is None:
            self.evaluator.evaluate()

    def _averages(self) -> dict[str, list[float]]:
        """The training metrics since the last record, each [R]; the sums start again."""
        state = self.progress.state
        sums = state.metric_sums or {}
        values = (torch.stack(list(sums.values())) / state.units_summed).tolist() if sums else []
        averages = dict(zip(sums, values, strict=True))
        state.metric_sums, state.units_summed = None, 0
        return averages

    def _divergence(self, losses: Sequence[float]) -> str | None:
        """The error where a replicate's loss or its learner is no longer finite; None where all are."""
        leaves = [leaf.reshape(len(losses), -1) for leaf in tree_leaves(self.progress.state.learner)]
        by_dtype = [[leaf for leaf in leaves if leaf.dtype == dtype] for dtype in dict.fromkeys(leaf.dtype for leaf in leaves)]
        of_dtypes = torch.stack([torch.cat(same, 1).isfinite().all(1) for same in by_dtype])
        finite = np.isfinite(losses) & of_dtypes.all(0).cpu().numpy()  # one wait for a card
        seeds = self.progress.context.seeds
        diverged = [seed for seed, is_finite in zip(seeds, finite, strict=True) if not is_finite]
        if not diverged:
            return None
        which = "" if len(seeds) == 1 else f" for {_listed(diverged)}"
        others = [str(seed) for seed in seeds if seed not in diverged]
        alone = f" The other seeds were finite: seeds=[{','.join(others)}] is a run of its own." if others else ""
        return (
            f"the training loss or the state is not finite at {self.unit_name} {self.progress.state.unit}{which}. "
            f"{_remedy(self.progress.context.algo)} usually helps.{alone}"
        )


def _listed(seeds: Sequence[int]) -> str:
    """ "seed 3", "seeds 0 and 3", "seeds 0, 1 and 3"."""
    *others, last = map(str, seeds)
    return f"seeds {', '.join(others)} and {last}" if others else f"seed {last}"


def _remedy(algo: Any) -> str:
    """What usually helps where a learner diverges, by the settings that its method has."""
    names = [setting.name for setting in dataclasses.fields(algo)] if dataclasses.is_dataclass(algo) else []
    rates = [f"algo.{name}" for name in names if name == "lr" or name.endswith("_lr")]
    others = ["algo.clip_norm=10"] if "clip_norm" in names else []
    return "A smaller " + " or ".join([*(rates or ["learning rate"]), *others])
