"""A run that has ended, as a learner: its config built again, and the state that it learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.evaluation import compose_evaluation
from metacl_run.config.load import Experiment, TrainedRun
from metacl_run.core.errors import OtherVersionError, StorageError
from metacl_run.core.types import Pytree
from metacl_run.core.version import __version__
from metacl_run.protocols.train_state import TrainState
from metacl_run.storage.find_runs import check_is_run
from metacl_run.storage.run_files import CHECKPOINT
from metacl_run.storage.store import RunStore
from metacl_run.storage.stored_run import StoredRun

GROUPS = ("algo", "model", "data", "protocol")


def completed_run(directory: Path) -> StoredRun:
    """Opens a run of this version that has completed.

    Raises:
        StorageError: it is no run directory, the run has not completed, or another version computed it.
    """
    if not directory.is_dir():
        raise StorageError(f"{directory}: there is no such folder")
    check_is_run(directory)
    run = StoredRun(directory)
    if run.status != "completed":
        again = f"; its command continues it: {run.summary['command']}" if run.summary["command"] else ""
        raise StorageError(f"{directory}: the run is {run.status}, and only a completed one has a learner to use{again}")
    version = (run.summary["environment"] or {}).get("metacl_run", "0.1")
    if version != __version__:
        raise OtherVersionError(
            f"{directory}: version {version} computed this run, and this is {__version__}, which may store learners otherwise. "
            f"Compute it again, or use it with pip install metacl-run=={version}"
        )
    return run


def evaluation_of(directory: Path, overrides: Sequence[str] = (), user_folder: str | None = None) -> Experiment:
    """Composes the evaluation of a run.

    Raises:
        UserError: the run cannot be evaluated, or not with these settings.
    """
    run = completed_run(directory)
    if run.summary["evaluation_of"] is not None:
        raise StorageError(
            f"{directory}: is an evaluation itself; evaluate the run, {run.summary['evaluation_of']['directory']}"
        )
    choices = {group: str(run.summary[group]) for group in GROUPS}
    trained = TrainedRun(directory.absolute(), str(run.summary["run_id"]))
    return compose_evaluation(trained, run.config, choices, overrides, user_folder)


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
