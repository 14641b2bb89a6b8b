"""Encodes texts; features that took time are kept (`data.encoders.features`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from metacl_run.data.encoders.features import features_of
from metacl_run.data.text.text_encoder import TextEncoder
from metacl_run.data.text.words import without_surrogates


def encoded(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    """Returns the texts as examples [N, *shape], of the encoder's type.

    Half of a surrogate pair, which UTF-8 does not know, becomes "?".
    """
    texts = [without_surrogates(text) for text in texts]
    return features_of(encoder, texts, digest=_digest(texts), what="texts")


def _digest(texts: Sequence[str]) -> str:
    """A digest of the texts in their order; it tells ["ab"] from ["a", "b"]."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode()
        digest.update(b"%d " % len(content))
        digest.update(content)
    return digest.hexdigest()
