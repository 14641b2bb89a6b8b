"""User-facing errors and how they are formatted: one message with the key, the value and what is allowed; no traceback."""

from __future__ import annotations

import difflib
import linecache
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from metacl_run.core.vmap_errors import meaning


class UserError(Exception):
    """Raised for a mistake that the user can mend. The command line prints the message alone and exits with status 1."""


class ConfigError(UserError):
    """Raised for a setting that is not possible, before any data are loaded."""


class DataError(UserError):
    """Raised when data are missing, broken or too small for the settings."""


class SimulatorError(UserError):
    """Raised when a simulator fails: its expert, its numbers, its process."""


class StorageError(UserError):
    """Raised when the run directory cannot be written or read."""


class OutOfMemoryError(UserError):
    """The memory of the device does not suffice."""


class CardTooSmallError(OutOfMemoryError):
    """Raised before the first unit of a run whose smallest part is more than the card holds."""


class CaptureError(RuntimeError):
    """Raised when a function cannot be captured as a CUDA graph; the message says why."""


class OtherVersionError(StorageError):
    """Raised when another version of this program has written the run."""


class RunIsLockedError(StorageError):
    """Raised when another process is computing the run of this directory."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"{directory}: another process is computing this run. Wait for it, then give the command again to see it."
        )


class SettingError(ValueError):
    """Raised by a component about its own fields; `prefix_field_errors` adds the group in front of them.

    Args:
        field, value, allowed: the field, its value, and what is allowed instead.
        others: further errors of the same component.
    """

    def __init__(self, field: str, value: object, allowed: str, others: Sequence[SettingError] = ()) -> None:
        super().__init__("\n".join([f"{field}={value}: {allowed}", *map(str, others)]))
        self.field, self.value, self.allowed, self.others = field, value, allowed, others


Check: TypeAlias = tuple[bool, str, object, str]
"""The arguments of `require`."""


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Checks one field of a component: `require(self.ways <= most, "ways", self.ways, f"must be at most {most}")`."""
    require_all((condition, field, value, allowed))


def require_all(*checks: Check) -> None:
    """Makes several checks, given as the arguments of `require`, and reports all that fail in one error."""
    errors = [SettingError(field, value, allowed) for condition, field, value, allowed in checks if not condition]
    if errors:
        first, *others = errors
        raise SettingError(first.field, first.value, first.allowed, others) from None


def name_checks(field: str, names: Sequence[str], known: Sequence[str]) -> tuple[Check, Check]:
    """The checks, for `require_all`, that a setting names only what is known, and nothing twice."""
    unknown = next((name for name in names if name not in known), None)
    allowed = f"{unknown} is not one of {', '.join(known)}.{nearest(unknown or '', known)}"
    return (unknown is None, field, names, allowed), (len(set(names)) == len(names), field, names, "must all differ")


@contextmanager
def prefix_field_errors(group: str) -> Iterator[None]:
    """Turns a component's `SettingError` into a `ConfigError` with full keys: `ways=60: ...` -> `data.ways=60: ...`."""
    try:
        yield
    except SettingError as error:
        mistakes = [error, *error.others]
        lines = (f"{group}.{mistake.field}={shown(mistake.value)}: {mistake.allowed}" for mistake in mistakes)
        raise ConfigError("\n".join(lines)) from None


@contextmanager
def faults(where: str, but: tuple[type[Exception], ...] | type[Exception] = ()) -> Iterator[None]:
    """Turns any exception of the user's own code into one message: what failed, the exception, its file and line.

    Args:
        where: what failed.
        but: exceptions that are raised as they are, as every `UserError` is.
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
    """Describes an exception in a line: what it means, or else its name and message, and the file and line it comes from."""
    lines = str(error).strip().splitlines() or ["it says nothing"]
    file, number = _place(error)
    place = f" ({file}, line {number})" if file and not isinstance(error, SyntaxError) else ""
    code = linecache.getline(file, number)
    return f"{meaning(str(error), code) or f'{type(error).__name__}: {shown(lines[0])}'}{place}"


def _place(error: BaseException) -> tuple[str, int]:
    """The innermost line of code that belongs to no library, as its file and number; ("", 0) where there is none."""
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), "<")
    frames = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))
    own = [(file, line) for file, line in frames if not file.startswith((*libraries, str(Path(__file__).parents[1])))]
    return own[-1] if own else ("", 0)


SHOWN = 200
"""Characters of a value that a message quotes."""


def shown(value: object) -> str:
    """Returns a value as one would type it on the command line, cut off where it is long."""
    if value is None:
        return "null"
    try:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    except (ValueError, RecursionError):  # Python refuses to write numbers of more than 4300 digits
        return f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ' Did you mean X?' with the known name most like `word`; "" when none is near."""
    name = nearest_name(word, known)
    return f" Did you mean {name}?" if name is not None else ""


def nearest_name(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Returns the known name most like `word`; None when none has the likeness `cutoff` (1: equal).

    The shortest name of which `word` is the first part, as "der" of der_pp, comes before all others.
    """
    names = list(known)
    whole = sorted((name for name in names if word and name.startswith(f"{word}_")), key=len)
    return next(iter([*whole, *difflib.get_close_matches(word[:100], names, n=1, cutoff=cutoff)]), None)
