"""Hashed features and token numbers, against their definitions written as slow loops."""

from __future__ import annotations

import math
import re
import unicodedata
import zlib

import numpy as np
import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.text.intent_generator import intent_texts
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.words import words_of

TEXTS = [
    "What's my balance, please?",
    "play play PLAY some Jazz",
    "",
    "?! ...",
    "a",
    "\u4f60\u597d caf\u00e9",
    "x" * 300,
]


def counted(features: list[str], size: int) -> list[float]:
    counts = [0.0] * size
    for feature in features:
        value = zlib.crc32(feature.encode())
        counts[value % 2**31 % size] += -1 if value >= 2**31 else 1
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length if length else 0.0 for count in counts]


@pytest.mark.parametrize(("setting", "half"), [("hashed", 512), ("hashed:64", 32)])
def test_features_are_signed_counts_of_hashes(setting: str, half: int) -> None:
    expected = []
    for text in TEXTS:
        words = words_of(text)
        runs = [f" {word} "[at : at + size] for word in words for size in (3, 4) for at in range(len(word) + 3 - size)]
        pairs = [f"{words[at]} {words[at + 1]}" for at in range(len(words) - 1)]
        expected.append(counted(words + pairs, half) + counted(runs, half))
    encoder = encoder_of(setting)
    features = encoder.encode(TEXTS)
    assert features.dtype == np.float32
    assert encoder.shape == features.shape[1:] == (2 * half,)
    assert np.allclose(features, expected, atol=1e-6)
    assert np.array_equal(features.any(1), [True, True, False, False, True, True, True])


def test_a_text_is_encoded_by_itself() -> None:
    many = [f"{text} {number}" for number in range(700) for text in TEXTS]  # more than are counted together
    for setting in ("hashed:64", "trained"):
        encoder = encoder_of(setting)
        assert np.array_equal(encoder.encode(many), np.concatenate([encoder.encode([text]) for text in many]))
        assert encoder.encode([]).shape == (0, *encoder.shape)


def test_words() -> None:
    assert words_of("What\u2019s the R2_D2's 3.5 'quote'?") == ["what's", "the", "r2_d2's", "3", "5", "quote"]
    assert words_of("cafe\u0301 \ufb01ne") == words_of("caf\u00e9 fine")


def test_marks_belong_to_their_word() -> None:
    hindi, hebrew = ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u092e\u0947\u0902"], ["\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd"]
    for words in (hindi, hebrew):
        assert words_of(", ".join(words)) == words
    assert words_of("\u0301 x\u0304") == ["x\u0304"]  # no word without a letter


def test_english_words_are_runs_of_letters_as_they_were() -> None:
    signs = (
        "3\ufe0f\u20e3 \u2764\ufe0f \U0001f600 it\u2019s \u00a35\u2026 \u2013 \u201cquote\u201d r\u00e9sum\u00e9's na\u00efve"
    )
    for text in [*TEXTS, *intent_texts(texts_per_intent=20, seed=0), signs]:
        plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
        assert words_of(text) == re.findall(r"\w+(?:'\w+)*", plain)


def test_token_numbers_are_hashes_of_words_filled_up_with_0() -> None:
    numbers = encoder_of("trained:4").encode(["Play jazz", "one two three four five", ""])
    number = {word: zlib.crc32(word.encode()) % 8191 + 1 for word in ("play", "jazz", "one", "two", "three", "four")}
    first, second = [number["play"], number["jazz"], 0, 0], [number[word] for word in ("one", "two", "three", "four")]
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [first, second, [0] * 4]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("hashd", "encoder=hashd: must be one of hashed, wordllama, sentence, trained. Did you mean hashed?"),
        ("hashed:65", "encoder=hashed:65: the dimensions must be an even number from 64 to 16384, as in hashed:2048"),
        ("hashed:32768", "encoder=hashed:32768: the dimensions must be an even number from 64 to 16384, as in hashed:2048"),
        ("hashed:", "encoder=hashed:: the dimensions must be an even number from 64 to 16384, as in hashed:2048"),
        ("trained:0", "encoder=trained:0: the length must be a whole number of words from 1 to 512, as in trained:48"),
    ],
)
def test_wrong_settings(setting: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        encoder_of(setting)
    assert str(error.value) == message
