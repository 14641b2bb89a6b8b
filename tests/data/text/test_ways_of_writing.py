"""Ways of writing: the examples in their documentation, what they never do, and that tasks differ."""

from __future__ import annotations

import doctest
import itertools

import pytest
import torch

from metacl_run.data.text import ways_of_writing, writing_styles
from metacl_run.data.text.intent_generator import intent_texts
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.text_shift import text_shift
from metacl_run.data.text.ways_of_writing import WAYS
from metacl_run.data.text.writing_styles import STYLES

TEXTS = intent_texts(texts_per_intent=5, seed=1)
HARD = ["the", "a.", "I", "?", "to be or not to be", "¿Qué tal?", "ok", "naïve café", "x" * 300]


@pytest.mark.parametrize("module", [ways_of_writing, writing_styles])
def test_the_examples_of_the_documentation(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("way", WAYS)
def test_no_text_is_left_without_a_word_and_the_first_task_changes_none(way: str) -> None:
    for text in [*TEXTS, *HARD]:
        assert WAYS[way].rewrite(text, 0) == text
        assert all(WAYS[way].rewrite(text, task).strip() for task in range(7))


@pytest.mark.parametrize("way", WAYS)
def test_every_task_writes_in_a_way_of_its_own(way: str) -> None:
    tasks = range(len(STYLES)) if way == "style" else range(7)
    written = [[WAYS[way].rewrite(text, task) for text in TEXTS] for task in tasks]
    for one, other in itertools.combinations(written, 2):
        assert sum(a != b for a, b in zip(one, other, strict=True)) > len(TEXTS) / 3
    assert len({WAYS[way].task_name(task) for task in range(12)}) == 12


def test_a_word_is_dropped_in_all_texts_of_a_task_or_in_none() -> None:
    words = sorted({word for text in TEXTS for word in text.split()})
    for task in (1, 2):
        rewritten = WAYS["dropout"].rewrite(" ".join(words), task).split()
        share = 1 - len(rewritten) / len(words)
        assert 0.2 < share < 0.4
        for text in TEXTS:
            left = [word for word in text.split() if word in rewritten]
            assert WAYS["dropout"].rewrite(text, task).split() == (left or text.split())


def test_typos_leave_short_words_and_the_ends_of_long_ones() -> None:
    for text, task in itertools.product(TEXTS, (1, 2, 3)):
        for word, typed in zip(text.split(), WAYS["typos"].rewrite(text, task).split(), strict=True):
            bare = word.strip(",?'.")
            assert (typed[0], typed[-1]) == (word[0], word[-1])
            assert typed == word or len(bare) >= 4


def test_a_shift_encodes_the_texts_as_the_task_writes_them() -> None:
    encoder = encoder_of("hashed")
    shift = text_shift("style", num_tasks=3, encoder=encoder)
    assert list(shift.task_names) == ["as it is", "formal", "casual"]
    by_hand = torch.from_numpy(encoder.encode([STYLES[2][1](text) for text in TEXTS[:4]]))
    torch.testing.assert_close(shift.rewritten(TEXTS[:4], 2), by_hand)
