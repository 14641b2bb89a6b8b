"""The interval against tables of Student's t, the density itself, simulation, and worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.scoring.intervals import Estimate, difference_interval, half_width95, interval95, spread, student_t


@pytest.mark.parametrize(
    (
        "dof",
        "t",
    ),  # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, and more digits from R's qt(.975, dof)
    [
        (1, 12.7062047),
        (2, 4.3026527),
        (3, 3.1824463),
        (4, 2.7764451),
        (9, 2.2621572),
        (30, 2.0422725),
        (100, 1.9839715),
    ],
)
def test_student_quantiles(dof: int, t: float) -> None:
    assert student_t(dof) == pytest.approx(t, abs=1e-6)


def test_student_quantile_against_torch_samples_of_the_density() -> None:
    # The density itself, integrated numerically: independent of the series used.
    from math import gamma, pi, sqrt

    dof, t = 7, student_t(7)
    x = np.linspace(-t, t, 200_001)
    density = gamma((dof + 1) / 2) / (sqrt(dof * pi) * gamma(dof / 2)) * (1 + x**2 / dof) ** (-(dof + 1) / 2)
    assert np.trapezoid(density, x) == pytest.approx(0.95, abs=1e-9)


def test_it_covers_the_mean_of_few_normal_values_in_95_percent_of_cases() -> None:
    values = np.random.default_rng(0).standard_normal((5, 40_000))
    low, high = interval95(values).T
    assert ((low < 0) & (high > 0)).mean() == pytest.approx(0.95, abs=0.004)


def test_orders_pooled_with_seeds_would_not() -> None:
    """Why orders are averaged within a seed: 5 seeds of 50 orders with equal spreads."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5, 1, 4_000)) + rng.standard_normal((5, 50, 4_000))
    pooled, averaged = interval95(values.reshape(250, -1)), interval95(values.mean(axis=1))
    covered = [((low < 0) & (high > 0)).mean() for low, high in (pooled.T, averaged.T)]
    assert covered[0] < 0.35
    assert covered[1] == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.7]])
def test_fewer_than_three_values_have_no_interval(values: list[float]) -> None:
    assert np.isnan(interval95(np.array(values))).all()
    assert np.isnan(half_width95(np.array(values)))
    assert spread(np.array(values))["ci95"] == [None, None]


def test_two_values_have_a_mean_and_a_spread() -> None:
    found = spread(np.array([0.5, 0.7]))
    assert found == {"mean": 0.6, "std": pytest.approx(0.1 * 2**0.5), "ci95": [None, None], "values": [0.5, 0.7]}


def test_it_stays_within_what_is_possible() -> None:
    values = np.array([0.9, 0.95, 1.0])
    assert interval95(values)[1] > 1
    assert spread(values, (0.0, 1.0))["ci95"] == [pytest.approx(interval95(values)[0]), 1.0]


def test_welch_worked_case() -> None:
    # NIST/SEMATECH e-Handbook 1.3.5.3 (AUTO83B), the test that does not assume equal variances: T = -12.94627, 136.8750 degrees
    # of freedom.
    low, high = difference_interval(Estimate(20.14458, 6.41470, 249), Estimate(30.48101, 6.10771, 79))
    error = (6.41470**2 / 249 + 6.10771**2 / 79) ** 0.5
    assert -10.33643 / error == pytest.approx(-12.94627, abs=2e-4)
    assert (high - low) / 2 / error == pytest.approx(student_t(136.8750), abs=1e-5)
    assert (low + high) / 2 == pytest.approx(-10.33643)


@pytest.mark.parametrize("gap", np.linspace(-3, 3, 13).tolist())
def test_it_excludes_nothing_exactly_where_welch_test_is_significant(gap: float) -> None:
    from scipy.stats import ttest_ind_from_stats

    one, other = Estimate(gap, 1.3, 5), Estimate(0.0, 0.4, 3)
    low, high = difference_interval(one, other)
    p = ttest_ind_from_stats(*one, *other, equal_var=False).pvalue
    assert (low > 0 or high < 0) == (p < 0.05)


@pytest.mark.parametrize("num", [1, 5])
def test_a_spread_that_is_not_known_adds_no_degrees_of_freedom(num: int) -> None:
    low, high = difference_interval(Estimate(0.0, 1.0, 3), Estimate(0.0, None, num))
    assert (high - low) / 2 == pytest.approx(4.3026527 * (1 / 3 + 1 / num) ** 0.5)  # t of 2 degrees of freedom
    rng = np.random.default_rng(0)
    ours, paper = rng.standard_normal((20_000, 3)), rng.standard_normal((20_000, num)).mean(axis=1)
    half = student_t(2) * ours.std(axis=1, ddof=1) * (1 / 3 + 1 / num) ** 0.5
    assert (np.abs(ours.mean(axis=1) - paper) < half).mean() == pytest.approx(0.95, abs=0.006)


def test_without_any_spread_the_interval_is_the_difference() -> None:
    assert difference_interval(Estimate(1.0, 0.0, 3), Estimate(0.5, 0.0, 3)) == (0.5, 0.5)
