"""The area under the ROC curve, against a hand-worked example and the loop over pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metacl_run.scoring.auroc import auroc


def test_hand_worked_example_with_ties() -> None:
    # .9 is above all three; .6 above .2 and level with .6; .5 above .2 alone: 3 + 1.5 + 1 of nine pairs
    assert auroc(np.array([0.9, 0.6, 0.5]), np.array([0.7, 0.6, 0.2])) == pytest.approx((3 + 1.5 + 1) / 9)
    assert auroc(np.array([2.0, 3.0]), np.array([1.0])) == 1
    assert auroc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5


def test_it_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    higher, lower = rng.integers(0, 12, 70) / 10, rng.integers(-2, 9, 41) / 10
    loop = np.mean([(a > b) + 0.5 * (a == b) for a in higher for b in lower])
    assert auroc(higher, lower) == pytest.approx(loop, abs=1e-12)
    assert auroc(lower, higher) == pytest.approx(1 - loop, abs=1e-12)


def test_what_is_not_a_number_is_not_hidden() -> None:
    assert math.isnan(auroc(np.array([0.1, np.nan]), np.array([0.2])))
    assert math.isnan(auroc(np.array([0.1]), np.array([np.nan])))
