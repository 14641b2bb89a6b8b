"""Few seeds compared: by hand, by brute force, against published properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from metacl_run.scoring.statistics import (
    EXACT_UP_TO,
    fewest_for,
    holm,
    interquartile_mean,
    sign_flip_p,
    smallest_p,
)


def every_sign(differences: np.ndarray) -> float:
    """p by going through all assignments of signs, one after another."""
    seen = abs(math.fsum(differences))
    sums = [abs(math.fsum(d * s for d, s in zip(differences, signs, strict=True))) for signs in _all(len(differences))]
    return sum(each >= seen - 1e-12 for each in sums) / len(sums)


def _all(num: int) -> itertools.product:
    return itertools.product((-1, 1), repeat=num)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0, 1, 2, 100, 3, 4, -50, 6], (2 + 3 + 4 + 5) / 4),
        ([1.0, 2, 3, 4, 100], 3.0),
        ([1.0, 2, 6], 3.0),
        ([7.0], 7.0),
    ],
)
def test_interquartile_mean_by_hand(values: list[float], expected: float) -> None:
    assert interquartile_mean(np.array(values)) == pytest.approx(expected)


def test_interquartile_mean_of_rows_and_of_what_is_missing() -> None:
    rows = np.array([[1.0, 2, 3, 10], [1, 2, 3, np.nan]])
    np.testing.assert_array_equal(interquartile_mean(rows), [2.5, np.nan])


@pytest.mark.parametrize("num", [1, 2, 5, 6, 9])
def test_sign_flips_equal_brute_force(num: int) -> None:
    rows = np.random.default_rng(num).normal(loc=0.4, size=(7, num)).round(1)  # rounded, so that sums tie
    np.testing.assert_allclose(sign_flip_p(rows), [every_sign(row) for row in rows], rtol=0, atol=1e-15)


def test_the_extreme_cases_of_sign_flips() -> None:
    assert sign_flip_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])) == 2 / 64
    assert sign_flip_p(np.array([-0.1] * 6)) == 2 / 64
    assert sign_flip_p(np.zeros(6)) == 1.0
    assert math.isnan(sign_flip_p(np.array([1.0, np.nan, 1.0])))
    assert sign_flip_p(np.empty((0, 6))).shape == (0,)


def test_beyond_what_is_gone_through_the_drawn_p_is_near_the_exact_one_and_never_zero() -> None:
    num = EXACT_UP_TO + 1
    differences = np.linspace(-0.8, 1.4, num)
    signs = np.array(list(_all(num)))
    exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    assert 0.01 < exact < 0.5
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact / 2**EXACT_UP_TO))
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert smallest_p(40) <= sign_flip_p(np.ones(40)) < 1e-3


def test_p_is_uniform_where_there_is_no_difference() -> None:
    p = sign_flip_p(np.random.default_rng(0).normal(size=(4000, 8)))
    for level in (0.05, 0.25, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.025)


def test_how_many_seeds_a_small_p_needs() -> None:
    assert (smallest_p(5), smallest_p(6)) == (0.0625, 0.03125)
    assert (fewest_for(0.05), fewest_for(0.01)) == (6, 8)


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04 times 4 3 2 1, never below the one before
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, np.nan, 0.9])), [1.0, np.nan, 1.0])
    assert holm(np.array([])).shape == (0,)
