"""Divides a text into words."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

WORD = re.compile(r"\w+(?:'\w+)*")
MARKS = ("Mn", "Mc")
"""Categories of what stands above, below or beside a letter, as the vowels of Hindi do; a letter of `WORD` is none of them."""
SELECTOR = "VARIATION SELECTOR-"
"""How the names of marks start that choose a picture for a digit or a sign: they belong to no word."""


def words_of(text: str) -> list[str]:
    """Returns the words of a text: runs of letters, digits and underscores in lower case, with the apostrophes and the marks
    (vowel signs, accents) inside them.

    Forms that Unicode calls compatible are one: ligatures, full-width letters, composed and decomposed accents (NFKC).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    text = text.lower()
    return WORD.findall(text) if text.isascii() else _with_marks().findall(text)


@functools.cache
def _with_marks() -> re.Pattern[str]:
    """`WORD` with marks after the first letter."""
    characters = map(chr, range(128, sys.maxunicode + 1))
    marks = [
        mark
        for mark in characters
        if unicodedata.category(mark) in MARKS and not unicodedata.name(mark, "").startswith(SELECTOR)
    ]
    inside = rf"\w[\w{''.join(marks)}]*"
    return re.compile(rf"{inside}(?:'{inside})*")


def without_surrogates(text: str) -> str:
    """Returns a text with "?" for each half of a surrogate pair, which UTF-8 does not know."""
    return text if text.isascii() else text.encode(errors="replace").decode()
