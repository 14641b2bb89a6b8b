"""Mistakes a user can make, and how they are said: one message with the key, the value and what is allowed; no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake the user can mend. The command line prints the message alone and exits with status 1."""


class ConfigError(UserError):
    """A setting that cannot be: found before any data are loaded."""


class DataError(UserError):
    """Data that are missing, broken or too small for what was asked."""


class StorageError(UserError):
    """The run directory cannot be written or read."""


class OtherVersionError(StorageError):
    """A run that another version of this program has written."""


class RunIsLockedError(StorageError):
    """Another process is computing the run of this directory."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"{directory}: another process is computing this run. Wait for it, then give the command again to see it."
        )


GONE = "another process of this run is gone, or does not answer"


class LostRankError(UserError):
    """Another process of a run that several compute together is gone, or does not answer; see `ranks.py`."""


class SettingError(ValueError):
    """Raised by a component about one of its own fields; `keyed` adds the full key in front."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}={value}: {allowed}")
        self.field, self.value, self.allowed = field, value, allowed


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Checks one field of a component: `require(self.ways >= 2, "ways", self.ways, "must be at least 2")`."""
    if not condition:
        raise SettingError(field, value, allowed)


@contextmanager
def keyed(group: str) -> Iterator[None]:
    """Adds the group's name in front of what a component says of its own field: `ways=60: ...` -> `data.ways=60: ...`."""
    try:
        yield
    except SettingError as error:
        raise ConfigError(f"{group}.{error.field}={shown(error.value)}: {error.allowed}") from None


def shown(value: object) -> str:
    """A value as one would type it on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean X?' with the known name most like `word`, or nothing when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""
