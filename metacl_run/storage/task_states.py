"""The learner after every task of a run with `protocol.keep_states=tasks`: a folder in the run directory, a file for each task.

A file is written whole or not at all. A run that was killed and continues writes those again that come after its checkpoint.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from torch.utils._pytree import tree_map

from metacl_run.core.errors import StorageError
from metacl_run.core.files import atomic_replacement, remove_unfinished, storage_errors
from metacl_run.core.types import Pytree
from metacl_run.storage.digested_file import read_digested, write_digested
from metacl_run.storage.run_files import TASK_STATES

LARGE = 10**9
"""Bytes of all files together from which on the user is told how many there will be."""
log = logging.getLogger("metacl_run")


class TaskStates:
    """Those of one run.

    Args:
        run: the run directory.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / TASK_STATES

    def file(self, task: int) -> Path:
        """The file of the learner after task number `task`, from 0."""
        return self.folder / f"after_task_{task}.pt"

    def prepare(self) -> None:
        """Removes what killed processes left half-written. The caller holds the run's lock.

        Raises:
            StorageError: what is in the folder's place is a link or no folder.
        """
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            what = "is a link, which is not written through" if self.folder.is_symlink() else "is no folder"
            raise StorageError(f"{self.folder}: {what}. Remove it, then give the command again")
        remove_unfinished(self.folder)

    def announce(self, size: int, num_tasks: int, tasks_done: int) -> None:
        """Logs how much room the files take, on the terminal too if it is much or more than there is.

        Args:
            size: bytes of one learner, of all seeds together.
            num_tasks: of the run.
            tasks_done: whose files are there already.
        """
        total, free = size * num_tasks, shutil.disk_usage(self.folder.parent).free
        text = f"protocol.keep_states=tasks: the learner after each of {num_tasks} tasks takes {_words(size)} of disk"
        text += "" if num_tasks == 1 else f", {_words(total)} in all"
        too_much = size * (num_tasks - tasks_done) > free
        if too_much:
            text += (
                f", but {self.folder.parent} has {_words(free)} left. When the disk is full the run stops; make room, and the "
                "same command continues it"
            )
        log.log(logging.WARNING if too_much or total >= LARGE else logging.INFO, "%s", text)

    def write(self, task: int, learner: Pytree) -> None:
        """Writes the learner's state after a task, leaves [R, ...] on the CPU."""
        path = self.file(task)
        with storage_errors(self.folder.parent):
            self.folder.mkdir(exist_ok=True)
            with atomic_replacement(path) as temporary:
                # Copies, since the file of a part of a larger tensor would hold the whole.
                write_digested(temporary, {"learner": tree_map(torch.clone, learner)})

    def read(self, task: int) -> Pytree:
        """Reads the learner's state after a task, leaves [R, ...] on the CPU.

        Raises:
            StorageError: its file is missing or damaged.
        """
        path, again = self.file(task), "rerun=true computes the run again"
        if not path.exists():
            raise StorageError(f"{path}: is missing; {again}")
        try:
            return read_digested(path)["learner"]
        except ValueError as error:
            raise StorageError(f"{path} is truncated or corrupted: {error}; {again}") from None

    def remove(self) -> None:
        """Removes the folder and the files in it."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)


def _words(size: int) -> str:
    unit, word = next(((unit, word) for unit, word in ((1e9, "GB"), (1e6, "MB")) if size >= unit), (1e3, "kB"))
    return f"{size / unit:.3g} {word}"
