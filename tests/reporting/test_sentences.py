"""What the numbers of a run say in words."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.reporting.sentences import describe_matrix, describe_meta_test
from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.scoring.objectives import REGRESSION

NAN = float("nan")
ROWS = np.array([[0.10, 0.10, 0.10], [0.80, 0.20, 0.10], [0.90, 0.70, 0.15], [0.85, 0.75, 0.60]])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [[0.2, 0.2], [0.71, 0.2], [0.59, 0.8]],
            "Mean accuracy 0.70 on all 2 tasks at the end; chance is 0.20. "
            "Forgetting 0.12: accuracy on earlier tasks fell from 0.71 at best to 0.59 at the end.",
        ),
        (
            [[0.2, 0.2], [0.60, 0.2], [0.75, 0.8]],
            "Mean accuracy 0.78 on all 2 tasks at the end; chance is 0.20. "
            "Backward transfer +0.15: accuracy on earlier tasks rose from 0.60 when learned to 0.75 at the end.",
        ),
        (
            [[0.2, 0.2], [0.60, 0.2], [0.60, 0.8]],
            "Mean accuracy 0.70 on all 2 tasks at the end; chance is 0.20. "
            "Nothing was forgotten: accuracy on earlier tasks went from 0.60 when learned to 0.60 at the end.",
        ),
        (
            [[0.2, 0.2], [0.24, 0.2], [0.20, 0.25]],
            "Mean accuracy 0.23 on all 2 tasks at the end; chance is 0.20. "
            "Forgetting 0.04: accuracy on earlier tasks fell from 0.24 at best to 0.20 at the end. "
            "Accuracy when learned is near chance: there was little to forget.",
        ),
        (
            [[0.2, 0.2], [0.22, 0.2], [0.20, 0.21]],
            "Nothing was learned: accuracy right after learning a task is 0.21, and chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.21, 0.2], [NAN, NAN]],
            "After 1 of 2 tasks. Nothing was learned: accuracy right after learning a task is 0.21, and chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.7, NAN], [NAN, 0.8]],  # the second row was left out
            "After 1 of 2 tasks. Accuracy 0.70 after learning, 0.20 before; chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.7, 0.2], [NAN, NAN]],
            "After 1 of 2 tasks. Accuracy 0.70 after learning, 0.20 before; chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [NAN, NAN], [NAN, NAN]],
            "Only the untrained learner was evaluated: accuracy 0.20; chance is 0.20.",
        ),
        ([[NAN, NAN], [NAN, NAN], [NAN, NAN]], "No evaluation gave a finite accuracy for every seed."),
    ],
)
def test_reading(rows: list[list[float]], sentence: str) -> None:
    assert describe_matrix(np.array([rows]), 0.2) == sentence


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [[4.0, 4.0], [0.59, 4.0], [0.714, 0.8]],
            "Mean squared error 0.757 on all 2 tasks at the end. "
            "Forgetting 0.124: mean squared error on earlier tasks rose from 0.59 at best to 0.714 at the end.",
        ),
        (
            [[4.0, 4.0], [0.75, 4.0], [0.6, 0.8]],
            "Mean squared error 0.7 on all 2 tasks at the end. "
            "Backward transfer +0.15: mean squared error on earlier tasks fell from 0.75 when learned to 0.6 at the end.",
        ),
        (
            [[4.0, 4.0], [0.001, 4.0], [0.001, 0.8]],
            "Mean squared error 0.401 on all 2 tasks at the end. "
            "Nothing was forgotten: mean squared error on earlier tasks went from 0.001 when learned to 0.001 at the end.",
        ),
        (
            [[4.0, 4.0], [0.7, 4.0], [NAN, NAN]],
            "After 1 of 2 tasks. Mean squared error 0.7 after learning, 4 before.",
        ),
        (
            [[4.0, 4.0], [4.1, 4.0], [4.0, 3.97]],
            "Nothing was learned: mean squared error right after learning a task is 4.04, 4 before.",
        ),
        ([[12.34, 12.34], [NAN, NAN], [NAN, NAN]], "Only the untrained learner was evaluated: mean squared error 12.3."),
    ],
)
def test_reading_of_errors(rows: list[list[float]], sentence: str) -> None:
    assert describe_matrix(np.array([rows]), None, REGRESSION) == sentence


def test_rows_left_out_are_not_looked_for() -> None:
    """Three tasks, evaluated after the last; the others right after each was learned."""
    rows = [[0.1, 0.1, 0.1], [0.8, NAN, NAN], [NAN, 0.7, NAN], [0.5, 0.6, 0.9]]
    assert describe_matrix(np.array([rows]), 0.1) == (
        "Mean accuracy 0.67 on all 3 tasks at the end; chance is 0.10. "
        "Forgetting 0.20: accuracy on earlier tasks fell from 0.75 when learned to 0.55 at the end."
    )


@pytest.mark.parametrize(("chance", "learned", "nothing"), [(0.5, 0.54, True), (0.5, 0.56, False), (0.01, 0.03, False)])
def test_near_chance_depends_on_chance(chance: float, learned: float, nothing: bool) -> None:
    rows = np.array([[[chance] * 2, [learned, chance], [learned] * 2]])
    assert describe_matrix(rows, chance).startswith("Nothing was learned") == nothing


def test_the_sentence_agrees_with_the_metric_when_seeds_peak_at_different_times() -> None:
    other = ROWS.copy()
    other[1, 0] = 0.95
    matrix = np.stack([ROWS - 0.0, other])
    matrix[:, -1, :2] -= 0.3
    assert f"Forgetting {summarise(matrix)['forgetting']['mean']:.2f}:" in describe_matrix(matrix, None)


def test_a_meta_test_in_words() -> None:
    text = describe_meta_test(600, 0.58, 0.9, NAN, None)
    assert text == (
        "After learning 600 unseen classes in one pass, 58% of held-out examples are still recognised (memory 90%); "
        "chance is 0.2%."
    )
    assert describe_meta_test(10, 0.58, 0.9, 0.7, "train") == text.replace("600", "10").replace("0.2%", "10%") + (
        " Joint training on the same classes, shuffled, gives 70%."
    )
    assert describe_meta_test(100, 0.01, 0.02, NAN, None).startswith(
        "Nothing was remembered: after learning 100 unseen classes"
    )
    assert "tuned on test" in describe_meta_test(10, 0.58, 0.9, NAN, "test")
    assert "no finite accuracy" in describe_meta_test(10, NAN, NAN, NAN, None)
