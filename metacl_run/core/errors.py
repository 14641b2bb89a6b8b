"""Mistakes a user can make, and how they are said: one message with the key, the value and what is allowed; no traceback."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


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


class SettingError(ValueError):
    """Raised by a component about its own fields; `prefix_field_errors` adds the full keys in front.

    Args:
        field, value, allowed: what is wrong.
        others: more of the same component.
    """

    def __init__(self, field: str, value: object, allowed: str, others: Sequence[SettingError] = ()) -> None:
        super().__init__("\n".join([f"{field}={value}: {allowed}", *map(str, others)]))
        self.field, self.value, self.allowed, self.others = field, value, allowed, others


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Checks one field of a component: `require(self.ways <= held, "ways", self.ways, f"must be at most {held}")`."""
    require_all((condition, field, value, allowed))


def require_all(*checks: tuple[bool, str, object, str]) -> None:
    """Makes several checks, each as those of `require`, and reports all that fail in one error."""
    failed = [SettingError(field, value, allowed) for fine, field, value, allowed in checks if not fine]
    if failed:
        first, *others = failed
        raise SettingError(first.field, first.value, first.allowed, others) from None


@contextmanager
def prefix_field_errors(group: str) -> Iterator[None]:
    """Adds the group's name in front of what a component says of its own fields: `ways=60: ...` -> `data.ways=60: ...`."""
    try:
        yield
    except SettingError as error:
        mistakes = [error, *error.others]
        raise ConfigError("\n".join(f"{group}.{each.field}={shown(each.value)}: {each.allowed}" for each in mistakes)) from None


@contextmanager
def faults(where: str, but: tuple[type[Exception], ...] | type[Exception] = ()) -> Iterator[None]:
    """Turns whatever code of the user's own raises into one message: what failed, the exception, its file and line.

    Args:
        where: what failed.
        but: exceptions that go through as they are, as every `UserError` does.
    """
    try:
        yield
    except (UserError, SettingError):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, but):
            raise
        raise ConfigError(f"{where}: {described(error)}") from None


def described(error: BaseException) -> str:
    """An exception in a line: its name, what it says, and the file and line that it comes from."""
    said = str(error).strip().splitlines() or ["it says nothing"]
    return f"{type(error).__name__}: {shown(said[0])}{_place(error)}"


def _place(error: BaseException) -> str:
    """The innermost line of code that belongs to no library; nothing where there is none."""
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), "<")
    frames = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))
    own = [(file, line) for file, line in frames if not file.startswith((*libraries, str(Path(__file__).parents[1])))]
    return f" ({own[-1][0]}, line {own[-1][1]})" if own and not isinstance(error, SyntaxError) else ""


SHOWN = 200
"""Characters of a value that a message quotes."""


def shown(value: object) -> str:
    """A value as one would type it on the command line, cut off where it is long."""
    if value is None:
        return "null"
    try:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    except (ValueError, RecursionError):  # Python refuses to write numbers of more than 4300 digits
        return f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean X?' with the known name most like `word`, or nothing when none is near."""
    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""
