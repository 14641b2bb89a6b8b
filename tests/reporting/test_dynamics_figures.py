"""The figures of dynamics, recovery, open-loop error and returns of control: what they show, and their absence elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metacl_run.layout.style import BLUE, GREY, PALE, VERMILLION
from metacl_run.reporting.figures import names
from metacl_run.reporting.phrases import task_label
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_acting import BEFORE, RETURNS, WINDOW, with_recovery


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


def test_the_error_after_every_step_ahead_with_adapting_and_without(make_run: Callable[..., Path]) -> None:
    run = with_recovery(make_run(tasks=2, replicates=3, score="mse"))
    (axes,) = axes_of(run, "open_loop_error")
    before, after = (next(line for line in axes.lines if line.get_linestyle() == style) for style in ("--", "-"))
    np.testing.assert_array_equal(after.get_xdata(), np.arange(1, 9))
    np.testing.assert_allclose(after.get_ydata(), 0.1 * np.arange(1, 9) + 0.01)
    np.testing.assert_allclose(before.get_ydata(), 0.2 * np.arange(1, 9) + 0.02)
    assert "after 1 to 8 steps" in text_of(run, "open_loop_error").caption


def test_the_return_of_every_controller_in_every_task(make_run: Callable[..., Path]) -> None:
    run = with_recovery(make_run(tasks=2, replicates=3, score="mse"))
    (axes,) = axes_of(run, "control_returns")
    for controller, mark in (("random", "x"), ("before", "D"), ("after", "o")):
        (line,) = [line for line in axes.lines if line.get_marker() == mark]
        np.testing.assert_allclose(line.get_xdata(), RETURNS[controller] + np.array([0.1, 0.6]))
    assert [label.get_text() for label in axes.get_yticklabels()] == [task_label(run, task) for task in range(2)]


def test_a_colour_means_the_same_in_all_three(make_run: Callable[..., Path]) -> None:
    run = with_recovery(make_run(tasks=2, replicates=2, score="mse"))
    for name in ("recovery", "open_loop_error"):
        (axes,) = axes_of(run, name)
        means = [line for line in axes.lines if line.get_linewidth() >= 1 and len(line.get_xdata()) > 1]
        assert {line.get_color(): line.get_linestyle() for line in means if line.get_color() != PALE} == {
            BLUE: "-",
            VERMILLION: "--",
        }
    (axes,) = axes_of(run, "control_returns")
    marks = {
        line.get_marker(): line.get_color() for line in axes.lines if line.get_marker() in "xDo" and line.get_markersize() == 5
    }
    assert marks == {"o": BLUE, "D": VERMILLION, "x": GREY}


def test_a_run_that_measured_none_has_no_such_figure(make_run: Callable[..., Path]) -> None:
    assert not {"recovery", "open_loop_error", "control_returns"} & set(names(StoredRun(make_run(score="mse"))))
