"""Says in words what a setting may be: its type, its bounds, and the values of a choice."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from metacl_run.config.conversion import NAMES


class TypeWords(NamedTuple):
    """What a setting may be."""

    type: str
    """ "a number, or null", "a list, each entry a whole number", "one of adam, sgd"."""
    bounds: str
    """ "greater than 0", "from 1 to 1,000"; "" where there are none."""
    choices: tuple[str, ...]
    """The values of a choice."""


class PlainType(NamedTuple):
    """A type without the wrapping of Annotated and of X | None."""

    kind: Any
    bounds: tuple[Any, ...]
    nullable: bool


def plain_type(hint: Any) -> PlainType:
    """Takes Annotated and X | None off a type; the bounds of all layers stay together."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = plain_type(arguments[0])
        return inner._replace(bounds=(*inner.bounds, *arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        inner = plain_type(next(argument for argument in arguments if argument is not type(None)))
        return inner._replace(nullable=True)
    return PlainType(hint, (), False)


def type_words(hint: Any) -> TypeWords:
    """Describes a type as `conversion.convert` reads it."""
    kind, bounds, nullable = plain_type(hint)
    choices: tuple[str, ...] = ()
    words = bound_words(bounds)
    if typing.get_origin(kind) is Literal:
        choices = tuple(map(str, typing.get_args(kind)))
        type_ = f"one of {', '.join(choices)}"
    elif typing.get_origin(kind) is list:
        entry = type_words(typing.get_args(kind)[0])
        type_, choices = f"a list, each entry {entry.type}", entry.choices
        words = ", ".join(part for part in (entry.bounds, words) if part)
    else:
        type_ = NAMES.get(kind, "any value" if kind is Any else str(getattr(kind, "__name__", kind)))
    return TypeWords(f"{type_}, or null" if nullable else type_, words, choices)


def bound_words(bounds: Sequence[Any]) -> str:
    """Describes the bounds of a number or of a list's length."""
    low = next((f"greater than {_number(bound.gt)}" for bound in bounds if isinstance(bound, Gt)), "")
    high = next((f"less than {_number(bound.lt)}" for bound in bounds if isinstance(bound, Lt)), "")
    least = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    if least is not None and most is not None:
        return f"from {_number(least)} to {_number(most)}"
    low = f"at least {_number(least)}" if least is not None else low
    high = f"at most {_number(most)}" if most is not None else high
    shortest = next((f"at least {bound.min_length}" for bound in bounds if isinstance(bound, MinLen)), "")
    longest = next((f"at most {bound.max_length}" for bound in bounds if isinstance(bound, MaxLen)), "")
    lengths = " and ".join(part for part in (shortest, longest) if part)
    values = " and ".join(part for part in (low, high) if part)
    return ", ".join(part for part in (values, f"{lengths} entries" if lengths else "") if part)


def _number(value: Any) -> str:
    return f"{value:,}"
