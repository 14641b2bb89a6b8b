"""Phrases that messages about data share."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3
"""Classes that a message calls by name."""


def named(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def counted(count: int, noun: str) -> str:
    """'1 file', '2 files'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
