"""Streams whose tasks recur: what counts as a switch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.data.streams.recurring_stream import Visits


def test_visits_in_a_row_of_one_task_are_one() -> None:
    number = np.array([[0, 0, 1, 2, 2, 3], [0, 1, 2, 3, 4, 5]])
    domain = np.array([[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    visits, tasks = Visits(number=number, domain=domain).of_tasks([np.array([7, 3, 3, 7]), np.array([5, 5, 5, 2, 2, 5])])
    assert visits.number.tolist() == [[0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2]]
    assert [own.tolist() for own in tasks] == [[7, 3, 7], [5, 2, 5]]
    assert visits.is_switch.sum(1).tolist() == [2, 2]
    assert visits.domain_of_visits(0).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("families", "switch"), [("[motors,turn]", True), ("[turn]", False)])
def test_a_step_is_a_switch_where_its_dynamics_are_others(
    families: str, switch: bool, experiment: Callable[..., Experiment]
) -> None:
    own = ["data=planar_dynamics", f"data.families={families}", "data.recurring=1", "data.stay=0.5"]
    pool = experiment("algo=sgd_osaka", "model=mlp_dynamics", *own, tiny=[]).data.load([0, 1], steps=60, part="test")
    for replicate, dynamics in enumerate(pool.dynamics):
        now, switches = dynamics[pool.visits.number[replicate]], pool.visits.is_switch[replicate]
        assert switches.tolist() == [False, *(now[1:] != now[:-1])]
        assert switches.any() == switch


@pytest.mark.parametrize(
    "own",
    [
        ["algo=continual_maml"],
        ["algo=sgd_osaka", "model=mlp_dynamics", "data=planar_dynamics", "data.dynamics_per_family=6", "data.recurring=3"],
    ],
)
def test_settings_are_not_chosen_on_the_visits_that_are_tested(own: list[str], experiment: Callable[..., Experiment]) -> None:
    data = experiment(*own, tiny=[]).data
    test, again, validation = (data.load([0], steps=80, part=part) for part in ("test", "test", "validation"))
    assert np.array_equal(test.visits.number, again.visits.number)
    assert not np.array_equal(test.visits.number, validation.visits.number)
    first = "classes" if hasattr(test, "classes") else "dynamics"
    tasks = [np.asarray(getattr(pool, first)[0])[:8].tolist() for pool in (test, validation)]
    assert tasks[0] != tasks[1]
