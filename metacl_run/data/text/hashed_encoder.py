"""Hashed words, word pairs and runs of characters: features that nothing was trained for and that need no package.

Shapes: N texts, V different words, G features of one kind in all texts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from metacl_run.core.errors import SettingError
from metacl_run.data.text.text_encoder import TextEncoder
from metacl_run.data.text.words import words_of

VERSION = 2
"""Part of the fingerprint: raise it when a text gets other features."""
DIMENSIONS = 1024
FEWEST, MOST = 64, 16384
RUNS = (3, 4)
"""Lengths of the runs of characters."""
BLOCK = 2048
"""Texts that are counted together, which bounds the memory."""


class HashedEncoder(TextEncoder):
    """Counts hashed features (Weinberger et al. 2009, arXiv 0902.2206): nothing is fitted, so no text is seen beforehand.

    The first half of the dimensions counts words and pairs of neighbouring words, the second half runs of 3 and 4 characters
    of every word with a space on both sides. CRC32 of a feature gives its dimension and its sign. Each half has length 1; where
    it counts nothing it is 0, so a text without a word is the zero vector.
    """

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.name = "hashed" if dimensions == DIMENSIONS else f"hashed:{dimensions}"
        self.shape = (dimensions,)

    @classmethod
    def of(cls, argument: str | None) -> HashedEncoder:
        """hashed, or hashed:DIMENSIONS."""
        if argument is None:
            return cls()
        whole = re.fullmatch("[0-9]{1,9}", argument)
        if not (whole and FEWEST <= int(argument) <= MOST and int(argument) % 2 == 0):
            allowed = f"the dimensions must be an even number from {FEWEST} to {MOST}, as in hashed:2048"
            raise SettingError("encoder", f"hashed:{argument}", allowed)
        return cls(int(argument))

    @property
    def fingerprint(self) -> str:
        return f"hashed version {VERSION}, {self.shape[0]} dimensions"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        blocks = [self._encode_block(texts[start : start + BLOCK]) for start in range(0, len(texts), BLOCK)]
        return np.concatenate([np.empty((0, *self.shape), np.float32), *blocks])

    def _encode_block(self, texts: Sequence[str]) -> np.ndarray:
        words = [words_of(text) for text in texts]
        half = self.shape[0] // 2
        return np.concatenate([_lengths_of_1(*_words_and_pairs(words), half), _lengths_of_1(*_runs(words), half)], axis=1)


def _words_and_pairs(words: list[list[str]]) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the text [G] and the hash [G] of every word and pair, and N."""
    features = [[*text, *map(" ".join, pairwise(text))] for text in words]
    hashes = [zlib.crc32(feature.encode()) for text in features for feature in text]
    return np.repeat(np.arange(len(words)), [len(text) for text in features]), np.array(hashes, np.uint32), len(words)


def _runs(words: list[list[str]]) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the text [G] and the hash [G] of every run of characters, and N. A word that occurs again is not hashed again."""
    numbers: dict[str, int] = {}
    occurrences = np.array([numbers.setdefault(word, len(numbers)) for text in words for word in text], np.int64)
    hashes = [_hashes_of_runs(word) for word in numbers]
    sizes = np.array([len(word) for word in hashes], np.int64)  # [V]
    flat = np.array([value for word in hashes for value in word], np.uint32)
    texts = np.repeat(np.arange(len(words)), [len(text) for text in words])
    counts = sizes[occurrences]
    first = (np.cumsum(sizes) - sizes)[occurrences] - (np.cumsum(counts) - counts)
    return np.repeat(texts, counts), flat[np.repeat(first, counts) + np.arange(counts.sum())], len(words)


def _hashes_of_runs(word: str) -> list[int]:
    bordered = f" {word} "
    runs = (bordered[start : start + length] for length in RUNS for start in range(len(bordered) - length + 1))
    return [zlib.crc32(run.encode()) for run in runs]


def _lengths_of_1(texts: np.ndarray, hashes: np.ndarray, num_texts: int, size: int) -> np.ndarray:
    """Returns signed counts [N, size] float32, each row divided by its length.

    The sign is the hash's highest bit, the dimension the remainder of the others.
    """
    signs = 1.0 - 2.0 * (hashes >> 31)
    dimensions = (hashes & 0x7FFFFFFF) % size
    counts = np.bincount(texts * size + dimensions, signs, num_texts * size).reshape(num_texts, size)
    lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    return (counts / np.where(lengths > 0, lengths, 1)).astype(np.float32)
