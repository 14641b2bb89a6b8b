"""The interface of listeners to a run. The store writes every record to disk first: losing a listener loses nothing."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metacl_run.core.task_lengths import TaskLengths
from metacl_run.storage.run_place import output_dir_of
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
    """Units of work of one task; of the longest where they differ."""
    unit_name: str
    """The name of one unit: "meta-update", "observation"."""
    score: str
    """The name of a score in the records: "accuracy", "mse"."""
    chance: float | None
    """The accuracy of a guess; None where it is not one number."""
    config: dict[str, Any]
    """The resolved config."""
    without_effect: Sequence[str]
    """Full keys of the config that the run id ignores."""
    environment: Mapping[str, Any]
    """As in summary.json: versions, device, git commit of the code."""
    tags: Sequence[str]
    """Words of the user's own."""
    group: str | None
    """The name of the sweep, search or table that the run is a job of."""
    first_unit: int
    """0, or the unit a resumed run continues from."""
    say: Callable[[str], None]
    """Prints a remark for the user, and logs it in run.log."""
    evaluation_of: str | None = None
    """The id of the run whose learner is evaluated; None: this run learns."""
    earlier: Sequence[dict[str, Any]] = ()
    """The records of a run that is continued."""
    task_units: TaskLengths | None = None
    """Units of each part of the training; None: a part for each task, all with as many."""
    warnings: Sequence[str] = ()
    """What is known before the first unit of work; in the summary, too."""

    @property
    def total_units(self) -> int:
        """Units of the whole run."""
        return self.units_per_task * len(self.task_names[0]) if self.task_units is None else self.task_units.total

    @property
    def name(self) -> str:
        """The name of the run beside others: "maml-split_glyphs-0123ab"."""
        return f"{self.algo}-{self.data}-{self.run_id[:6]}"

    @property
    def output_dir(self) -> Path:
        return output_dir_of(self.directory)


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
    """A component that `logger=` chooses, a dataclass whose fields are its settings; a run has any number of them.

    `__post_init__` raises a UserError where the logger cannot be used on this machine, for instance since a package is missing:
    then no job of a sweep is started.
    """

    @abc.abstractmethod
    def listener(self) -> Listener:
        """Returns the listener of one run, not yet started. It may fail at any time: the run goes on without it.

        Raises:
            UserError: the settings cannot work, which is told before there is a run directory.
        """
