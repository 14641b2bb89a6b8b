"""Opens a run that has completed: the only kind that has a learner to use."""

from __future__ import annotations

from pathlib import Path

from metacl_run.core.errors import OtherVersionError, StorageError
from metacl_run.core.version import __version__
from metacl_run.storage.find_runs import check_is_run
from metacl_run.storage.stored_run import StoredRun


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
        can_go_on = run.status in ("interrupted", "failed") and run.summary["command"]
        again = f"; its command continues it: {run.summary['command']}" if can_go_on else ""
        raise StorageError(f"{directory}: the run is {run.status}, and only a completed one has a learner to use{again}")
    version = (run.summary["environment"] or {}).get("metacl_run", "0.1")
    if version != __version__:
        raise OtherVersionError(
            f"{directory}: version {version} computed this run, and this is {__version__}, which may store learners otherwise. "
            f"Compute it again, or use it with pip install metacl-run=={version}"
        )
    return run
