"""The interface of listeners to a run. The store writes every record to disk first: losing a listener loses nothing."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from metacl_run.storage.stored_run import StoredRun


class RunInfo(NamedTuple):
    """Describes a run before its first unit of work."""

    run_id: str
    directory: Path
    algo: str
    model: str
    data: str
    protocol: str
    protocol_kind: str
    """The kind of protocol, whatever its option is called."""
    seeds: list[int]
    task_names: list[list[str]]
    """[replicate][task]"""
    units_per_task: int
    """Units of work of one task; the run takes this times the number of tasks."""
    unit_name: str
    """The name of one unit: "meta-update", "observation"."""
    score: str
    """The name of a score in the records: "accuracy", "mse"."""
    chance: float | None
    """The accuracy of a guess; None where it is not one number."""
    config: dict[str, Any]
    """The resolved config."""
    first_unit: int
    """0, or the unit a resumed run continues from."""
    evaluation_of: str | None = None
    """The id of the run whose learner is evaluated; None: this run learns."""
    earlier: Sequence[dict[str, Any]] = ()
    """The records of a run that is continued."""


class Listener(abc.ABC):
    """Receives what the store has already written."""

    @abc.abstractmethod
    def started(self, info: RunInfo) -> None: ...

    @abc.abstractmethod
    def record(self, record: dict[str, Any]) -> None: ...

    @abc.abstractmethod
    def finished(self, run: StoredRun) -> None:
        """Receives the run that has ended, whatever its status; the figures and the report are written."""


class Logger(abc.ABC):
    """The component that `logger=` chooses; its fields are its settings."""

    @abc.abstractmethod
    def listeners(self) -> list[Listener]:
        """Returns the listeners of one run, not yet started."""


@dataclass(frozen=True, kw_only=True)
class NoLogger(Logger):
    """Adds nothing to the files of the run directory and the terminal."""

    def listeners(self) -> list[Listener]:
        return []
