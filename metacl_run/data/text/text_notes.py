"""Notes on texts: what a user would not notice by looking at numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metacl_run.data.message_words import counted


def on_repeated_texts(name: str, train: Iterable[str], test: Sequence[str]) -> list[str]:
    """Test texts that were there to learn from, whatever their class; letters and spaces are compared as they would be read."""
    known = {_plain(text) for text in train}
    repeated = sum(_plain(text) in known for text in test)
    if not repeated:
        return []
    are = "is also a training text" if repeated == 1 else "are also training texts"
    return [f"{name}: {repeated} of {counted(len(test), 'test text')} {are}"]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
