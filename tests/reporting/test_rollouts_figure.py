"""The figure of paths: which tasks and episodes, in which colours, with what said about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.colors
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
    assert "Grey: puck, with a square where it ends. Ring: target. Seed 0." in text.caption


def test_of_many_tasks_ten_are_drawn(make_run: Callable[..., Path]) -> None:
    run = with_paths(make_run(tasks=14, score="success"))
    assert len(axes_of(run, "rollouts")) == 20
    assert text_of(run, "rollouts").caption.endswith("10 of 14 tasks, spread evenly.")


def test_without_paths_there_is_no_such_figure(make_run: Callable[..., Path]) -> None:
    with pytest.raises(StopIteration):
        text_of(StoredRun(make_run(tasks=2)), "rollouts")
