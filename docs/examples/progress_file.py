"""A logger: one line of text for every evaluation, in a file that other programs can follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.storage.listener import Listener, Logger, RunInfo
from metacl_run.storage.stored_run import StoredRun


@dataclass(frozen=True, kw_only=True)
class ProgressFile(Logger):
    """Attributes: path: of the file, which is appended to."""

    path: str

    def listener(self) -> Listener:
        return ProgressListener(Path(self.path))


class ProgressListener(Listener):
    """Receives what is on disk already: a logger that fails loses nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._info: RunInfo

    def started(self, info: RunInfo) -> None:
        self._info = info
        self._write("started")

    def record(self, record: dict[str, Any]) -> None:
        if record["kind"] == "eval":
            self._write(f"unit {record['unit']}: {self._info.score} {np.nanmean(record[self._info.score]):.3f}")

    def finished(self, run: StoredRun) -> None:
        self._write(run.status)

    def _write(self, words: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._info.algo} {self._info.run_id} {words}\n")
