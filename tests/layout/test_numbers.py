"""Numbers in labels and sentences."""

from __future__ import annotations

import pytest

from metacl_run.layout.numbers import label_value, number
from metacl_run.scoring.scores import ACCURACY, MSE, Score, chance_text


@pytest.mark.parametrize(
    ("value", "score", "text"),
    [
        (0.81, MSE, "0.810"),  # beside 0.884
        (0.884, MSE, "0.884"),
        (4.65, MSE, "4.650"),
        (0.0012345, MSE, "0.00123"),
        (1234.5, MSE, "1.23e+03"),
        (0.8249, ACCURACY, "0.82"),
    ],
)
def test_a_label_keeps_name_and_score_apart(value: float, score: Score, text: str) -> None:
    assert label_value(value, score) == f"\u00a0·\u00a0{text}"


@pytest.mark.parametrize(("chance", "text"), [(0.5, "0.50"), (0.1, "0.10"), (1 / 15, "0.067"), (1 / 150, "0.0067")])
def test_a_small_chance_is_not_rounded_away(chance: float, text: str) -> None:
    assert chance_text(chance) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.5, "0.500"),
        (-0.0005, "-0.001"),
        (0.0003, "3.0e-04"),  # a mean squared error, which is not 0
        (-0.0001, "-1.0e-04"),
        (0.1 + 0.2 - 0.3, "0.000"),
        (-0.0, "0.000"),
    ],
)
def test_a_value_that_is_not_0_is_not_written_as_0(value: float | None, text: str) -> None:
    assert number(value) == text
