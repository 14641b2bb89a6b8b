"""Encoded texts, computed once and stored in the user's cache folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metacl_run.data.text.encoder import Encoder


def encoded(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """[N, *shape] the texts as examples."""
    return encoder.encode(texts)
