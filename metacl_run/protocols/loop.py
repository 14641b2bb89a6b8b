"""What every protocol's training loop does alike: where it is in the stream, records, evaluations, checkpoints, the end.

A protocol gives a subclass of `Loop` four things: a fresh state, a step, the scores of a state, and what happens between
two tasks. All of a run's position is in one `Position` (position.py), which a checkpoint holds whole.
Shapes: R replicates, T tasks.
"""

from __future__ import annotations

import abc
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.types import Pytree
from metacl_run.kernels import build
from metacl_run.protocols.base import Evaluations, Outcome, Run, Status
from metacl_run.protocols.evaluation_rows import EVERYTHING, Rows
from metacl_run.protocols.train_state import Position
from metacl_run.scoring.metric_table import TRANSDUCTIVE
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

log = logging.getLogger("metacl_run")


class Evaluation(NamedTuple):
    """What an evaluation gave."""

    scores: Tensor
    """[R, T] float64, of every task."""
    half_width: Tensor | None = None
    """[R, T] float64, 95% half-widths over what was evaluated; None where it was a single thing."""
    transductive: Evaluation | None = None
    """The same with all queries of an episode together; None where that is no different."""


class Loop(abc.ABC):
    """One run of a protocol. Subclasses load their stream in `__init__` and then call this one's.

    Args:
        run: the components, where results go, and whether to stop.
        task_names: [R][T].
        units_per_task, log_every, eval_every, checkpoint_every: as the protocol's settings of those names.
        unit_name: what a unit is called in messages.
        rows: which tasks are evaluated when.
        notes: on the data; they become warnings of the run.
    """

    def __init__(
        self,
        run: Run,
        *,
        task_names: Sequence[Sequence[str]],
        units_per_task: int,
        unit_name: str,
        log_every: int,
        eval_every: int,
        checkpoint_every: float,
        rows: Rows = EVERYTHING,
        notes: Sequence[str] = (),
    ) -> None:
        self.run_ = run
        self.device, self.dtype = run.gpu.torch_device, run.gpu.dtype
        self.task_names = [list(names) for names in task_names]
        self.num_tasks = len(self.task_names[0])
        self.units_per_task, self.unit_name = units_per_task, unit_name
        self.total = self.num_tasks * units_per_task
        self.log_every, self.eval_every, self.checkpoint_every = log_every, eval_every, checkpoint_every
        self.rows = rows
        self.notes = list(notes)

    # ------------------------------------------------------------------------------------------- what a protocol defines

    objective: Objective = CLASSIFICATION
    """What scores and losses are; its score names them in the records."""

    @abc.abstractmethod
    def fresh_states(self) -> list[Pytree]:
        """The state of each replicate before any learning."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Gets ready to step from `self.position`: chooses chunks (see `Position.settled`), compiles."""

    @abc.abstractmethod
    def step(self, unit: int) -> dict[str, Tensor]:
        """Does one unit of work on `self.position.state`; returns training metrics, each [R], "loss" among them."""

    @abc.abstractmethod
    def scores(self, tasks: range, *, whole: bool) -> Evaluation:
        """The score of these K tasks.

        `whole` is false for a probe within a task, which may look at less.
        """

    chance: float | None = None
    """The accuracy of a guess, for whoever reads the scores; None where it is not one number."""

    forward_transfer = True
    """Whether a task's score before it is learned says something; see `data.streams.base.SampleStream.new_outputs`."""

    probes_look_at_less = False
    """Whether it does. Then, where there are probes within tasks, one is taken at the end of each task as well, for others to
    be compared with."""

    @property
    def shown_tasks(self) -> list[list[str]]:
        """[R] the tasks as they are announced, each of `units_per_task` units."""
        return self.task_names

    def task_ended(self, task: int) -> None:  # noqa: B027
        """What happens to the state when a task's last unit is done, before it is evaluated. Default: nothing."""

    def look_inside(self, task: int | None) -> dict[str, Any] | None:
        """What to record about the learner at this evaluation: the task that has just ended, or None. Default: nothing."""
        return None

    # ----------------------------------------------------------------------------------------------------------- the loop

    def run(self) -> Outcome:
        store = self.run_.store
        self.position = self._resume()
        store.open_records(self.position.bytes)
        store.check_records(self.position.unit - self.position.summed)
        store.write_matrix(self.position.matrix.numpy())
        if self.position.transductive:
            store.write_matrix(self.position.transductive["matrix"].numpy(), transductive=True)
        with self._same_kernels():
            return self._train()

    def _train(self) -> Outcome:
        self.prepare()
        self.run_.started(self.shown_tasks, self.position.unit, self.units_per_task, self.chance)
        if self.position.error is not None:  # killed after the checkpoint of a diverged run, before its summary
            return self._outcome("diverged")
        self.begin()
        status: Status = "completed"
        saved = time.monotonic()
        while self.position.unit < self.total and status == "completed":
            if self.run_.stop_requested():
                status = "interrupted"
                break
            if self.advance():
                self.look_around()
            else:
                status = "diverged"
            if time.monotonic() - saved >= self.checkpoint_every:
                self._save()
                saved = time.monotonic()
        self._save()
        return self._outcome(status)

    def begin(self) -> None:
        """What comes before the first unit, or has come before a run goes on. Default: accuracy before any learning."""
        if not self.position.evaluations:
            self._evaluate(row=0)

    def advance(self) -> bool:
        """One unit of work and, where one is due, its record; False when the run has diverged."""
        position, begun = self.position, time.monotonic()
        metrics = self.step(position.unit)
        position.unit += 1
        if self._within == 0:
            self.task_ended(self._task)
        position.summed += 1
        position.sums = metrics if position.sums is None else tree_map(torch.add, position.sums, metrics)
        due = position.summed >= self.log_every or self._evaluation_due
        averaged = {name: (total / position.summed).tolist() for name, total in position.sums.items()} if due else None
        position.train_s += time.monotonic() - begun
        if averaged is None:
            return True
        position.sums, position.summed = None, 0
        self._record("train", metrics=averaged)
        position.error = self._diverged(averaged)
        return position.error is None

    def look_around(self) -> None:
        """What follows a unit: an evaluation, where one is due."""
        if self._evaluation_due:
            self._evaluate(row=None if self._within else self._task + 1)

    def _evaluate(self, row: int | None) -> None:
        position, begun = self.position, time.monotonic()
        tasks = self.rows.within(self._task, self.num_tasks) if row is None else self.rows.at_end(row, self.num_tasks)
        found, name = self.scores(tasks, whole=row is not None), self.objective.score_name
        also = self.probes_look_at_less and self._probes and row is not None
        probe = self.scores(tasks, whole=False).scores.cpu() if also else None  # comparable with those within tasks
        position.evaluate_s += time.monotonic() - begun
        position.evaluations += 1
        position.half_width = self._of_all(found.half_width, tasks)
        if self._probes:
            looked_at = self._of_all(found.scores if probe is None else probe, tasks)
            position.probes = _appended(position.probes, looked_at)
            position.probe_tasks.append(self._task)
        if row is not None:
            position.matrix[:, row] = self._of_all(found.scores, tasks)
            self.run_.store.write_matrix_row(row, position.matrix[:, row].numpy())
        partial = {} if len(tasks) == self.num_tasks else {"tasks": list(tasks)}
        content = {name: found.scores.tolist(), "ci95": _rounded(found.half_width)}
        content |= {} if probe is None else {"probe": probe.tolist()}
        together = {} if found.transductive is None else self._kept(found.transductive, tasks, row)
        self._record("eval", row=row, **partial, **content, **together)
        begun = time.monotonic()
        seen = self.look_inside(None if row in (None, 0) else row - 1)  # type: ignore[operator]
        if seen is not None:
            position.insight_s += time.monotonic() - begun
            self._record("insight", row=row, **seen)

    @property
    def _probes(self) -> bool:
        """Whether there are evaluations within tasks."""
        return 0 < self.eval_every < self.units_per_task

    def _of_all(self, values: Tensor | None, tasks: range) -> Any:
        """[R, K] values of these tasks as [R, T] on the CPU, NaN for the others; None stays."""
        if values is None:
            return None
        found = torch.full((len(values), self.num_tasks), torch.nan, dtype=torch.float64)
        found[:, tasks.start : tasks.stop] = values.cpu()
        return found

    def _kept(self, found: Evaluation, tasks: range, row: int | None) -> dict[str, Any]:
        """Keeps what a transductive evaluation gave; what the record says of it."""
        kept = self.position.transductive
        if not kept:
            empty = torch.empty(0, dtype=torch.float64)
            kept |= {"matrix": torch.full_like(self.position.matrix, torch.nan), "probes": empty}
        kept["half_width"] = self._of_all(found.half_width, tasks)
        if self._probes:
            kept["probes"] = _appended(kept["probes"], self._of_all(found.scores, tasks))
        if row is not None:
            kept["matrix"][:, row] = self._of_all(found.scores, tasks)
            self.run_.store.write_matrix(kept["matrix"].numpy(), transductive=True)
        return {
            f"{TRANSDUCTIVE}{self.objective.score_name}": found.scores.tolist(),
            f"{TRANSDUCTIVE}ci95": _rounded(found.half_width),
        }

    # ----------------------------------------------------------------------------------------------- position and records

    @property
    def _task(self) -> int:
        """The task being learned, or just learned."""
        return max(0, self.position.unit - 1) // self.units_per_task

    @property
    def _within(self) -> int:
        """Units done of the task being learned; 0 when one has just ended."""
        return self.position.unit % self.units_per_task

    @property
    def _evaluation_due(self) -> bool:
        return self._within == 0 or (self.eval_every > 0 and self._within % self.eval_every == 0)

    def _record(self, kind: str, **content: Any) -> None:
        position = self.position
        seconds = round(position.train_s + position.evaluate_s + position.insight_s, 3)
        self.run_.store.record({"kind": kind, "unit": position.unit, "task": self._task, "wall_s": seconds, **content})

    def _diverged(self, metrics: dict[str, list[float]]) -> str | None:
        """What to say when a replicate's loss, or what it has learned, is no longer finite."""
        finite = np.isfinite(metrics["loss"])
        for leaf in tree_leaves(self.position.state):
            finite &= leaf.isfinite().reshape(len(finite), -1).all(1).cpu().numpy()
        bad = [seed for seed, good in zip(self.run_.seeds, finite, strict=True) if not good]
        if not bad:
            return None
        which = "" if len(self.run_.seeds) == 1 else f" for seeds {bad}"
        return (
            f"the training loss or the state is not finite at {self.unit_name} {self.position.unit}{which}. "
            f"{self.remedy}, usually helps."
        )

    remedy = "A smaller learning rate"

    def _resume(self) -> Position:
        states = self.fresh_states()
        matrix = torch.full((len(states), self.num_tasks + 1, self.num_tasks), torch.nan, dtype=torch.float64)
        fresh = Position(state=tree_map(lambda *leaves: torch.stack(leaves), *states), matrix=matrix)
        content, warnings = self.run_.store.load_checkpoint(fresh.check)
        position = fresh if content is None else Position(**content)
        news = [*warnings, *(note for note in self.notes if note not in position.warnings)]
        for warning in news:
            log.info("warning: %s", warning)  # into run.log; the terminal says it with the results
        position.warnings += news
        return self.run_.ranks.from_first(position).to(self.device)

    def _same_kernels(self) -> contextlib.AbstractContextManager[None]:
        """Keeps to the kernels that the run was begun with, without which the rounding differs; or says that it cannot."""
        position = self.position
        if position.kernels == build.OFF:
            return build.without()
        here = build.name() if self.device.type == "cpu" else build.OFF
        if position.kernels not in ("", here):
            warning = (
                f"the run was begun with the compiled kernels {position.kernels} and goes on with "
                f"{'torch operations' if here == build.OFF else here}: its numbers are right, but from here on they may differ "
                "in the last digits from those of a run that was never interrupted"
            )
            log.warning("%s", warning)
            position.warnings.append(warning)
        position.kernels = here
        return contextlib.nullcontext()

    def _save(self) -> None:
        self.position.bytes = self.run_.store.position
        self.run_.store.save_checkpoint(vars(self.position.to(torch.device("cpu"))))

    def _outcome(self, status: Status) -> Outcome:
        position = self.position
        return Outcome(
            status=status,
            evaluations=_evaluations(position.matrix, position.probes, position.half_width),
            transductive=_evaluations(**position.transductive) if position.transductive else None,
            probe_tasks=position.probe_tasks,
            task_names=self.task_names,
            units_per_task=self.units_per_task,
            chance=self.chance,
            forward_transfer=self.forward_transfer,
            train_s=position.train_s,
            evaluate_s=position.evaluate_s,
            insight_s=position.insight_s,
            units=position.unit,
            error=position.error,
            warnings=position.warnings,
            kernels=position.kernels,
            forecast=position.settled.get("forecast", {}),
        )


def _rounded(values: Tensor | None) -> list[list[float]] | None:
    """As lists, to four decimals, of which a half-width has no use for more."""
    return None if values is None else values.double().cpu().numpy().round(4).tolist()


def _appended(probes: Tensor, scores: Tensor) -> Tensor:
    """[P + 1, R, T]"""
    return torch.cat([probes, scores[None]]) if len(probes) else scores[None]


def _evaluations(matrix: Tensor, probes: Tensor, half_width: Tensor | None) -> Evaluations:
    return Evaluations(matrix.numpy(), probes.numpy(), np.array([]) if half_width is None else half_width.numpy())
