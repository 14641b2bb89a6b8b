"""Bounds of settings, as parts of their types. `config.components.fill` checks all of them before it makes a component.

    lr: Positive
    fisher_samples: Count
    strength: Annotated[Positive, Hint("without a penalty, algo=sgd")]

Every count has an upper bound as well, and every real number is finite, so that impossible sizes are refused at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import BaseMetadata, Ge, Gt, Le, Lt, MaxLen, MinLen

MOST_NUMBERS = 2 * 10**9
"""The most numbers of one kind in memory at once, 8 GB of them in float32: a run that needs more is refused at the start."""
LARGEST_WHOLE = 2**63 - 1
"""The largest number in a tensor of whole numbers: the bound of settings that have none of their own."""


@dataclass(frozen=True)
class Hint:
    """An addition to the message about a bound: why it is there, or what to choose instead."""

    text: str


@dataclass(frozen=True)
class AtEvaluation:
    """The mark of a setting that a finished run can be evaluated with another value of: it changes no learning, and not which
    examples are held out."""


@dataclass(frozen=True)
class NoEffectWith:
    """The mark of a setting that changes nothing where another setting of its component has one of some values."""

    name: str
    """Of the other setting."""
    values: tuple[Any, ...]


AT_EVALUATION = AtEvaluation()


def added_setting(switch: str, off: Any) -> dict[str, Any]:
    """The metadata of a setting that older configs lack, and option files of the user's own may lack.

    Args:
        switch: the name of the attribute that says whether the setting is on; where it is off, a run has the id that it had
            before the setting existed.
        off: the value where a config lacks it.
    """
    return {"identity": switch, "off": off}


Count = Annotated[int, Ge(1), Le(10**9)]
CountFromZero = Annotated[int, Ge(0), Le(10**9)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Momentum = Annotated[float, Ge(0), Lt(1)]
Steps = Annotated[int, Ge(1), Le(10**6)]
"""Gradient steps, whose batches are drawn before the first."""
StepsFromZero = Annotated[int, Ge(0), Le(10**6)]
Tasks = Annotated[int, Ge(1), Le(10**4)]
"""An accuracy matrix has a row and a column for every task."""
Classes = Annotated[int, Ge(1), Le(10**5)]
Examples = Annotated[int, Ge(1), Le(10**6)]
"""Examples that are in memory together."""
ExamplesFromZero = Annotated[int, Ge(0), Le(10**6)]
Width = Annotated[int, Ge(1), Le(10**6)]
"""Units or filters of a layer."""
Widths = Annotated[list[Width], MaxLen(1000)]
Layers = Annotated[int, Ge(1), Le(1000)]
Side = Annotated[int, Ge(8), Le(1024)]
"""Pixels along one side of an image."""
FigureStyle: TypeAlias = Literal["screen", "paper", "none"]
"""What is drawn of a run: its figures and its report; those for a paper too; nothing."""
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
"""Up to `randomness.LARGEST_SEED`."""
Seeds = Annotated[list[Seed], MinLen(1), MaxLen(1000)]
Tags = Annotated[list[Annotated[str, MinLen(1), MaxLen(64)]], MaxLen(100)]
"""Words of the user's own; W&B takes up to 64 letters of each."""


def breach(value: Any, bounds: Sequence[Any]) -> str | None:
    """Says what is allowed instead of a value that breaks one of the bounds; None for a value within all of them."""
    for bound in bounds:
        if isinstance(bound, BaseMetadata) and (allowed := _breach(value, bound)) is not None:
            return "; ".join([allowed, *(hint.text for hint in bounds if isinstance(hint, Hint))])
    return None


def _breach(value: Any, bound: BaseMetadata) -> str | None:
    if isinstance(bound, Gt):
        return None if value > bound.gt else f"must be greater than {bound.gt}"
    if isinstance(bound, Ge):
        return None if value >= bound.ge else f"must be at least {bound.ge}"
    if isinstance(bound, Lt):
        return None if value < bound.lt else f"must be less than {bound.lt}"
    if isinstance(bound, Le):
        return None if value <= bound.le else f"must be at most {bound.le}"
    if isinstance(bound, MinLen):
        return None if len(value) >= bound.min_length else f"must have at least {_length(value, bound.min_length)}"
    if isinstance(bound, MaxLen):
        return None if len(value) <= bound.max_length else f"must have at most {_length(value, bound.max_length)}"
    raise TypeError(f"{bound}: bounds of settings are Gt, Ge, Lt, Le, MinLen and MaxLen")


def _length(value: Any, number: int) -> str:
    one, many = ("character", "characters") if isinstance(value, str) else ("entry", "entries")
    return f"{number} {one if number == 1 else many}"


def bounded_number(value: int | float) -> str | None:
    """Says what is allowed instead of a number that no tensor can hold; None for any other."""
    if isinstance(value, int):
        return None if abs(value) <= LARGEST_WHOLE else f"must be from -{LARGEST_WHOLE} to {LARGEST_WHOLE}"
    return None if math.isfinite(value) else "must be a finite number"
