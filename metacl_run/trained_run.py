"""A run that has ended, as a learner: its config built again, and the state that it learned."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.evaluation import compose_evaluation
from metacl_run.config.load import Experiment, TrainedRun
from metacl_run.core.errors import ConfigError, DataError, StorageError
from metacl_run.core.types import Pytree
from metacl_run.protocols.train_state import TrainState
from metacl_run.runtime.own_code import own_code
from metacl_run.storage.completed_run import completed_run
from metacl_run.storage.run_files import CHECKPOINT, CHOICES
from metacl_run.storage.run_state import changed_data, changed_modules
from metacl_run.storage.store import RunStore
from metacl_run.storage.task_states import TaskStates

log = logging.getLogger("metacl_run")


def evaluation_of(directory: Path, overrides: Sequence[str] = (), user_folder: str | None = None) -> Experiment:
    """Composes the evaluation of a run.

    Raises:
        UserError: the run cannot be evaluated, or not with these settings.
    """
    run = completed_run(directory)
    if run.summary["evaluation_of"] is not None:
        raise StorageError(
            f"{directory}: is an evaluation itself. Take the run, {run.summary['evaluation_of']['directory']}, with the same "
            "settings: evaluate=... on the command line, run.learner(seed, overrides=[...]) in Python"
        )
    choices = {group: str(run.summary[group]) for group in CHOICES}
    trained = TrainedRun(directory.absolute(), str(run.summary["run_id"]))
    try:
        experiment = compose_evaluation(trained, run.config, choices, overrides, user_folder)
    except DataError as error:
        root = run.config["data"].get("root")
        if root is None or any(line.startswith(("data=", "data.root=")) for line in overrides):
            raise
        raise DataError(f"{error}\nThe run had data.root={root}. If its data lie elsewhere now: data.root=FOLDER") from None
    if not any(line.startswith("data=") for line in overrides):
        _refuse_changed_data(directory, experiment)
    code = own_code([experiment.algo, experiment.model, experiment.protocol])
    if changed := ", ".join(name for name in changed_modules(directory, code) if name in code):
        log.warning(
            "%s: %s was changed since; what the run learned is used with the code that there is now", directory, changed
        )
    return experiment


def _refuse_changed_data(directory: Path, experiment: Experiment) -> None:
    """Refuses files that are not those of the run: other examples may be held out now than when it learned."""
    if changed := changed_data(directory, experiment.data.source.contents()):
        raise ConfigError(
            f"{directory}: the files of its data have changed since it learned ({changed}), so what is held out now may have "
            "been learned. Put them back, or compute the run again with rerun=true"
        )


def learned_state(directory: Path, after_task: int | None = None) -> Pytree:
    """Reads the learner's state at the end of a run, or after one of its tasks; leaves [R, ...] on the CPU.

    Raises:
        StorageError: the file is missing or damaged.
    """
    if after_task is not None:
        return TaskStates(directory).read(after_task)
    content, warnings = RunStore(directory).load_checkpoint(lambda _: None)
    if content is None:
        raise StorageError(
            warnings[0] if warnings else f"{directory / CHECKPOINT}: is missing; rerun=true computes the run again"
        )
    return TrainState.from_content(content).learner
