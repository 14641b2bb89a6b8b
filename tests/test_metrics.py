"""Metrics against the hand-worked matrix of the design notes, published variants, and tables of Student's t."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from metacl_run import metrics
from metacl_run.objectives import REGRESSION
from metacl_run.scores import SCORES

NAN = float("nan")
ROWS = np.array([[0.10, 0.10, 0.10], [0.80, 0.20, 0.10], [0.90, 0.70, 0.15], [0.85, 0.75, 0.60]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 2.2 / 3),
        ("learning_accuracy", 0.70),
        ("bti", 0.1 / 3),
        ("bwt", 0.05),
        ("fwt", 0.075),
        ("forgetting", 0.0),
        ("anytime_accuracy", (0.80 + 0.80 + 2.2 / 3) / 3),
        ("min_accuracy", (0.85 + 0.75) / 2),
        ("worst_case_accuracy", 0.60 / 3 + 2 / 3 * 0.80),
    ],
)
def test_hand_worked_matrix(name: str, value: float) -> None:
    assert metrics.evaluate(ROWS)[name] == pytest.approx(value, abs=1e-12)


ERRORS = np.array([[4.0, 4.0, 4.0], [1.0, 3.0, 4.0], [2.0, 0.5, 3.0], [1.5, 1.0, 0.8]])
"""The rows of a regression: mean squared errors."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mse", 3.3 / 3),
        ("learning_mse", (1.0 + 0.5 + 0.8) / 3),
        ("bti", -1.0 / 3),
        ("bwt", ((1.0 - 1.5) + (0.5 - 1.0)) / 2),
        ("fwt", ((4.0 - 3.0) + (4.0 - 3.0)) / 2),
        ("forgetting", ((1.5 - 1.0) + (1.0 - 0.5)) / 2),
        ("anytime_mse", (1.0 + (2.0 + 0.5) / 2 + 1.1) / 3),
        ("max_mse", (2.0 + 1.0) / 2),
        ("worst_case_mse", 0.8 / 3 + 2 / 3 * 1.5),
    ],
)
def test_hand_worked_matrix_of_errors(name: str, value: float) -> None:
    assert metrics.evaluate(ERRORS, objective=REGRESSION)[name] == pytest.approx(value, abs=1e-12)


def test_the_largest_error_at_a_probe_counts() -> None:
    probes = np.array([[0.1, 9.0, 9.0], [7.0, 0.1, 9.0], [3.0, 5.0, 9.0]])
    found = metrics.summarise(ERRORS[None], probes[:, None], [0, 1, 2], REGRESSION)
    assert found["max_mse"]["mean"] == pytest.approx((7.0 + 5.0) / 2)
    assert found["worst_case_mse"]["mean"] == pytest.approx(0.8 / 3 + 2 / 3 * 6.0)


@pytest.mark.parametrize("score", SCORES)
def test_every_metric_has_its_meaning_in_the_order_of_a_table(score: str) -> None:
    assert list(metrics.evaluate(ROWS, objective=SCORES[score])) == list(metrics.MEANINGS[score])
    assert list(metrics.evaluate(ROWS[:2, :1], objective=SCORES[score])) == [score]


def test_published_variants_relate_to_ours_as_documented() -> None:
    # GEM's released code sums T - 1 terms and divides by T.
    assert metrics.bwt(ROWS) * 2 / 3 == pytest.approx(0.0333, abs=5e-5)
    assert metrics.fwt(ROWS) * 2 / 3 == pytest.approx(0.050)
    # Mammoth takes the maximum over the last row too.
    including_last = (ROWS[1:, :-1].max(axis=0) - ROWS[-1, :-1]).mean()
    assert including_last == pytest.approx(0.025)
    assert np.maximum(metrics.forgetting_per_task(ROWS), 0).mean() == pytest.approx(including_last)


def test_forgetting_per_task_is_signed() -> None:
    np.testing.assert_allclose(metrics.forgetting_per_task(ROWS), [0.05, -0.05])


def test_probes_count_only_after_their_task_was_learned() -> None:
    probes = np.array([[0.10, 0.9, 0.9], [0.50, 0.05, 0.9], [0.70, 0.40, 0.01]])
    # Probe 0 comes while task 0 is learned: nothing is learned yet. Probe 1 may lower task 0, probe 2 tasks 0 and 1.
    assert metrics.min_accuracy(ROWS, probes, [0, 1, 2]) == pytest.approx((0.50 + 0.40) / 2)
    assert metrics.worst_case_accuracy(ROWS, probes, [0, 1, 2]) == pytest.approx(0.60 / 3 + 2 / 3 * 0.45)


def test_summarise_gives_each_replicate_its_own_probes() -> None:
    matrix = np.stack([ROWS, ROWS])
    probes = np.array([[[0.5, 1, 1], [0.3, 1, 1]]])
    assert metrics.summarise(matrix, probes, [1])["min_accuracy"]["values"] == pytest.approx([0.625, 0.525])


def test_interval_over_replicates() -> None:
    matrix = np.stack([ROWS - 0.1, ROWS, ROWS + 0.1])
    summary = metrics.summarise(matrix)["accuracy"]
    half = 4.302653 * 0.1 / np.sqrt(3)  # t of 2 degrees of freedom; the standard deviation is 0.1 exactly
    assert summary["mean"] == pytest.approx(2.2 / 3)
    assert summary["std"] == pytest.approx(0.1)
    assert summary["ci95"] == pytest.approx([2.2 / 3 - half, 2.2 / 3 + half], abs=1e-6)
    assert summary["values"] == pytest.approx([2.2 / 3 - 0.1, 2.2 / 3, 2.2 / 3 + 0.1])


def test_one_replicate_has_no_spread() -> None:
    summary = metrics.summarise(ROWS[None])["bwt"]
    assert (summary["std"], summary["ci95"]) == (None, [None, None])
    assert summary["mean"] == pytest.approx(0.05)


def test_one_task_has_accuracy_only() -> None:
    assert list(metrics.summarise(np.array([[[0.2], [0.9]]]))) == ["accuracy"]


def test_unreached_metrics_are_left_out_and_half_reached_ones_have_no_mean() -> None:
    partial = ROWS.copy()
    partial[2:] = NAN
    assert metrics.summarise(partial[None]) == {}
    summary = metrics.summarise(np.stack([ROWS, partial]))["accuracy"]
    assert summary == {"mean": None, "std": None, "ci95": [None, None], "values": [pytest.approx(2.2 / 3), None]}


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
    assert metrics.student_t(dof) == pytest.approx(t, abs=1e-6)


def test_student_quantile_against_torch_samples_of_the_density() -> None:
    # The density itself, integrated numerically: independent of the series used.
    from math import gamma, pi, sqrt

    dof, t = 7, metrics.student_t(7)
    x = np.linspace(-t, t, 200_001)
    density = gamma((dof + 1) / 2) / (sqrt(dof * pi) * gamma(dof / 2)) * (1 + x**2 / dof) ** (-(dof + 1) / 2)
    assert np.trapezoid(density, x) == pytest.approx(0.95, abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [[0.2, 0.2], [0.71, 0.2], [0.59, 0.8]],
            "Forgetting 0.12: accuracy on earlier tasks fell from 0.71 at best to 0.59 at the end; chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.60, 0.2], [0.75, 0.8]],
            "Backward transfer +0.15: accuracy on earlier tasks rose from 0.60 when learned to 0.75 at the end; "
            "chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.60, 0.2], [0.60, 0.8]],
            "Nothing was forgotten: accuracy on earlier tasks went from 0.60 when learned to 0.60 at the end; chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [0.22, 0.2], [0.20, 0.2]],
            "Forgetting 0.02: accuracy on earlier tasks fell from 0.22 at best to 0.20 at the end; chance is 0.20. "
            "Accuracy when learned is near chance: there was little to forget.",
        ),
        (
            [[0.2, 0.2], [0.7, 0.2], [NAN, NAN]],
            "After 1 of 2 tasks. Accuracy 0.70 after learning, 0.20 before; chance is 0.20.",
        ),
        (
            [[0.2, 0.2], [NAN, NAN], [NAN, NAN]],
            "Only the untrained learner was evaluated: accuracy 0.20; chance is 0.20.",
        ),
        ([[NAN, NAN], [NAN, NAN], [NAN, NAN]], "No evaluation was completed."),
    ],
)
def test_reading(rows: list[list[float]], sentence: str) -> None:
    assert metrics.reading(np.array([rows]), 0.2) == sentence


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [[4.0, 4.0], [0.59, 4.0], [0.714, 0.8]],
            "Forgetting 0.124: mean squared error on earlier tasks rose from 0.59 at best to 0.714 at the end.",
        ),
        (
            [[4.0, 4.0], [0.75, 4.0], [0.6, 0.8]],
            "Backward transfer +0.15: mean squared error on earlier tasks fell from 0.75 when learned to 0.6 at the end.",
        ),
        (
            [[4.0, 4.0], [0.001, 4.0], [0.001, 0.8]],
            "Nothing was forgotten: mean squared error on earlier tasks went from 0.001 when learned to 0.001 at the end.",
        ),
        (
            [[4.0, 4.0], [0.7, 4.0], [NAN, NAN]],
            "After 1 of 2 tasks. Mean squared error 0.7 after learning, 4 before.",
        ),
        ([[12.34, 12.34], [NAN, NAN], [NAN, NAN]], "Only the untrained learner was evaluated: mean squared error 12.3."),
    ],
)
def test_reading_of_errors(rows: list[list[float]], sentence: str) -> None:
    assert metrics.reading(np.array([rows]), None, REGRESSION) == sentence


def test_reading_agrees_with_the_metric_when_seeds_peak_at_different_times() -> None:
    other = ROWS.copy()
    other[1, 0] = 0.95
    matrix = np.stack([ROWS - 0.0, other])
    matrix[:, -1, :2] -= 0.3
    assert f"Forgetting {metrics.summarise(matrix)['forgetting']['mean']:.2f}:" in metrics.reading(matrix, None)


def test_chance_is_known_for_episodes_and_not_for_samples_of_the_same_data() -> None:
    data = {"ways": 5, "shots": 1}
    assert metrics.chance_level({"data": data, "protocol": {"eval_episodes": 100}}) == 0.2
    assert metrics.chance_level({"data": data, "protocol": {"probe_samples": None}}) is None
    assert metrics.chance_level({"data": data, "protocol": {"schedule": [10, 50]}}) is None
    assert metrics.chance_level({"data": {"num_tasks": 5}, "protocol": {"eval_episodes": 100}}) is None


def test_bootstrap_agrees_with_every_possible_resample() -> None:
    # Of five values there are 5^5 equally likely resamples: their means' quantiles need no drawing.
    values = np.array([0.1, 0.5, 0.55, 0.7, 0.9])
    means = np.array([np.mean(drawn) for drawn in itertools.product(values, repeat=5)])
    exact = np.percentile(means, [2.5, 97.5])
    np.testing.assert_allclose(metrics.bootstrap95(values, resamples=100_000), exact, atol=0.005)
    np.testing.assert_allclose(metrics.bootstrap95(values), exact, atol=0.05)


def test_bootstrap_of_many_values_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).standard_normal((2, 500))
    half = 1.96 * values.std(axis=1) / np.sqrt(500)
    expected = values.mean(axis=1)[:, None] + half[:, None] * [-1, 1]
    np.testing.assert_allclose(metrics.bootstrap95(values, resamples=20_000), expected, atol=0.004)


def test_bootstrap_repeats_whatever_stands_beside_and_needs_two_values() -> None:
    values = np.random.default_rng(1).random((3, 4, 6))
    together = metrics.bootstrap95(values)
    assert together.shape == (3, 4, 2)
    np.testing.assert_allclose(metrics.bootstrap95(values[2, 1]), together[2, 1], rtol=1e-12)
    np.testing.assert_array_equal(metrics.bootstrap95(values), together)
    assert np.isnan(metrics.bootstrap95(values[..., :1])).all()
    assert np.isnan(metrics.bootstrap95(np.array([0.1, NAN, 0.3]))).all()


def test_reading_in_sequence() -> None:
    text = metrics.reading_in_sequence(600, 0.58, 0.9, NAN, None)
    assert text == (
        "After learning 600 unseen classes in one pass, 58% of held-out images are still recognised (memory 90%); "
        "chance is 0.2%."
    )
    assert metrics.reading_in_sequence(10, 0.58, 0.9, 0.7, "train") == text.replace("600", "10").replace("0.2%", "10%") + (
        " Trained on the same classes shuffled, it would be 70%."
    )
    assert "tuned on test" in metrics.reading_in_sequence(10, 0.58, 0.9, NAN, "test")
    assert "no finite accuracy" in metrics.reading_in_sequence(10, NAN, NAN, NAN, None)
