"""A run that has ended, as a learner: its config built again, and the state that it learned."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.evaluation import compose_evaluation
from metacl_run.config.load import Experiment, TrainedRun
from metacl_run.core.errors import StorageError
from metacl_run.core.types import Pytree
from metacl_run.protocols.train_state import TrainState
from metacl_run.runtime.own_code import own_code
from metacl_run.storage.completed_run import completed_run
from metacl_run.storage.run_files import CHECKPOINT, CHOICES
from metacl_run.storage.run_state import changed_modules
from metacl_run.storage.store import RunStore

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
    experiment = compose_evaluation(trained, run.config, choices, overrides, user_folder)
    code = own_code([experiment.algo, experiment.model, experiment.protocol])
    if changed := ", ".join(name for name in changed_modules(directory, code) if name in code):
        log.warning(
            "%s: %s was changed since; what the run learned is used with the code that there is now", directory, changed
        )
    return experiment


def learned_state(directory: Path) -> Pytree:
    """Reads the learner's state at the end of a run, leaves [R, ...] on the CPU.

    Raises:
        StorageError: the checkpoint is missing or damaged.
    """
    content, warnings = RunStore(directory).load_checkpoint(lambda _: None)
    if content is None:
        raise StorageError(
            warnings[0] if warnings else f"{directory / CHECKPOINT}: is missing; rerun=true computes the run again"
        )
    return TrainState.from_content(content).learner
