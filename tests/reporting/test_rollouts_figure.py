"""The figure of paths: which tasks and episodes, in which colours, with what said about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.axes import Axes

from metacl_run.layout.style import BLUE, VERMILLION
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of


def moment(successes: list[bool], *, lost: bool = False) -> dict[str, Any]:
    """Paths of a hand that goes right, a puck that goes up with it, and a goal that stays."""
    steps = np.linspace(0, 1, 4)
    points = np.zeros((len(successes), 4, 3, 2))
    points[:, :, 0, 0], points[:, :, 1, 1], points[:, :, 2] = steps, steps, 0.5
    values = points.tolist()
    if lost:
        values[0][3][0] = [None, None]
    return {"points": values, "successes": successes}


def stored(make_run: Callable[..., Path], tasks: int, **settings: Any) -> StoredRun:
    directory = make_run(tasks=tasks, score="success", **settings)
    content = [
        {
            "task": task,
            "things": ["hand", "puck", "target"],
            "right_after_learning": moment([True, True]),
            "at_the_end": moment([task == tasks - 1, False], lost=True),
        }
        for task in range(tasks)
    ]
    (directory / "rollouts.json").write_text(json.dumps({"seed": 0, "tasks": content}))
    return StoredRun(directory)


def colours(axes: Axes) -> list[str]:
    """Of the paths of what acts."""
    known = {matplotlib.colors.to_hex(colour): colour for colour in (BLUE, VERMILLION)}
    found = [known.get(matplotlib.colors.to_hex(line.get_color())) for line in axes.lines]
    return [colour for colour in found if colour is not None]


def test_a_reader_sees_what_was_forgotten(make_run: Callable[..., Path]) -> None:
    run = stored(make_run, 3, replicates=2)
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
    run = stored(make_run, 14)
    assert len(axes_of(run, "rollouts")) == 20
    assert text_of(run, "rollouts").caption.endswith("10 of 14 tasks, spread evenly.")


def test_without_paths_there_is_no_such_figure(make_run: Callable[..., Path]) -> None:
    with pytest.raises(StopIteration):
        text_of(StoredRun(make_run(tasks=2)), "rollouts")
