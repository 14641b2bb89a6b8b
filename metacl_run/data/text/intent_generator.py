"""Makes texts of invented users from phrases and words, without files: what language runs on out of the box.

A text is an opening, a phrase of its intent with its slots filled, and a closing. Openings and closings are the same for all
intents, so that most texts share words with texts of other intents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.intent_phrases import CLOSINGS, OPENINGS, PHRASES, WORDS

MOST_TEXTS = 1000
"""Of each intent: all are different, and there are many times as many to choose from."""


def intent_catalogue(texts_per_intent: int) -> Catalogue:
    """30 intents of 5 domains."""
    names = [intent for intents in PHRASES.values() for intent in intents]
    return Catalogue(
        names=names,
        counts=np.full(len(names), texts_per_intent),
        groups=[domain for domain, intents in PHRASES.items() for _ in intents],
        group_word="domains",
        class_word="intents",
    )


def intent_texts(*, texts_per_intent: int, seed: int) -> list[str]:
    """[30 * texts_per_intent] texts, intent by intent, all texts of an intent different.

    Fewer texts of each intent are the first of more.
    """
    openings, closings = _divided(OPENINGS), _divided(CLOSINGS)
    words = {slot: [word.replace("_", " ") for word in fillings.split()] for slot, fillings in WORDS.items()}
    texts: list[str] = []
    for number, phrases in enumerate(phrases for intents in PHRASES.values() for phrases in intents.values()):
        rng, choices = np.random.default_rng([seed, number]), _divided(phrases)
        made: dict[str, None] = {}
        while len(made) < texts_per_intent:
            parts = (_one_of(openings, rng), _filled(_one_of(choices, rng), words, rng), _one_of(closings, rng))
            made[" ".join(part for part in parts if part)] = None
        texts += made
    return texts


def _divided(phrases: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in phrases.split("|")]


def _one_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _filled(phrase: str, words: dict[str, list[str]], rng: np.random.Generator) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: _one_of(words[slot[1]], rng), phrase)
