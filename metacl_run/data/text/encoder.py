"""The interface of a text encoder, which turns texts into what a network takes, and the choice of one by name."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from metacl_run.core.errors import SettingError, nearest

ENCODERS = {
    "hashed": "metacl_run.data.text.hashed_encoder.HashedEncoder",
    "wordllama": "metacl_run.data.text.wordllama_encoder.WordLlamaEncoder",
    "sentence": "metacl_run.data.text.sentence_encoder.SentenceEncoder",
    "trained": "metacl_run.data.text.token_encoder.TokenEncoder",
}
"""The class of every encoder, imported when it is first used: some need an extra."""


class Encoder(abc.ABC):
    """Turns texts into arrays, each text by itself and always alike."""

    name: str
    """As `data.encoder` has it."""
    shape: tuple[int, ...]
    """Of one encoded text."""
    dtype: type[np.generic] = np.float32
    """float32 for features, int64 for token numbers."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """What the features depend on: the method, its version, a digest of the weights. Enters the run id and the cache."""

    @abc.abstractmethod
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts.

        Returns:
            [N, *shape] of `dtype`.
        """


@lru_cache(maxsize=8)
def encoder_of(setting: str) -> Encoder:
    """The encoder that a setting names: its name alone, or with an argument after a colon, as in sentence:FOLDER.

    Raises:
        SettingError: there is no such encoder, its argument is wrong, or a package or its weights are missing.
    """
    name, colon, argument = setting.partition(":")
    if name not in ENCODERS:
        allowed = f"must be one of {', '.join(ENCODERS)}.{nearest(name, ENCODERS)}"
        raise SettingError("encoder", setting, allowed)
    module, _, class_name = ENCODERS[name].rpartition(".")
    encoder: Encoder = getattr(importlib.import_module(module), class_name).of(argument if colon else None)
    return encoder
