"""WordLlama: the mean of a static vector for every token, from the two files of the package `wordllama` (extra `text`).

The files are read directly: in 0.4.0.post1 `WordLlama.load(disable_download=True)` does not find the tokenizer that the package
brings along, and would ask the network for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metacl_run.core.errors import DataError, SettingError, described
from metacl_run.data.encoders.weights_digest import digest_of
from metacl_run.data.text.text_encoder import TextEncoder

VERSION = 1
"""Part of the fingerprint: raise it when a text gets other features from the same weights."""
WEIGHTS = Path("weights", "l2_supercat_256.safetensors")
TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
DIMENSIONS = 256
PACKAGES = ("wordllama", "safetensors", "tokenizers")
INSTALL = "pip install 'metacl-run[text]'"


class WordLlamaEncoder(TextEncoder):
    """Averages the vectors of a text's tokens, and divides the mean by its length; a text without a token is the zero vector.

    The vectors were distilled from the token tables of language models (WordLlama, `l2_supercat`, 256 dimensions).
    """

    name = "wordllama"
    shape = (DIMENSIONS,)

    def __init__(self, folder: Path) -> None:
        self._weights, self._tokenizer = folder / WEIGHTS, folder / TOKENIZER

    @classmethod
    def of(cls, argument: str | None) -> WordLlamaEncoder:
        """wordllama; there is no argument."""
        if argument is not None:
            raise SettingError("encoder", f"wordllama:{argument}", "takes nothing after a colon; write wordllama")
        missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
        if missing:
            raise SettingError(
                "encoder", "wordllama", f"needs {', '.join(missing)}: {INSTALL}. Without it: data.encoder=hashed"
            )
        locations = importlib.util.find_spec("wordllama").submodule_search_locations  # type: ignore[union-attr]
        encoder = cls(Path(next(iter(locations or [""]))))
        absent = [path.name for path in (encoder._weights, encoder._tokenizer) if not path.is_file()]
        if absent:
            version = importlib.metadata.version("wordllama")
            allowed = f"wordllama {version} comes without {' and '.join(absent)}; {INSTALL} brings a version that has them"
            raise SettingError("encoder", "wordllama", allowed)
        return encoder

    @cached_property
    def fingerprint(self) -> str:
        return f"wordllama version {VERSION} {digest_of([self._weights, self._tokenizer])}"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        from scipy.sparse import csr_array

        table, tokenizer = self._loaded
        tokens = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        ends = np.cumsum([0, *map(len, tokens)])
        flat = np.fromiter((token for text in tokens for token in text), np.int64, ends[-1])
        counts = csr_array((np.ones(len(flat), np.float32), flat, ends), shape=(len(texts), len(table)))
        sums = counts @ table
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / np.where(lengths > 0, lengths, 1), np.float32)

    @cached_property
    def _loaded(self) -> tuple[np.ndarray, Any]:
        """The vectors [tokens, DIMENSIONS], and the tokenizer. Raises DataError."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            table = load_file(self._weights)["embedding.weight"].astype(np.float32)
            return table, Tokenizer.from_file(str(self._tokenizer))
        except Exception as error:  # a Rust library's exceptions have no common class
            raise DataError(f"{self._weights.parents[1]}: the files of wordllama are broken: {described(error)}") from None
