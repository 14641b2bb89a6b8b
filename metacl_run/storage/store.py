"""The writer of run directories: plain files, written first, whole after any kill. `run_files.py` names them.

Small files are written beside their place and renamed into it; what a killed process has left half-written is removed at the
next start. A lock keeps a second process out of a run in progress.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.core.errors import StorageError
from metacl_run.core.files import atomic_replacement, remove_unfinished, storage_errors, sync, write_text_atomically
from metacl_run.core.types import Pytree
from metacl_run.storage.digested_file import read_digested, write_digested
from metacl_run.storage.earlier_results import EarlierResults
from metacl_run.storage.listener import Listener
from metacl_run.storage.lock import lock
from metacl_run.storage.records import COMPUTE_ANEW, read_records
from metacl_run.storage.run_files import (
    CHECKPOINT,
    CONFIG,
    DATA,
    FIGURES,
    LOCK,
    LOG,
    MATRIX,
    METRICS,
    OWN_CODE,
    PAPER,
    PREDICTIONS,
    PREVIOUS_CHECKPOINT,
    REFERENCES,
    ROLLOUTS,
    STREAM,
    SUMMARY,
    TASK_STATES,
    TRANSDUCTIVE_MATRIX,
)
from metacl_run.storage.run_writer import RunWriter
from metacl_run.storage.task_states import TaskStates

BEGUN = (CONFIG, OWN_CODE, DATA)
"""Written before anything is computed."""
COMPUTED = (
    SUMMARY,
    CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    METRICS,
    MATRIX,
    TRANSDUCTIVE_MATRIX,
    PREDICTIONS,
    ROLLOUTS,
    STREAM,
    REFERENCES,
)
"""The files that a run writes about its results."""


class RunStore(RunWriter):
    """One run's directory. Use as a context manager: it holds the run's lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listeners: list[Listener] = []
        """Those that have started; they receive every record."""
        self._metrics: Any = None
        self._is_discarded = False
        self._task_states = TaskStates(directory)
        self._earlier = EarlierResults(directory, (*COMPUTED, *BEGUN, TASK_STATES))

    def __enter__(self) -> RunStore:
        with storage_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.directory)
        try:
            for path in (self.directory / name for name in (*COMPUTED, *BEGUN, LOG)):
                if path.is_symlink() or (path.exists() and not path.is_file()):
                    what = "is a link, which is not written through" if path.is_symlink() else "is no file"
                    raise StorageError(f"{path}: {what}. Remove it, then give the command again")
            for folder in (self.directory, self.directory / FIGURES, self.directory / FIGURES / PAPER):
                remove_unfinished(folder)
            self._task_states.prepare()
            self._earlier.take_back()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._metrics is not None:
            self._metrics.close()
        gone = self._is_discarded and not self.has_set_aside
        self._earlier.take_back()
        if gone:
            for name in (*COMPUTED, *BEGUN, LOG):
                (self.directory / name).unlink(missing_ok=True)
            self._task_states.remove()
            if os.name != "nt":  # where a file that is open cannot go
                self._remove_directory()
        self._lock.release()
        if gone and os.name == "nt":
            self._remove_directory()

    def _remove_directory(self) -> None:
        """Removes the lock, and the directory unless there are files of others in it."""
        (self.directory / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    # ----------------------------------------------------------------------------------------------------- small files

    def write_config(self, text: str) -> None:
        write_text_atomically(self.directory / CONFIG, text)

    def write_own_code(self, sources: Mapping[str, str]) -> None:
        """Keeps the source of the user's own components, by module."""
        if sources:
            write_text_atomically(self.directory / OWN_CODE, json.dumps(sources, indent=2))

    def write_data(self, contents: Mapping[str, Any]) -> None:
        """Keeps what the files of the data held."""
        if contents:
            write_text_atomically(self.directory / DATA, json.dumps(contents) + "\n")

    @property
    def has_checkpoint(self) -> bool:
        return any((self.directory / name).exists() for name in (CHECKPOINT, PREVIOUS_CHECKPOINT))

    def write_matrix(self, matrix: np.ndarray, *, transductive: bool = False) -> None:
        path = self._matrix_path(transductive)
        with storage_errors(self.directory), atomic_replacement(path) as temporary, open(temporary, "wb") as file:
            np.save(file, matrix)

    def write_matrix_row(self, row: int, scores: np.ndarray, *, transductive: bool = False) -> None:
        with storage_errors(self.directory), open(self._matrix_path(transductive), "r+b") as file:
            np.lib.format.read_magic(file)
            (_, rows, tasks), _, _ = np.lib.format.read_array_header_1_0(file)
            first = file.tell()
            for replicate, values in enumerate(np.ascontiguousarray(scores, dtype=np.float64)):
                file.seek(first + (replicate * rows + row) * tasks * values.itemsize)
                file.write(values.tobytes())

    def write_predictions(self, predictions: dict[str, Any]) -> None:
        self._write_json(PREDICTIONS, predictions)

    def write_rollouts(self, rollouts: dict[str, Any]) -> None:
        self._write_json(ROLLOUTS, rollouts)

    def write_stream(self, arrays: dict[str, np.ndarray]) -> None:
        path = self.directory / STREAM
        with storage_errors(self.directory), atomic_replacement(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(finite(content), ensure_ascii=False, allow_nan=False) + "\n"
        write_text_atomically(self.directory / name, text)

    def _matrix_path(self, transductive: bool) -> Path:
        return self.directory / (TRANSDUCTIVE_MATRIX if transductive else MATRIX)

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes summary.json. The caller tells the listeners once the figures and the report are written as well."""
        text = json.dumps(finite(summary), indent=2, allow_nan=False) + "\n"
        write_text_atomically(self.directory / SUMMARY, text)

    def discard(self) -> None:
        """Leaves no directory behind at the end: the run was refused before it computed anything."""
        self._is_discarded = True

    def set_aside(self) -> None:
        """Makes the run start again from nothing. The results of an earlier computation are kept until it has begun; if it is
        refused or stopped before that, they are there again."""
        self._earlier.set_aside()

    @property
    def has_set_aside(self) -> bool:
        """Whether there are earlier results that may still be needed."""
        return self._earlier.are_aside

    def drop_set_aside(self) -> None:
        """Removes what was set aside: from here on the new computation counts."""
        self._earlier.drop()

    # --------------------------------------------------------------------------------------------------------- records

    def open_records(self, position: int) -> None:
        with storage_errors(self.directory):
            path = self.directory / METRICS
            size = path.stat().st_size if path.exists() else 0
            if size < position:
                raise StorageError(
                    f"{path} holds {size} bytes, but the checkpoint beside it was taken at {position}: somebody changed it. "
                    + COMPUTE_ANEW
                )
            self._metrics = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 - closed in __exit__
            self._metrics.truncate(position)
            self._metrics.seek(position)

    def record(self, record: dict[str, Any]) -> None:
        clean = finite(record)
        with storage_errors(self.directory):
            self._metrics.write(json.dumps(clean, allow_nan=False).encode() + b"\n")
            self._metrics.flush()
        for listener in self.listeners:
            listener.record(clean)

    def records(self) -> list[dict[str, Any]]:
        """Returns the records written so far, by this process and those before."""
        return read_records(self.directory / METRICS)

    def check_records(self, last_unit: int) -> None:
        records = self.records()
        end = records[-1]["unit"] if records else 0
        if end != last_unit:
            raise StorageError(
                f"{self.directory}: {METRICS} ends at unit {end}, but {CHECKPOINT} was taken after records up to unit "
                f"{last_unit}: they are not of one run. {COMPUTE_ANEW}"
            )

    @property
    def position(self) -> int:
        return int(self._metrics.tell())

    # ----------------------------------------------------------------------------------------------------- checkpoints

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        path = self.directory / CHECKPOINT
        with storage_errors(self.directory), atomic_replacement(path) as temporary:
            os.fsync(self._metrics.fileno())
            write_digested(temporary, content)
            sync(temporary)
            if path.exists():
                os.replace(path, self.directory / PREVIOUS_CHECKPOINT)

    def load_checkpoint(self, check: Callable[[Any], None]) -> tuple[dict[str, Any] | None, list[str]]:
        warnings: list[str] = []
        for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
            path = self.directory / name
            if not path.exists():
                continue
            try:
                content = read_digested(path)
                check(content)
                return content, warnings
            except ValueError as error:
                reason = str(error)
            older = name == CHECKPOINT and (self.directory / PREVIOUS_CHECKPOINT).exists()
            other = "the one before it is used" if older else "starting again"
            warnings.append(f"{path} is truncated or corrupted: {reason}; {other}")
        return None, warnings

    def announce_task_states(self, size: int, num_tasks: int, tasks_done: int) -> None:
        self._task_states.announce(size, num_tasks, tasks_done)

    def write_task_state(self, task: int, learner: Pytree) -> None:
        self._task_states.write(task, learner)

    def drop_previous_checkpoint(self) -> None:
        (self.directory / PREVIOUS_CHECKPOINT).unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Returns the same with NaN and infinities as None, since JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
