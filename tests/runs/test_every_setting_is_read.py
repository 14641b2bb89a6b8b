"""Every setting of an algorithm is looked at in its run, or is known to change nothing: no option does nothing.

What a component's class reads while it is built does not count, since that may be a check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run import experiment as runs
from metacl_run.algorithms.osaka.task_free_learner import MamlStart
from metacl_run.config.load import Experiment
from metacl_run.config.options import options
from metacl_run.config.unused_settings import unused_settings

READ_WHILE_BUILT = {
    "algo.rate_low": "with algo.inner_lr=null alone, which is checked",
    "algo.rate_high": "likewise",
    "algo.update_scale": "null, with algo.update=always, which is checked",
    "algo.momentum": "0, with algo.optimizer=adam, which is checked",
    "algo.memory": "0, with algo.source=seen or all, which is checked",
    "algo.replay": "likewise",
    "algo.buffer": "without a buffer",
    "algo.inner_steps": "null, with algo.online=true, which is checked",
    "algo.class_steps": "0, with algo=scratch, which is checked",
}
BY_MAML = (
    *("first_order", "inner_lr", "plastic", "outer_lr", "outer_optimizer", "outer_momentum", "clip_norm"),
    "stream_inner_steps",
)
"""Read when a learner of `osaka` builds its MAML, which is before the run begins."""


@pytest.mark.slow
@pytest.mark.parametrize("algo", sorted(options("algo")))
def test_every_setting_of_an_algorithm_is_read(algo: str, experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    quiet = ["debug=true", "seeds=[0]", "progress=none", "figures.style=none", "gpu.threads=1", f"output_dir={tmp_path}"]
    built = experiment(f"algo={algo}", *quiet, tiny=[])
    parts = {"algo": built.algo, "data": built.data, "protocol": built.protocol}
    unread = {group: _watch(component) for group, component in parts.items()}
    assert runs.run(built) == 0
    left = {f"{group}.{name}" for group, names in unread.items() for name in names} - READ_WHILE_BUILT.keys()
    left -= {f"algo.{name}" for name in BY_MAML} if isinstance(built.algo, MamlStart) else set()
    assert {key for key in left if not unused_settings(parts, [f"{key}=1"], algo)} == set()


def _watch(component: Any) -> set[str]:
    """Returns the names of its settings, from which every one that is read is taken away."""
    cls, unread = type(component), {field.name for field in dataclasses.fields(component)}

    class Watched(cls):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            unread.discard(name)
            return super().__getattribute__(name)

    Watched.__name__, Watched.__qualname__, Watched.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    object.__setattr__(component, "__class__", Watched)
    return unread
