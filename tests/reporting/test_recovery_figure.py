"""The figure of recovery after a switch of dynamics: its curve, what it is compared with, and its absence elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metacl_run.reporting.figures import names
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_acting import BEFORE, WINDOW, with_recovery


def test_the_error_after_every_transition_beside_that_without_adapting(make_run: Callable[..., Path]) -> None:
    run = with_recovery(make_run(tasks=2, replicates=2, score="mse"))
    (axes,) = axes_of(run, "recovery")
    curve = next(line for line in axes.lines if len(line.get_xdata()) == WINDOW + 1)
    np.testing.assert_array_equal(curve.get_xdata(), np.arange(WINDOW + 1))
    np.testing.assert_allclose(curve.get_ydata(), np.linspace(0.9, 0.1, WINDOW + 1) + 0.005)
    (level,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(level.get_ydata(), BEFORE)
    assert {"adapting", "not adapting"} <= {text.get_text() for text in axes.texts}
    assert f"adapted to the last {WINDOW}" in text_of(run, "recovery").caption


def test_a_run_that_measured_none_has_no_such_figure(make_run: Callable[..., Path]) -> None:
    assert "recovery" not in names(StoredRun(make_run(score="mse")))
