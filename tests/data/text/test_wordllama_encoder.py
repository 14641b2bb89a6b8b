"""WordLlama's vectors, against the mean of its rows; skipped where the package is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import DataError, SettingError
from metacl_run.data.text.wordllama_encoder import TOKENIZER, WEIGHTS, WordLlamaEncoder

TEXTS = ["what is my balance", "", "caf\u00e9 \u4f60\u597d \U0001f600", "play " * 200]


@pytest.fixture
def folder() -> Path:
    for package in ("safetensors", "tokenizers"):
        pytest.importorskip(package)
    if (spec := importlib.util.find_spec("wordllama")) is None:
        pytest.skip("wordllama is not installed")
    return Path(next(iter(spec.submodule_search_locations or [])))


def test_features_are_means_of_rows(folder: Path) -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    rows = load_file(folder / WEIGHTS)["embedding.weight"].astype(np.float64)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    encoder = WordLlamaEncoder.of(None)
    features = encoder.encode(TEXTS)
    assert features.dtype == np.float32
    assert features.shape == (4, *encoder.shape)
    for text, feature in zip(TEXTS, features, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        mean = rows[ids].mean(0) if ids else np.zeros(256)
        assert np.allclose(feature, mean / (np.linalg.norm(mean) or 1), atol=1e-6)


def test_the_fingerprint_is_of_the_files(folder: Path, tmp_path: Path) -> None:
    copies = []
    for number in range(2):
        for file in (WEIGHTS, TOKENIZER):
            copy = tmp_path / str(number) / file
            copy.parent.mkdir(parents=True)
            content = (folder / file).read_bytes()
            copy.write_bytes(content if number == 0 or file is TOKENIZER else content[:-1] + b"!")
        copies.append(WordLlamaEncoder(tmp_path / str(number)).fingerprint)
    assert copies[0] == WordLlamaEncoder.of(None).fingerprint != copies[1]


def test_broken_weights(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("tokenizers")
    (tmp_path / WEIGHTS).parent.mkdir()
    (tmp_path / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(DataError, match="the files of wordllama are broken: "):
        WordLlamaEncoder(tmp_path).encode(["a"])


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError) as error:
        WordLlamaEncoder.of(None)
    assert str(error.value) == (
        "encoder=wordllama: needs wordllama, safetensors, tokenizers: pip install 'metacl-run[text]'. "
        "Without it: data.encoder=hashed"
    )
