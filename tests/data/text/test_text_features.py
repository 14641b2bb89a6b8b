"""Encoded texts: which are stored, that they are found again, and what happens where they cannot be stored."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from metacl_run.data import progress_bar
from metacl_run.data.encoders import features
from metacl_run.data.text.text_encoder import TextEncoder
from metacl_run.data.text.text_features import encoded

TEXTS = [f"text {number}" for number in range(1300)]


class Lengths(TextEncoder):
    """The length of a text, beside its last character; counts the texts that it has encoded."""

    name = "lengths[of]:/a/folder"
    shape = (2,)

    def __init__(self, fingerprint: str = "1") -> None:
        self._fingerprint, self.num_encoded = fingerprint, 0

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.num_encoded += len(texts)
        return np.array([[len(text), ord(text[-1])] for text in texts], np.float32)


EXPECTED = Lengths().encode(TEXTS)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every encoder counts as slow."""
    monkeypatch.setattr(features, "QUICK_SECONDS", -1.0)
    monkeypatch.setattr(progress_bar, "QUICK_SECONDS", -1.0)


def test_quick_features_are_not_stored(cache: Path) -> None:
    assert np.array_equal(encoded(Lengths(), TEXTS), EXPECTED)
    assert encoded(Lengths(), []).shape == (0, 2)
    assert not cache.exists()


@pytest.mark.usefixtures("slow")
def test_slow_features_are_computed_once(cache: Path) -> None:
    encoder = Lengths()
    first = encoded(encoder, TEXTS)
    again = encoded(encoder, list(TEXTS))
    assert encoder.num_encoded == len(TEXTS)
    assert np.array_equal(first, EXPECTED)
    again += 1  # stays in memory
    assert np.array_equal(encoded(encoder, TEXTS), EXPECTED)
    (entry,) = (cache / "features").iterdir()
    assert np.array_equal(np.load(entry), EXPECTED)
    assert b"text 1" not in entry.read_bytes()


@pytest.mark.usefixtures("slow")
def test_other_texts_and_another_fingerprint_are_other_entries(cache: Path) -> None:
    encoders = [Lengths(), Lengths("2")]
    for texts in (["ab", "c"], ["a", "bc"], ["abc"]):
        for encoder in encoders:
            assert np.array_equal(encoded(encoder, texts), Lengths().encode(texts))
    assert [encoder.num_encoded for encoder in encoders] == [5, 5]
    assert len(list((cache / "features").iterdir())) == 6


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("place", [3, 100, 200, -1])
def test_a_damaged_entry_is_made_anew(cache: Path, place: int) -> None:
    encoded(Lengths(), TEXTS)
    (entry,) = (cache / "features").iterdir()
    content = bytearray(entry.read_bytes())
    content[place] ^= 1
    for damaged in (content, content[:-5000], b""):
        entry.write_bytes(damaged)
        encoder = Lengths()
        assert np.array_equal(encoded(encoder, TEXTS), EXPECTED)
        assert encoder.num_encoded == len(TEXTS)


@pytest.mark.usefixtures("slow")
def test_without_a_place_features_are_in_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    assert np.array_equal(encoded(Lengths(), TEXTS), EXPECTED)
    cache.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert np.array_equal(encoded(Lengths(), TEXTS), EXPECTED)
    assert not list((cache / "features").iterdir())


@pytest.mark.usefixtures("slow")
def test_half_a_surrogate_pair_is_a_question_mark(cache: Path) -> None:
    assert encoded(Lengths(), ["a\ud800"]).tolist() == [[2, ord("?")]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_bar_is_shown_on_a_terminal_alone(cache: Path, monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO]) -> None:
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    encoded(Lengths(), TEXTS)
    output = stream.getvalue()
    assert ("encoding texts (lengths[of]:/a/folder)" in output) == (kind is Terminal)
    assert ("1300/1300" in output) == (kind is Terminal)
    assert "text 1" not in output
