"""The results of an earlier computation of a run, out of the way of one that begins: whole after a kill at any moment.

They are either all in the folder EARLIER, which counts until the new computation has begun, or where they belong. What is in
between is in a folder with a name of its own: from BETWEEN files only come back, and GONE is only removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from metacl_run.core.files import storage_errors

EARLIER, BETWEEN, GONE = ".earlier", ".earlier.between", ".earlier.gone"


class EarlierResults:
    """Those of one run's directory, whose lock the caller holds.

    Attributes:
        directory: of the run.
        names: the files and folders that a computation writes.
    """

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self.directory = directory
        self.names = tuple(names)

    @property
    def are_aside(self) -> bool:
        return (self.directory / EARLIER).is_dir()

    def set_aside(self) -> None:
        """Moves them out of the way, until `drop` or `take_back`."""
        with storage_errors(self.directory):
            between = self.directory / BETWEEN
            between.mkdir(exist_ok=True)
            for path in self._there():
                os.replace(path, between / path.name)
            os.replace(between, self.directory / EARLIER)

    def drop(self) -> None:
        """Removes them: from here on the new computation counts."""
        with storage_errors(self.directory):
            if self.are_aside:
                os.replace(self.directory / EARLIER, self.directory / GONE)
            self._remove_gone()

    def take_back(self) -> None:
        """Brings them back, in place of the little that there may be by now; ends what a killed process has begun."""
        with storage_errors(self.directory):
            self._remove_gone()
            between = self.directory / BETWEEN
            if self.are_aside:
                for path in self._there():
                    _remove(path)
                os.replace(self.directory / EARLIER, between)
            if between.is_dir():
                for path in between.iterdir():
                    os.replace(path, self.directory / path.name)
                between.rmdir()

    def _there(self) -> list[Path]:
        return [path for path in (self.directory / name for name in self.names) if path.exists()]

    def _remove_gone(self) -> None:
        if (self.directory / GONE).is_dir():
            shutil.rmtree(self.directory / GONE)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
