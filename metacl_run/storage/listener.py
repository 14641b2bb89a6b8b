"""Who may listen to a run. The store writes every record to disk first; losing a listener loses nothing."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class RunInfo(NamedTuple):
    """What is known of a run before its first unit of work."""

    run_id: str
    directory: Path
    algo: str
    model: str
    data: str
    protocol: str
    protocol_kind: str
    """What the protocol is, whatever its option is called."""
    seeds: list[int]
    task_names: list[list[str]]
    """[replicate][task]"""
    units_per_task: int
    """Units of work a task takes; the run takes this times the number of tasks."""
    unit_name: str
    """What one unit is called: "meta-update", "observation"."""
    score: str
    """What a score is called in the records: "accuracy", "mse"."""
    chance: float | None
    """The accuracy of a guess; None where it is not one number."""
    config: dict[str, Any]
    """The resolved config."""
    first_unit: int
    """0, or the unit a resumed run continues from."""
    earlier: Sequence[dict[str, Any]] = ()
    """The records that stand from before, when a run is continued."""


class Listener(abc.ABC):
    """Receives what the store has already written. See `storage/store.py` for the records."""

    @abc.abstractmethod
    def started(self, info: RunInfo) -> None: ...

    @abc.abstractmethod
    def record(self, record: dict[str, Any]) -> None: ...

    @abc.abstractmethod
    def finished(self, summary: dict[str, Any]) -> None:
        """The run has ended, whatever its status; `summary` is what stands in summary.json."""


class Logger(abc.ABC):
    """What `logger=` chooses: a component whose fields are its settings."""

    @abc.abstractmethod
    def listeners(self) -> list[Listener]:
        """The listeners of one run, not yet started."""


@dataclass(frozen=True, kw_only=True)
class NoLogger(Logger):
    """Nothing beyond the files of the run directory and the terminal."""

    def listeners(self) -> list[Listener]:
        return []
