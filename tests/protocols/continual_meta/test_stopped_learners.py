"""Every few-shot learner, stopped between two meta-updates, ends as if it had not been."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.config.load import Experiment
from metacl_run.config.options import options_that_are
from metacl_run.experiment import run
from tests.support.runs import assert_same_run, stop_after

OF_LEARNER = {"maml_pp": ["algo.multi_step_updates=4", "algo.first_order_updates=6", "algo.inner_steps=2"]}
"""With these settings the schedules of a learner change in the middle of a run of eight meta-updates."""
IN_EVERY_SUITE = ("cavia", "imaml")
"""Learners whose classes no other test stops; the others take part with -m slow."""
LEARNERS = [
    pytest.param(name, marks=[] if name in IN_EVERY_SUITE else [pytest.mark.slow])
    for name in options_that_are("algo", EpisodeLearner)
]


@pytest.mark.parametrize("algo", LEARNERS)
def test_stopped_within_a_task_and_just_after_it_ends_bit_for_bit_as_the_unbroken_run(
    algo: str, experiment: Callable[..., Experiment]
) -> None:
    base = experiment().output_dir
    common = f"algo={algo}", *OF_LEARNER.get(algo, []), "algo.replay=6", "seeds=[0,1]"
    unbroken, broken = (experiment(*common, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    for units in (3, 5):
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
