"""Encodes texts or images, with a bar on a terminal, and keeps what took time in the user's cache folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

import numpy as np

from metacl_run.data.encoders.encoder import Encoder, RawT
from metacl_run.data.files.cache import cached_on_disk, stored_on_disk
from metacl_run.data.progress_bar import progress_bar

QUICK_SECONDS = 1.0
"""Features that take no longer than this are kept in memory alone."""
FOLDER = "features"
"""Of the cache."""


def features_of(encoder: Encoder[RawT], raw: RawT, *, digest: str, what: str) -> np.ndarray:
    """Returns what is encoded as examples [N, *shape], of the encoder's type.

    Where encoding takes longer than `QUICK_SECONDS`, the features are written to a file as they are made, and the array is
    mapped from it: a million texts need no more memory than a few. The next call finds the file by the encoder's fingerprint
    and the digest; texts and images themselves are not stored. Where the file cannot be written, the array is in memory.

    Args:
        encoder: what encodes.
        raw: N texts or images.
        digest: of `raw`.
        what: what `raw` is called beside the bar, in the plural.
    """
    key, shape = (encoder.fingerprint, digest), (len(raw), *encoder.shape)
    features = cached_on_disk(key, folder=FOLDER)
    if features is not None:
        return features
    blocks, early, begun = _encode(encoder, raw, what), [np.empty((0, *encoder.shape), encoder.dtype)], time.monotonic()
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
    for block in _encode(encoder, raw, what):
        features[row : row + len(block)] = block
        row += len(block)
    return features


def _encode(encoder: Encoder[RawT], raw: RawT, what: str) -> Iterator[np.ndarray]:
    with progress_bar(f"encoding {what} ({encoder.name})", len(raw)) as advance:
        for start in range(0, len(raw), encoder.at_once):
            block = encoder.encode(raw[start : start + encoder.at_once])
            advance(len(block))
            yield block
