"""Axes of accuracies: how far they go, and where the chance level has its name."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.layout.style import RC, accuracy_axis
from metacl_run.layout.styled_figure import StyledFigure


@pytest.mark.parametrize(
    ("values", "limits"),
    [((0.28, 0.43), (0.25, 0.455)), ((0.15, 0.86), (0.1, 0.905)), ((0.97, 1.0), (0.95, 1.005)), ((0.0, 0.02), (0.0, 0.055))],
)
def test_a_short_axis_is_divided_more_finely(values: tuple[float, float], limits: tuple[float, float]) -> None:
    axes = StyledFigure(RC).add_subplot()
    accuracy_axis(axes, np.array(values), None)
    assert axes.get_ylim() == pytest.approx(limits)
    assert 2 <= sum(limits[0] - 1e-9 <= tick <= limits[1] for tick in axes.get_yticks()) <= 7


@pytest.mark.parametrize(("chance", "name", "is_above"), [(0.2, "chance 0.20", False), (1 / 150, "chance 0.0067", True)])
def test_the_name_of_the_chance_level_stays_off_the_axis(chance: float, name: str, is_above: bool) -> None:
    axes = StyledFigure(RC).add_subplot()
    accuracy_axis(axes, np.array([0.1, 0.9]), chance)
    (text,) = axes.texts
    assert text.get_text() == name
    box = text.get_window_extent(axes.figure.canvas.get_renderer())
    level = axes.transData.transform((0, chance))[1]
    assert (box.y0 >= level) == is_above
    assert box.y0 > axes.get_window_extent().y0
