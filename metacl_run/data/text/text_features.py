"""Encodes texts, with a bar on a terminal, and keeps what took time in the user's cache folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar
from metacl_run.data.text.encoder import Encoder

QUICK_SECONDS = 1.0
"""Features that take no longer than this are kept in memory alone."""
BLOCK = 512
"""Texts that are encoded together."""
FOLDER = "texts"
"""Of the cache."""


def encoded(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Returns the texts as examples [N, *shape], of the encoder's type.

    Where encoding them takes longer than `QUICK_SECONDS`, they are written to a file as they are made, and the array is mapped
    from it: a million texts need no more memory than a few. The next call finds the file by the encoder's fingerprint and a
    digest of the texts; the texts themselves are not stored. Where the file cannot be written, the array is in memory.
    Half of a surrogate pair, which UTF-8 does not know, becomes "?".
    """
    texts = [text if text.isascii() else text.encode(errors="replace").decode() for text in texts]
    key, shape = (encoder.fingerprint, _digest(texts)), (len(texts), *encoder.shape)
    features = cached_on_disk(key, folder=FOLDER)
    if features is not None:
        return features
    blocks, early, begun = _encode(encoder, texts), [np.empty((0, *encoder.shape), encoder.dtype)], time.monotonic()
    for block in blocks:
        early.append(block)
        if time.monotonic() - begun > QUICK_SECONDS:
            break
    else:
        return np.concatenate(early)
    stored = stored_on_disk(key, shape, np.dtype(encoder.dtype), chain(early, blocks), folder=FOLDER)
    if stored is not None:
        return stored
    features, row = np.empty(shape, encoder.dtype), 0
    for block in _encode(encoder, texts):
        features[row : row + len(block)] = block
        row += len(block)
    return features


def _encode(encoder: Encoder, texts: Sequence[str]) -> Iterator[np.ndarray]:
    with progress_bar(f"encoding texts ({encoder.name})", len(texts)) as advance:
        for start in range(0, len(texts), BLOCK):
            block = encoder.encode(texts[start : start + BLOCK])
            advance(len(block))
            yield block


def _digest(texts: Sequence[str]) -> str:
    """A digest of the texts in their order; it tells ["ab"] from ["a", "b"]."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode()
        digest.update(b"%d " % len(content))
        digest.update(content)
    return digest.hexdigest()
