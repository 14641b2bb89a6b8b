"""The figure of the training loss: its axis holds the band, and its text says what the loss and a point are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy import stats

from metacl_run.storage.stored_run import StoredRun, Training
from tests.support.figures import axes_of, text_of


def with_losses(run_dir: Path, losses: np.ndarray) -> StoredRun:
    """A run with losses [R, N] recorded at every second unit of its only task."""
    run = StoredRun(run_dir)
    vars(run)["training"] = Training(2 * np.arange(1, losses.shape[1] + 1), {"loss": losses})
    return run


def test_a_linear_axis_holds_the_band(make_run: Callable[..., Path]) -> None:
    losses = np.array([[0.8], [1.0], [1.2]]) * np.linspace(1.0, 0.9, 10)
    run = with_losses(make_run(tasks=1, replicates=3), losses)
    (axes,) = axes_of(run, "training_loss")
    (band,) = axes.findobj(PolyCollection)
    half = stats.t.ppf(0.975, 2) * stats.sem(losses[:, 0])
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(1.0 + half)
    assert axes.get_ylim()[1] > 1.0 + half
    assert axes.get_ylim()[0] == 0


def test_on_a_logarithmic_axis_mean_and_band_are_those_of_the_logarithms(make_run: Callable[..., Path]) -> None:
    losses = np.array([[0.1], [1.0], [2.0]]) * np.geomspace(1.0, 1e-3, 10)
    run = with_losses(make_run(tasks=1, replicates=3), losses)
    (axes,) = axes_of(run, "training_loss")
    assert axes.get_yscale() == "log"
    (line,) = (line for line in axes.lines if line.get_linewidth() == 1.7)
    np.testing.assert_allclose(line.get_ydata(), stats.gmean(losses, axis=0))
    (band,) = axes.findobj(PolyCollection)
    edges = band.get_paths()[0].vertices[:, 1]
    factor = np.exp(stats.t.ppf(0.975, 2) * stats.sem(np.log(losses[:, 0])))
    means = stats.gmean(losses, axis=0)
    assert (edges.min(), edges.max()) == pytest.approx((means[-1] / factor, means[0] * factor))
    low, high = axes.get_ylim()
    assert 0 < low < means[-1]
    assert means[0] < high < 20 * means[0]
    assert "Geometric mean of 3 seeds with its 95% interval" in text_of(run, "training_loss").caption


def test_a_loss_of_zero_is_left_out_of_a_logarithmic_axis(make_run: Callable[..., Path]) -> None:
    losses = np.geomspace(1.0, 1e-3, 10) * np.ones((2, 1))
    losses[1, 4] = 0.0
    run = with_losses(make_run(tasks=1, replicates=2), losses)
    (axes,) = axes_of(run, "training_loss")
    mean = next(line for line in axes.lines if line.get_linewidth() == 1.7)
    assert mean.get_xdata().tolist() == [2, 4, 6, 8, 12, 14, 16, 18, 20]
    assert "Geometric mean of 2 seeds; thin lines: single seeds." in text_of(run, "training_loss").caption


@pytest.mark.parametrize(
    ("kind", "algo", "words"),
    [
        ("continual_meta", {"inner_lr": 0.1}, "The loss of the outer objective on the episodes of every meta-update"),
        ("online", {"lr": 0.1}, "The loss of the batch before the step that learns it"),
        ("online", {"inner_lr": 0.1}, "The loss of the outer objective: of the batch and the replayed samples"),
    ],
)
def test_it_is_said_what_the_loss_is_of(make_run: Callable[..., Path], kind: str, algo: dict[str, float], words: str) -> None:
    run = StoredRun(make_run(tasks=2))
    run.summary["protocol_kind"] = kind
    run.config["algo"] = algo
    assert text_of(run, "training_loss").explanation.startswith(words)


@pytest.mark.parametrize(
    ("units", "points"),
    [
        ([20, 40, 60], "One point for 20 meta-updates, their mean."),
        ([20, 40, 50], "One point for up to 20 meta-updates, their mean."),
        ([1, 2, 3], "One point for every meta-update."),
    ],
)
def test_a_point_says_of_how_much_work_it_is(make_run: Callable[..., Path], units: list[int], points: str) -> None:
    run = StoredRun(make_run(tasks=2))
    vars(run)["training"] = Training(np.array(units), {"loss": np.ones((1, 3))})
    assert text_of(run, "training_loss").caption.startswith(points)


def test_thousands_of_records_are_means_of_several(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=2))
    vars(run)["training"] = Training(10 * np.arange(1, 4001), {"loss": np.ones((1, 4000))})
    assert "pale: one point for 40 meta-updates, their mean" in text_of(run, "training_loss").caption
