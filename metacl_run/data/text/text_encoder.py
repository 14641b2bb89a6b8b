"""The encoders of texts, by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from metacl_run.data.encoders.encoder import Encoder, named_encoder

ENCODERS = {
    "hashed": "metacl_run.data.text.hashed_encoder.HashedEncoder",
    "wordllama": "metacl_run.data.text.wordllama_encoder.WordLlamaEncoder",
    "sentence": "metacl_run.data.text.sentence_encoder.SentenceEncoder",
    "trained": "metacl_run.data.text.token_encoder.TokenEncoder",
}
"""The class of every encoder, imported when it is first used: some need an extra."""
TextEncoder: TypeAlias = Encoder[Sequence[str]]


@lru_cache(maxsize=8)
def encoder_of(setting: str) -> TextEncoder:
    """The encoder of texts that a setting names. Raises SettingError, see `named_encoder`."""
    return named_encoder(setting, ENCODERS)
