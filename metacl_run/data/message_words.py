"""Phrases that messages about data share."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3
"""Classes that a message calls by name."""


def named(names: Sequence[str], most: int = NAMED) -> str:
    """The first few, at most `most`, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, noun: str) -> str:
    """'1 file', '2 files'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
