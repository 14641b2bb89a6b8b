"""Metrics against the hand-worked matrix of the design notes and published variants."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.scoring import matrix_metrics
from metacl_run.scoring.metric_table import BEFORE, OOS_AUROC, RANDOM, TRANSDUCTIVE, metrics_of
from metacl_run.scoring.objectives import REGRESSION
from metacl_run.scoring.scores import SCORES, Score

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
    assert matrix_metrics.evaluate(ROWS)[name] == pytest.approx(value, abs=1e-12)


def test_every_sample_counts_once_where_tasks_are_not_alike() -> None:
    metrics = matrix_metrics.evaluate(ROWS, test_samples=np.array([50, 10, 40]))
    overall = (50 * 0.85 + 10 * 0.75 + 40 * 0.60) / 100
    assert metrics["overall_accuracy"] == pytest.approx(overall, abs=1e-12)
    so_far = [0.80, (50 * 0.90 + 10 * 0.70) / 60, overall]
    assert metrics["incremental_accuracy"] == pytest.approx(sum(so_far) / 3, abs=1e-12)
    alike = matrix_metrics.evaluate(ROWS, test_samples=np.array([7, 7, 7]))
    assert alike["overall_accuracy"] == pytest.approx(alike["accuracy"])
    assert alike["incremental_accuracy"] == pytest.approx(alike["anytime_accuracy"])
    errors = matrix_metrics.summarise(
        np.stack([ERRORS] * 2), objective=REGRESSION, test_samples=np.array([[1, 1, 2], [1, 1, 6]])
    )
    assert errors["overall_mse"]["values"] == pytest.approx([(1.5 + 1.0 + 2 * 0.8) / 4, (1.5 + 1.0 + 6 * 0.8) / 8])
    same = matrix_metrics.summarise(ROWS[None], test_samples=np.array([[7, 7, 7]]))
    assert same.keys() - matrix_metrics.summarise(ROWS[None]).keys() == {"incremental_accuracy"}


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
    assert matrix_metrics.evaluate(ERRORS, objective=REGRESSION)[name] == pytest.approx(value, abs=1e-12)


def test_the_largest_error_at_a_probe_counts() -> None:
    probes = np.array([[0.1, 9.0, 9.0], [7.0, 0.1, 9.0], [3.0, 5.0, 9.0]])
    found = matrix_metrics.summarise(ERRORS[None], probes[:, None], [0, 1, 2], REGRESSION)
    assert found["max_mse"]["mean"] == pytest.approx((7.0 + 5.0) / 2)
    assert found["worst_case_mse"]["mean"] == pytest.approx(0.8 / 3 + 2 / 3 * 6.0)


@pytest.mark.parametrize("score", SCORES)
def test_every_metric_has_its_meaning_in_the_order_of_a_table(score: str) -> None:
    names = list(matrix_metrics.evaluate(ROWS, objective=SCORES[score], test_samples=np.ones(3)))
    of_the_data = {
        "accuracy": [OOS_AUROC],
        "mse": [
            f"{BEFORE}mse",
            *(f"{prefix}success" for prefix in ("", BEFORE)),
            *(f"{prefix}return" for prefix in ("", BEFORE, RANDOM)),
        ],
        "success": [f"{BEFORE}success"],
    }[score]
    assert list(metrics_of(SCORES[score], "online")) == [*names, *(f"{TRANSDUCTIVE}{name}" for name in names), *of_the_data]
    assert list(matrix_metrics.evaluate(ROWS[:2, :1], objective=SCORES[score])) == [score]


def test_published_variants_relate_to_ours_as_documented() -> None:
    # GEM's released code sums T - 1 terms and divides by T.
    assert matrix_metrics.bwt(ROWS) * 2 / 3 == pytest.approx(0.0333, abs=5e-5)
    assert matrix_metrics.fwt(ROWS) * 2 / 3 == pytest.approx(0.050)
    # Mammoth takes the maximum over the last row too.
    including_last = (ROWS[1:, :-1].max(axis=0) - ROWS[-1, :-1]).mean()
    assert including_last == pytest.approx(0.025)
    assert np.maximum(matrix_metrics.forgetting_per_task(ROWS), 0).mean() == pytest.approx(including_last)


def test_forgetting_per_task_is_signed() -> None:
    np.testing.assert_allclose(matrix_metrics.forgetting_per_task(ROWS), [0.05, -0.05])


def test_probes_count_only_after_their_task_was_learned() -> None:
    probes = np.array([[0.10, 0.9, 0.9], [0.50, 0.05, 0.9], [0.70, 0.40, 0.01]])
    # Probe 0 comes while task 0 is learned: nothing is learned yet. Probe 1 may lower task 0, probe 2 tasks 0 and 1.
    assert matrix_metrics.min_accuracy(ROWS, probes, [0, 1, 2]) == pytest.approx((0.50 + 0.40) / 2)
    assert matrix_metrics.worst_case_accuracy(ROWS, probes, [0, 1, 2]) == pytest.approx(0.60 / 3 + 2 / 3 * 0.45)


def test_summarise_gives_each_replicate_its_own_probes() -> None:
    matrix = np.stack([ROWS, ROWS])
    probes = np.array([[[0.5, 1, 1], [0.3, 1, 1]]])
    assert matrix_metrics.summarise(matrix, probes, [1])["min_accuracy"]["values"] == pytest.approx([0.625, 0.525])


def test_interval_over_replicates() -> None:
    matrix = np.stack([ROWS - 0.1, ROWS, ROWS + 0.1])
    summary = matrix_metrics.summarise(matrix)["accuracy"]
    half = 4.302653 * 0.1 / np.sqrt(3)  # t of 2 degrees of freedom; the standard deviation is 0.1 exactly
    assert summary["mean"] == pytest.approx(2.2 / 3)
    assert summary["std"] == pytest.approx(0.1)
    assert summary["ci95"] == pytest.approx([2.2 / 3 - half, 2.2 / 3 + half], abs=1e-6)
    assert summary["values"] == pytest.approx([2.2 / 3 - 0.1, 2.2 / 3, 2.2 / 3 + 0.1])


def test_one_replicate_has_no_spread() -> None:
    summary = matrix_metrics.summarise(ROWS[None])["bwt"]
    assert (summary["std"], summary["ci95"]) == (None, [None, None])
    assert summary["mean"] == pytest.approx(0.05)


def test_one_task_has_accuracy_only() -> None:
    assert list(matrix_metrics.summarise(np.array([[[0.2], [0.9]]]))) == ["accuracy"]


def test_unreached_metrics_are_left_out_and_half_reached_ones_have_no_mean() -> None:
    partial = ROWS.copy()
    partial[2:] = NAN
    assert matrix_metrics.summarise(partial[None]) == {}
    summary = matrix_metrics.summarise(np.stack([ROWS, partial]))["accuracy"]
    assert summary == {"mean": None, "std": None, "ci95": [None, None], "values": [pytest.approx(2.2 / 3), None]}


@pytest.mark.parametrize("score", SCORES.values(), ids=list(SCORES))
def test_a_transductive_metric_is_as_good_and_as_large_as_its_twin(score: Score) -> None:
    known = metrics_of(score, "online")
    for name, metric in known.items():
        if f"{TRANSDUCTIVE}{name.removeprefix(TRANSDUCTIVE)}" not in known:  # no metric of all queries together
            assert name == OOS_AUROC or name.removeprefix(BEFORE).removeprefix(RANDOM) in ("mse", "success", "return")
            continue
        twin = known[f"{TRANSDUCTIVE}{name.removeprefix(TRANSDUCTIVE)}"]
        assert twin.higher_is_better == metric.higher_is_better
        assert twin.possible == metric.possible
        assert twin.needs_equal_probes == metric.needs_equal_probes
    assert not any(name.startswith(TRANSDUCTIVE) for name in metrics_of(score, "meta_continual"))
