"""The space of a search: one dimension for every setting written as interval(..), range(..) or several values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep, Sweep

from metacl_run.config.overrides import MOST_JOBS, points
from metacl_run.core.errors import ConfigError


class Dimension(NamedTuple):
    """A setting and its possible values: `choices`, or numbers from `low` to `high`."""

    key: str
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    """As they are written on the command line."""

    @property
    def text(self) -> str:
        if self.choices:
            return f"{self.key} in {', '.join(self.choices)}"
        scale = " (log)" if self.log else "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.key} from {self.low:g} to {self.high:g}{scale}"

    @property
    def ends(self) -> tuple[str, ...]:
        """The overrides at its ends, or of every choice: where a mistake would show."""
        values = self.choices or (repr(self.low), repr(self.high))
        return tuple(f"{self.key}={value}" for value in values)

    def count_values(self) -> int | None:
        """Counts its values; None for an interval of real numbers."""
        if self.choices:
            return len(self.choices)
        assert self.low is not None
        assert self.high is not None
        if self.step is None and not (isinstance(self.low, int) and isinstance(self.high, int)):
            return None
        return round((self.high - self.low) / (self.step or 1)) + 1

    def values(self) -> Iterator[Any]:
        """Yields its values, if it has finitely many."""
        for place in range(self.count_values() or 0):
            yield self.choices[place] if self.choices else _steps(self.low, self.step or 1, place)

    def written(self, value: Any) -> Any:
        """Returns a value as one would write it: the nearest of `values` where there are steps."""
        if self.step is None or self.low is None:
            return value
        return _steps(self.low, self.step, round((value - self.low) / self.step))

    def override(self, value: Any) -> str:
        return f"{self.key}={value if self.choices else repr(value)}"


def space(overrides: Sequence[Override]) -> tuple[list[str], list[Dimension]]:
    """Splits the overrides into those that stay and the dimensions of the search.

    Raises:
        ConfigError: an interval without extent, a value or a setting that is there twice, or nothing to search.
    """
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    searched = [override for override in overrides if override.is_sweep_override()]
    _refuse_repeated_settings(searched)
    dimensions = [_dimension(override) for override in searched]
    if not dimensions:
        raise ConfigError(
            "search: there is nothing to search. Give at least one setting an interval or several values, as in "
            "'algo.inner_lr=tag(log,interval(0.01,1))' or algo.inner_steps=1,3,5"
        )
    return fixed, dimensions


def _dimension(override: Override) -> Dimension:
    key, value = override.get_key_element(), override.value()
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high or (log and low <= 0):
            above = " and its start above 0, for a logarithmic scale" if log else ""
            raise ConfigError(f"{override.input_line}: an interval's start must be below its end{above}")
        return Dimension(key, low, high, log=log)
    count = points(override)
    if isinstance(value, RangeSweep):
        if count > MOST_JOBS:
            raise ConfigError(f"{override.input_line}: has more than {MOST_JOBS} values; an interval has no need of a number")
        if log:
            raise ConfigError(f"{override.input_line}: a logarithmic scale goes with an interval, as in tag(log,interval(1,9))")
        whole = all(isinstance(end, int) for end in (value.start, value.step))
        values = [int(number) if whole else float(number) for number in value.range()]
        if len(values) < 2:
            raise ConfigError(f"{override.input_line}: a range to search must have at least two values")
        low, step = min(values), abs(value.step)
        return Dimension(key, low, _steps(low, step, len(values) - 1), step=step)
    _refuse_repeated_choices(override)
    choices = list(override.sweep_string_iterator())
    if isinstance(value, Sweep) and value.shuffle:  # in another order every time, which would be another search
        choices.sort()
    return Dimension(key, choices=tuple(choices))


def _refuse_repeated_settings(searched: Sequence[Override]) -> None:
    lines: dict[str, str] = {}
    for override in searched:
        key = f"{override.key_or_group}@{override.package}"
        if key in lines:
            raise ConfigError(f"{override.input_line}: {lines[key]} searches it already; give all its values at once")
        lines[key] = str(override.input_line)


def _refuse_repeated_choices(override: Override) -> None:
    """Raises ConfigError where a choice is there twice: it would count as two settings to try, and be one."""
    texts: list[str] = []
    for value in override.sweep_iterator():
        text = repr(value.text if isinstance(value, QuotedString) else value)
        if text in texts:
            raise ConfigError(f"{override.input_line}: has {text} more than once; the choices of a search must differ")
        texts.append(text)


def _steps(low: float | int | None, step: float | int, count: int) -> float | int:
    """Returns `low` plus `count` steps in decimal: 0.1 and a step of 0.2 are 0.3, which a sum of floats is not."""
    total = Decimal(str(low)) + count * Decimal(str(step))
    return int(total) if isinstance(low, int) and isinstance(step, int) else float(total)
