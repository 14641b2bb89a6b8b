"""The run directory: plain files, written first, whole after any kill.

    config.yaml           the resolved config
    metrics.jsonl         one record a line, appended; cut back to the checkpoint's position when a run goes on
    accuracy_matrix.npy   float64 [replicates, tasks + 1, tasks], NaN where not reached
    accuracy_matrix_transductive.npy   the same with all queries of an episode together, where that differs
    checkpoint.pt         tensors and builtins with a digest of their own, `checkpoint.previous.pt` the one before
    summary.json          written when the run ends, whatever its status
    run.log               the progress and what else was said, with times

Small files are written beside their place and renamed into it; what a killed process has left half-written is removed at the
next start. A lock keeps a second process out of a run in progress.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import keystr, tree_flatten_with_path

from metacl_run.core.errors import StorageError
from metacl_run.core.files import atomic_replacement, remove_unfinished, storage_errors, sync, write_atomically
from metacl_run.storage.archive import CONFIG, MATRIX, METRICS, SUMMARY, TRANSDUCTIVE_MATRIX
from metacl_run.storage.listener import Listener
from metacl_run.storage.lock import lock
from metacl_run.storage.run_log import LOG

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
FIGURES = "figures"
ANEW = "Remove the run's directory to compute it anew."
FILES = (CONFIG, METRICS, SUMMARY, CHECKPOINT, PREVIOUS, MATRIX, TRANSDUCTIVE_MATRIX, LOG)


class RunStore:
    """One run's directory. Use as a context manager: it holds the run's lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listeners: list[Listener] = []
        """Those that have started, and hear of every record."""
        self._metrics: Any = None

    def __enter__(self) -> RunStore:
        with storage_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.directory)
        try:
            for path in (self.directory / name for name in FILES):
                if path.is_symlink() or (path.exists() and not path.is_file()):
                    what = "is a link, which is not written through" if path.is_symlink() else "is no file"
                    raise StorageError(f"{path}: {what}. Remove it, then give the command again")
            for folder in (self.directory, self.directory / FIGURES):
                remove_unfinished(folder)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._metrics is not None:
            self._metrics.close()
        self._lock.release()

    # ----------------------------------------------------------------------------------------------------- small files

    def write_config(self, text: str) -> None:
        write_atomically(self.directory / CONFIG, text.encode())

    def write_matrix(self, matrix: np.ndarray, *, transductive: bool = False) -> None:
        with (
            storage_errors(self.directory),
            atomic_replacement(self.directory / (TRANSDUCTIVE_MATRIX if transductive else MATRIX)) as temporary,
            open(temporary, "wb") as file,
        ):
            np.save(file, matrix)

    def write_matrix_row(self, row: int, scores: np.ndarray) -> None:
        """Puts [R, T] in place of one row of the matrix that `write_matrix` left; whatever happens, the file can be read."""
        with storage_errors(self.directory), open(self.directory / MATRIX, "r+b") as file:
            np.lib.format.read_magic(file)
            (_, rows, tasks), _, _ = np.lib.format.read_array_header_1_0(file)
            first = file.tell()
            for replicate, values in enumerate(np.ascontiguousarray(scores, dtype=np.float64)):
                file.seek(first + (replicate * rows + row) * tasks * values.itemsize)
                file.write(values.tobytes())

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes summary.json; the listeners hear of it from the caller once the figures and the report stand as well."""
        text = json.dumps(finite(summary), indent=2, allow_nan=False) + "\n"
        write_atomically(self.directory / SUMMARY, text.encode())

    def clear(self) -> None:
        """Forgets an earlier computation of this run: it starts again from nothing."""
        with storage_errors(self.directory):
            for name in (SUMMARY, CHECKPOINT, PREVIOUS, METRICS, MATRIX, TRANSDUCTIVE_MATRIX):
                (self.directory / name).unlink(missing_ok=True)

    # --------------------------------------------------------------------------------------------------------- records

    def open_records(self, position: int) -> None:
        """Opens metrics.jsonl for appending after its first `position` bytes; what follows them is dropped."""
        with storage_errors(self.directory):
            path = self.directory / METRICS
            kept = path.stat().st_size if path.exists() else 0
            if kept < position:
                raise StorageError(
                    f"{path} holds {kept} bytes, but the checkpoint beside it was taken at {position}: somebody changed it. "
                    + ANEW
                )
            self._metrics = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 - closed in __exit__
            self._metrics.truncate(position)
            self._metrics.seek(position)

    def record(self, record: dict[str, Any]) -> None:
        """Appends one record to metrics.jsonl, then tells the listeners."""
        clean = finite(record)
        with storage_errors(self.directory):
            self._metrics.write(json.dumps(clean, allow_nan=False).encode() + b"\n")
            self._metrics.flush()
        for listener in self.listeners:
            listener.record(clean)

    def records(self) -> list[dict[str, Any]]:
        """The records written so far, by this process and those before.

        Raises:
            StorageError: they cannot be read.
        """
        path = self.directory / METRICS
        with storage_errors(self.directory):
            lines = path.read_bytes().splitlines()
        records = []
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if not ("kind" in record and isinstance(record["unit"], int)):
                    raise ValueError
            except (ValueError, TypeError, KeyError, RecursionError):
                raise StorageError(f"{path}: line {number} is no record: somebody changed it. {ANEW}") from None
            records.append(record)
        return records

    def check_records(self, last_unit: int) -> None:
        """Makes sure that the records end at the unit of work that the checkpoint says.

        Raises:
            StorageError: they end at another, or cannot be read.
        """
        records = self.records()
        found = records[-1]["unit"] if records else 0
        if found != last_unit:
            raise StorageError(
                f"{self.directory}: {METRICS} ends at unit {found}, but {CHECKPOINT} was taken after records up to unit "
                f"{last_unit}: they are not of one run. {ANEW}"
            )

    @property
    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""
        return self._metrics.tell()

    # ----------------------------------------------------------------------------------------------------- checkpoints

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        """Replaces the checkpoint, keeping the one before. `content`: nested dicts, lists, tensors and builtins."""
        path = self.directory / CHECKPOINT
        with storage_errors(self.directory), atomic_replacement(path) as temporary:
            os.fsync(self._metrics.fileno())
            torch.save({"content": content, "digest": _digest(content)}, temporary)
            sync(temporary)
            if path.exists():
                os.replace(path, self.directory / PREVIOUS)

    def load_checkpoint(self, check: Callable[[Any], None]) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that is whole, or None; and a warning for each one that is not.

        Args:
            check: raises ValueError, with the reason, for content that does not belong to this run.
        """
        warnings: list[str] = []
        for name in (CHECKPOINT, PREVIOUS):
            path = self.directory / name
            if not path.exists():
                continue
            try:
                content = _content(path)
                check(content)
                return content, warnings
            except ValueError as error:
                reason = str(error)
            older = name == CHECKPOINT and (self.directory / PREVIOUS).exists()
            other = "the one before it is used" if older else "starting again"
            warnings.append(f"{path} is truncated or corrupted: {reason}; {other}")
        return None, warnings

    def drop_previous_checkpoint(self) -> None:
        (self.directory / PREVIOUS).unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """The same with NaN and infinities as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _content(path: Path) -> Any:
    """What a checkpoint holds; raises ValueError, with the reason, where it is not whole."""
    try:
        stored = torch.load(path, weights_only=True, map_location="cpu")
        whole = stored["digest"] == _digest(stored["content"])
    except Exception as error:  # what unpickling garbage raises is anybody's guess
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    if not whole:
        raise ValueError("its content does not match its digest")
    return stored["content"]


def _digest(content: Any) -> str:
    """SHA-256 over structure, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for path, leaf in tree_flatten_with_path(content)[0]:
        digest.update(keystr(path).encode())
        if isinstance(leaf, torch.Tensor):
            digest.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            digest.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()
