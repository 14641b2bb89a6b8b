"""Domain-incremental streams: which examples a task takes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import ConfigError, SettingError

SMALL = {"num_tasks": 3, "train_per_task": 30, "test_per_task": 20, "train_hands": 6, "test_hands": 4, "image_size": 8}


def test_tasks_draw_training_samples_of_their_own_and_share_the_test_samples(make: Callable[..., Any]) -> None:
    stream = make("rotated_digits", **SMALL)
    stream.check()
    assert (stream.count_tasks(), stream.count_samples(), stream.count_outputs(), stream.new_outputs) == (3, 30, 10, False)
    pool, examples = stream.load([0, 1]), stream.source.read_parts()
    assert pool.task_names == [["0 degrees", "60 degrees", "120 degrees"]] * 2
    origins = pool.origins(0).reshape(3, 30)
    assert all(len(np.unique(task)) == 30 for task in origins)
    assert origins.max() < 60
    assert len({tuple(task) for task in [*origins.tolist(), pool.origins(1)[:30].tolist()]}) == 4  # the seed decides, too
    samples = pool.gather(0, np.arange(90))
    assert samples.y.tolist() == examples.y[origins.ravel()].tolist()
    assert samples.task.tolist() == np.repeat(np.arange(3), 30).tolist()
    assert torch.equal(samples.x[:30], torch.from_numpy(examples.x[origins[0]]) / 255)  # the first task is not shifted
    tests = [pool.test(task, None)[0] for task in range(3)]
    assert all(torch.equal(test.y, tests[0].y) for test in tests)
    assert len(make("rotated_digits", **{**SMALL, "test_per_task": None}).load([0]).test(0, None)[0].y) == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": "none"}, "shift=none: must not be none: all tasks would be the same"),
        ({"shift": "rotated"}, "shift=rotated: must be one of none, rotate, permute, invert, background"),
        ({"train_per_task": 0}, "train_per_task=0: must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[..., Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"):
        make("rotated_digits", **{**SMALL, **changes})


@pytest.mark.parametrize(("name", "most"), [("train_per_task", 60), ("test_per_task", 40)])
def test_more_samples_than_there_are_is_refused(make: Callable[..., Any], name: str, most: int) -> None:
    make("rotated_digits", **{**SMALL, name: most}).check()
    with pytest.raises(
        SettingError, match=rf"^{name}={most + 1}: must be at most the {most} {name[:-9]} examples of the source"
    ):
        make("rotated_digits", **{**SMALL, name: most + 1}).check()
