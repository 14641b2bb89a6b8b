"""The figure of paths: which tasks and episodes, in which colours, with what said about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.axes import Axes

from metacl_run.layout.style import BLUE, VERMILLION
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_acting import with_paths


def colours(axes: Axes) -> list[str]:
    """Of the paths of what acts."""
    known = {matplotlib.colors.to_hex(colour): colour for colour in (BLUE, VERMILLION)}
    found = [known.get(matplotlib.colors.to_hex(line.get_color())) for line in axes.lines]
    return [colour for colour in found if colour is not None]


def test_a_reader_sees_what_was_forgotten(make_run: Callable[..., Path]) -> None:
    run = with_paths(make_run(tasks=3, replicates=2, score="success"))
    panels = axes_of(run, "rollouts")
    assert len(panels) == 6
    for task in range(3):
        then, now = panels[task], panels[3 + task]  # row by row
        assert colours(then) == [BLUE, BLUE]
        assert colours(now) == ([BLUE, VERMILLION] if task == 2 else [VERMILLION, VERMILLION])
        assert (then.get_title("right"), now.get_title("right")) == ("2/2", "1/2" if task == 2 else "0/2")
        assert then.get_title("left").startswith(f"{task + 1}:" if ":" in then.get_title("left") else "task")
        assert then.get_xlim() == now.get_xlim()
    text = text_of(run, "rollouts")
    assert text.title.startswith("Where the hand goes")
    described = "Black dot: where the hand starts. Grey: puck, with a square where the hand's path ends. Ring: target. Seed 0."
    assert described in text.caption


def test_what_came_after_a_success_is_pale(make_run: Callable[..., Path]) -> None:
    run = with_paths(make_run(tasks=3, score="success"))
    path = run.directory / "rollouts.json"
    content = json.loads(path.read_text())
    for task in content["tasks"]:
        task["right_after_learning"]["reached_at"] = [2, 3]
    path.write_text(json.dumps(content))
    run = StoredRun(run.directory)
    paths = [line for line in axes_of(run, "rollouts")[0].lines if line.get_color() == BLUE]
    by_opacity = {pale: [line.get_xdata() for line in paths if (line.get_alpha() == 0.25) == pale] for pale in (False, True)}
    along = np.linspace(0, 1, 4)  # as `stored_acting.moment` has it
    for pale, expected in ((False, [along[:3], along]), (True, [along[2:]])):
        for line, points in zip(by_opacity[pale], expected, strict=True):
            np.testing.assert_allclose(line, points)
    squares = [line.get_ydata()[0] for line in axes_of(run, "rollouts")[0].lines if line.get_marker() == "s"]
    np.testing.assert_allclose(squares, [along[2], 1.0])
    assert "Pale: what came after the goal was reached." in text_of(run, "rollouts").caption


def test_of_many_tasks_ten_are_drawn(make_run: Callable[..., Path]) -> None:
    run = with_paths(make_run(tasks=14, score="success"))
    assert len(axes_of(run, "rollouts")) == 20
    assert text_of(run, "rollouts").caption.endswith("10 of 14 tasks, spread evenly.")


def test_without_paths_there_is_no_such_figure(make_run: Callable[..., Path]) -> None:
    with pytest.raises(StopIteration):
        text_of(StoredRun(make_run(tasks=2)), "rollouts")
