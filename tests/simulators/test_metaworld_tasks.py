"""Meta-World itself, where it is installed: names, experts, and that an episode depends on nothing but its placement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metacl_run.simulators.metaworld_tasks import ACTION, CENTRE, GOAL, OBSERVATION, SCALE, TASKS, metaworld_task, scaled
from metacl_run.simulators.robot_extra import METAWORLD, installed

pytestmark = pytest.mark.filterwarnings("ignore:Constant")  # of an expert about its own actions, which are cut off


@pytest.fixture
def metaworld() -> None:
    if any(version is None for version in installed(METAWORLD).values()):
        pytest.skip("the extra robot is not installed")


def episode(task: object, placement: int, steps: int) -> np.ndarray:
    """[steps + 1, D] where the expert comes to."""
    observations = [task.begin(placement)]
    for _ in range(steps):
        observations.append(task.step(task.expert(observations[-1]))[0])
    return np.array(observations)


def test_places_are_scaled_and_what_is_not_there_stays_zero() -> None:
    observation = np.zeros(OBSERVATION)
    observation[[0, 1, 2, 18, 19, 20]] = *CENTRE, *CENTRE
    observation[4:7] = CENTRE + (SCALE, -SCALE, 2 * SCALE)
    observation[[3, 7, 10]] = 0.25, 0.5, -0.5
    observation[36:] = CENTRE - SCALE
    expected = np.zeros(OBSERVATION)
    expected[4:7], expected[[3, 7, 10]], expected[36:] = (1, -1, 2), (0.25, 0.5, -0.5), -1
    np.testing.assert_allclose(scaled(np.stack([observation] * 2)), np.stack([expected] * 2), atol=1e-12)
    assert observation[4] == CENTRE[0] + SCALE  # its argument is left alone
    assert scaled(observation.astype(np.float32)).dtype == np.float32


def test_the_names_are_those_of_the_package(metaworld: None) -> None:
    from metaworld.policies import ENV_POLICY_MAP

    assert sorted(f"{task}-v3" for task in TASKS) == sorted(ENV_POLICY_MAP)
    assert len(set(TASKS)) == 50


def test_an_episode_depends_on_its_placement_alone(metaworld: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    used, new = metaworld_task("door-open"), metaworld_task("door-open")
    first = episode(used, 1, 30)
    assert not np.array_equal(first[0], episode(used, 2, 3)[0])
    np.testing.assert_array_equal(episode(used, 1, 30), first)
    np.testing.assert_array_equal(episode(new, 1, 30), first)
    assert first.shape == (31, OBSERVATION)
    assert (first[:, GOAL] != 0).any()  # the goal is observed
    assert not list(tmp_path.iterdir())  # no log of MuJoCo's


def test_an_expert_reaches_its_goal(metaworld: None) -> None:
    task = metaworld_task("handle-press")
    observation, success = task.begin(5), False
    for _ in range(80):
        action = task.expert(observation)
        assert action.shape == (ACTION,)
        assert np.abs(action).max() <= 1
        observation, success = task.step(action)
        if success:
            break
    assert success


def test_what_mujoco_restarts_by_itself_is_not_finite(metaworld: None) -> None:
    task = metaworld_task("reach")
    task.begin(0)
    task._environment.data.qvel[:] = 1e12
    assert np.isnan(task.step(np.zeros(ACTION))[0]).all()
    assert np.isfinite(task.begin(0)).all()
    assert np.isfinite(task.step(np.zeros(ACTION))[0]).all()
