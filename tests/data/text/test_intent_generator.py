"""Generated texts: how many, that all differ, that they are the same tomorrow, and how hard they are."""

from __future__ import annotations

import re

import numpy as np
import pytest

from metacl_run.data.text.intent_generator import MOST_TEXTS, intent_catalogue, intent_texts
from metacl_run.data.text.intent_phrases import PHRASES, WORDS
from metacl_run.data.text.text_encoder import encoder_of


def by_intent(texts: list[str]) -> list[list[str]]:
    count = len(texts) // 30
    return [texts[first : first + count] for first in range(0, len(texts), count)]


def test_thirty_intents_of_five_domains() -> None:
    catalogue = intent_catalogue(7)
    assert (len(set(catalogue.names)), len(set(catalogue.groups))) == (30, 5)
    assert catalogue.counts.tolist() == [7] * 30


def test_texts_of_an_intent_differ_and_more_begin_with_fewer() -> None:
    few, many = by_intent(intent_texts(texts_per_intent=5, seed=3)), by_intent(intent_texts(texts_per_intent=50, seed=3))
    assert [texts[:5] for texts in many] == few
    assert all(len(set(texts)) == 50 for texts in many)
    assert few != by_intent(intent_texts(texts_per_intent=5, seed=4))
    assert not re.search(r"[{}|_]|  ", "\n".join(text for texts in many for text in texts))


def test_every_slot_has_words_and_all_words_have_a_slot() -> None:
    slots = set(re.findall(r"\{(\w+)\}", " ".join(phrase for intents in PHRASES.values() for phrase in intents.values())))
    assert slots == set(WORDS)


def test_an_intent_has_as_many_texts_as_may_be_asked_for() -> None:
    assert all(len(set(texts)) == MOST_TEXTS for texts in by_intent(intent_texts(texts_per_intent=MOST_TEXTS, seed=0)))


@pytest.mark.parametrize(("ways", "shots", "low", "high"), [(5, 1, 0.5, 0.8), (5, 5, 0.75, 0.95)])
def test_they_are_neither_trivial_nor_hopeless(ways: int, shots: int, low: float, high: float) -> None:
    """The nearest class mean on hashed features, 5 of the 30 intents."""
    x = encoder_of("hashed").encode(intent_texts(texts_per_intent=20, seed=0)).reshape(30, 20, -1)
    rng, right = np.random.default_rng(0), []
    for _ in range(100):
        classes = rng.permutation(30)[:ways]
        order = rng.permutation(20)
        means = x[classes][:, order[:shots]].mean(1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        scores = x[classes][:, order[shots:]] @ means.T
        right.append((scores.argmax(-1) == np.arange(ways)[:, None]).mean())
    assert low < np.mean(right) < high
