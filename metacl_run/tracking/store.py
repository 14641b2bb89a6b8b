"""The run directory: plain files, written first, whole after any kill.

    config.yaml           the resolved config
    metrics.jsonl         one record a line, appended; cut back to the checkpoint's position when a run goes on
    accuracy_matrix.npy   float64 [replicates, tasks + 1, tasks], NaN where not reached
    accuracy_matrix_transductive.npy   the same with all queries of an episode together, where that differs
    checkpoint.pt         tensors and builtins with a digest of their own, `checkpoint.previous.pt` the one before
    summary.json          written when the run ends, whatever its status
    run.log               what was said while running

Small files are written beside their place and renamed into it. A lock keeps a second process out of a run in progress.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from torch.utils._pytree import keystr, tree_flatten_with_path

from metacl_run.errors import OtherVersionError, RunIsLockedError, StorageError
from metacl_run.files import beside, storage_errors, sync, write_atomically
from metacl_run.tracking.archive import CONFIG, LOCK, MATRIX, METRICS, SUMMARY, TRANSDUCTIVE_MATRIX, read
from metacl_run.tracking.listener import Listener

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
LOG = "run.log"
LOOK = 0.5
"""Seconds to wait for the lock: `archive.is_locked` takes it for a moment to look."""


class RunStore:
    """One run's directory. Use as a context manager: it holds the run's lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listeners: Sequence[Listener] = ()
        self._lock = filelock.FileLock(directory / LOCK, timeout=LOOK)
        self._metrics: Any = None

    def __enter__(self) -> RunStore:
        with storage_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except filelock.Timeout:
                raise RunIsLockedError(
                    f"{self.directory}: another process is computing this run. "
                    "Wait for it, then give the command again to see it."
                ) from None
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
            beside(self.directory / (TRANSDUCTIVE_MATRIX if transductive else MATRIX)) as temporary,
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

    def summary(self) -> dict[str, Any] | None:
        """What an earlier process left, or None (never finished, or unreadable).

        Raises:
            OtherVersionError: another version left it.
        """
        try:
            return read(self.directory).summary
        except OtherVersionError:
            raise
        except StorageError:
            return None

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
                    "Remove the run's directory to compute it anew."
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
        """The records written so far, by this process and those before."""
        with storage_errors(self.directory):
            return [json.loads(line) for line in (self.directory / METRICS).read_text().splitlines()]

    @property
    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""
        return self._metrics.tell()

    # ----------------------------------------------------------------------------------------------------- checkpoints

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        """Replaces the checkpoint, keeping the one before. `content`: nested dicts, lists, tensors and builtins."""
        with storage_errors(self.directory):
            os.fsync(self._metrics.fileno())
            path = self.directory / CHECKPOINT
            temporary = self.directory / f".{CHECKPOINT}.new"
            try:
                torch.save({"content": content, "digest": _digest(content)}, temporary)
                sync(temporary)
                if path.exists():
                    os.replace(path, self.directory / PREVIOUS)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def load_checkpoint(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that is whole, or None; and a warning for each one that is not."""
        warnings: list[str] = []
        for name in (CHECKPOINT, PREVIOUS):
            path = self.directory / name
            if not path.exists():
                continue
            try:
                stored = torch.load(path, weights_only=True, map_location="cpu")
                if stored["digest"] == _digest(stored["content"]):
                    return stored["content"], warnings
                reason = "its content does not match its digest"
            except Exception as error:  # what unpickling garbage raises is anybody's guess
                reason = f"it cannot be read ({type(error).__name__})"
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
