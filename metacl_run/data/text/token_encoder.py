"""Token numbers, for models that learn what words mean along with everything else."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from metacl_run.core.errors import SettingError
from metacl_run.core.token_shape import TokenShape
from metacl_run.data.text.text_encoder import TextEncoder
from metacl_run.data.text.words import words_of

VERSION = 2
"""Part of the fingerprint: raise it when a text gets other numbers."""
VOCABULARY = 8192
LENGTH = 24
LONGEST = 512


class TokenEncoder(TextEncoder):
    """Numbers the words of a text by their hash, from 1 to `VOCABULARY` - 1; 0 fills up shorter texts, longer ones are cut off.

    Nothing is fitted, so no text is seen beforehand, and no word is unknown; words with the same hash are one word.
    """

    dtype = np.int64

    def __init__(self, length: int = LENGTH) -> None:
        self.name = "trained" if length == LENGTH else f"trained:{length}"
        self.shape = TokenShape(length, VOCABULARY)

    @classmethod
    def of(cls, argument: str | None) -> TokenEncoder:
        """trained, or trained:LENGTH, in words."""
        if argument is None:
            return cls()
        if not (re.fullmatch("[0-9]{1,9}", argument) and 1 <= int(argument) <= LONGEST):
            allowed = f"the length must be a whole number of words from 1 to {LONGEST}, as in trained:48"
            raise SettingError("encoder", f"trained:{argument}", allowed)
        return cls(int(argument))

    @property
    def fingerprint(self) -> str:
        return f"tokens version {VERSION}, {self.shape[0]} of {VOCABULARY}"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        (length,) = self.shape
        rows = [[zlib.crc32(word.encode()) % (VOCABULARY - 1) + 1 for word in words_of(text)[:length]] for text in texts]
        return np.array([row + [0] * (length - len(row)) for row in rows], np.int64).reshape(-1, length)
