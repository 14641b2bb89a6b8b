"""Divides a text into words."""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"\w+(?:'\w+)*")


def words_of(text: str) -> list[str]:
    """Returns the words of a text: runs of letters, digits and underscores in lower case, with the apostrophes inside them.

    Forms that Unicode calls compatible are one: ligatures, full-width letters, composed and decomposed accents (NFKC).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    return WORD.findall(text.lower())
