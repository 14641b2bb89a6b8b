"""Logarithmic axes: few ticks, at round numbers, with numbers that need no math text."""

from __future__ import annotations

import math

import matplotlib
import pytest
from matplotlib.figure import Figure

from metacl_run.layout.log_axis import RoundNumbers, log_axis, short_number
from metacl_run.layout.style import RC


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (9e4, 2.1e6, [1e5, 3e5, 1e6]),
        (1e5, 1e7, [1e5, 1e6, 1e7]),
        (1e-4, 1e3, [1e-4, 1e-2, 1, 100]),
        (1.5, 12, [2, 5, 10]),
        (17, 23, [18, 20, 22]),  # no two of 1, 2, 5
    ],
)
def test_ticks_are_few_and_round(low: float, high: float, ticks: list[float]) -> None:
    assert RoundNumbers(4).tick_values(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("power", range(-9, 12))
@pytest.mark.parametrize("factor", [1.01, 1.7, 3.0, 8.0, 90.0, 1e4, 1e9])
def test_there_are_ticks_at_every_scale(power: int, factor: float) -> None:
    low = 1.3 * 10.0**power
    ticks = RoundNumbers(4).tick_values(low, low * factor)
    assert 2 <= len(ticks) <= 5
    assert all(low <= tick * (1 + 1e-6) and tick <= low * factor * (1 + 1e-6) for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.05, "0.05"),
        (3.0, "3"),
        (1000, "1000"),
        (1e4, "10k"),
        (2.5e5, "250k"),
        (1e6, "1M"),
        (3e9, "3G"),
        (1e12, "1T"),
        (1e-5, "1e-05"),
    ],
)
def test_numbers_by_hand(value: float, text: str) -> None:
    assert short_number(value) == text


@pytest.mark.parametrize("costs", [(17_000, 1_700_000), (2.2, 8.5), (1.1e10, 3e12)])
def test_no_label_is_math_text_and_none_touches_another(costs: tuple[float, float]) -> None:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2.6, 2.8))
        axes = figure.add_subplot()
        axes.plot(costs, [0.1, 40.0], "o")
        log_axis(axes, "x")
        log_axis(axes, "y")
        figure.draw_without_rendering()
        for axis, step in ((axes.xaxis, "width"), (axes.yaxis, "height")):
            assert axis.get_scale() == "log"
            labels = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
            low, high = axis.get_view_interval()
            in_view = [
                label
                for tick, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
                if low <= tick <= high
            ]
            assert len(labels) == len(axis.get_majorticklocs())
            assert len(in_view) >= 2
            assert not any("$" in label.get_text() or math.isnan(label.get_position()[0]) for label in in_view)
            boxes = [label.get_window_extent() for label in in_view]
            assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place]), step
