"""Converts a value from a config file or the command line to the type of a setting, within its bounds."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from metacl_run.core.bounds import bounded_number, breach
from metacl_run.core.errors import nearest

NAMES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def convert(value: Any, hint: Any) -> Any:
    """The value as bool, int, float, str, Literal, X | None or list[X]; each may be Annotated with bounds.

    Raises:
        ValueError: what is allowed, without the key.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        converted = convert(value, arguments[0])
        if (words := breach(converted, arguments[1:])) is not None:
            raise ValueError(words)
        return converted
    if origin in (typing.Union, types.UnionType):
        return _optional(value, arguments)
    if origin is Literal:
        if value in arguments and type(value) is type(arguments[0]):
            return value
        raise ValueError(f"must be one of {', '.join(map(str, arguments))}.{nearest(str(value)[:100], map(str, arguments))}")
    if origin is list:
        return _list(value, arguments[0])
    if hint is Any:
        return value
    if not isinstance(hint, type):
        raise ValueError(f"has the type {hint}; settings are bool, int, float, str, Literal, X | None or list[X]")
    return _plain(value, hint)


def _plain(value: Any, hint: Any) -> Any:
    if not isinstance(value, hint) and not (hint is float and isinstance(value, int)):
        raise ValueError(f"must be {_name(hint)}")
    if isinstance(value, bool) and hint is not bool:
        raise ValueError(f"must be {_name(hint)}")
    if isinstance(value, int | float) and (words := bounded_number(value)) is not None:
        raise ValueError(words)
    return float(value) if hint is float else value


def _optional(value: Any, arguments: Sequence[Any]) -> Any:
    if value is None and type(None) in arguments:
        return None
    inner = next(argument for argument in arguments if argument is not type(None))
    try:
        return convert(value, inner)
    except ValueError as error:
        allowed, semicolon, why = str(error).partition("; ")
        raise ValueError(f"{allowed}, or null{semicolon}{why}") from None


def _list(value: Any, entry: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, each entry {_name(entry)}, as in [1,2]")
    try:
        return [convert(item, entry) for item in value]
    except ValueError as error:
        raise ValueError(f"every entry {error}") from None


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is Annotated:
        return _name(typing.get_args(hint)[0])
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))
