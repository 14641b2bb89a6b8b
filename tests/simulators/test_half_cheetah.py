"""HalfCheetah under changed dynamics: names, and, where MuJoCo is installed, what they change."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import SettingError, SimulatorError
from metacl_run.simulators.half_cheetah import ACTION, STATE, HalfCheetahRecorder, check_dynamics, environment_of
from metacl_run.simulators.half_cheetah_bodies import FORWARD, HalfCheetahBodies
from metacl_run.simulators.robot_extra import GYMNASIUM, installed


@pytest.fixture(scope="module")
def recorder() -> HalfCheetahRecorder:
    if any(version is None for version in installed(GYMNASIUM).values()):
        pytest.skip("the extra robot is not installed")
    return HalfCheetahRecorder()


@pytest.mark.parametrize("name", ["usual", "cripple:bthigh", "flip:ffoot+bshin", "motors:0", "gravity:0.1", "mass:10"])
def test_names_of_dynamics(name: str) -> None:
    check_dynamics("learned", name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("criple:bshin", r"must be usual, cripple:JOINTS, flip:JOINTS, motors:N, gravity:X or mass:X. Did you mean cripple\?"),
        ("cripple:bshim", r"names no joint. Did you mean bshin\? Joints: bthigh, bshin, bfoot, fthigh, fshin, ffoot"),
        ("flip", "names no joint"),
        ("flip:bshin+ffot", r"names no joint. Did you mean ffoot\?"),
        ("cripple:bshin+bshin", "names a joint twice"),
        ("motors:-1", "needs a whole number from 0 to 4294967295, as in motors:17"),
        ("motors:4294967296", "needs a whole number"),
        ("gravity:fast", "needs a factor from 0.1 to 10, as in gravity:0.5"),
        ("mass:0", "needs a factor"),
        ("gravity:nan", "needs a factor"),
    ],
)
def test_what_is_no_dynamics_is_refused(name: str, message: str) -> None:
    with pytest.raises(SettingError, match=f"^learned={re.escape(name)}: {message}"):
        check_dynamics("learned", name)


def test_a_recording_is_decided_by_its_seed(recorder: HalfCheetahRecorder) -> None:
    first = recorder.record("usual", 3, 20)
    recorder.record("usual", 4, 5)
    np.testing.assert_array_equal(recorder.record("usual", 3, 20), first)
    assert first.shape == (20, 2 * STATE + ACTION)
    states, actions, changes = np.split(first, [STATE, STATE + ACTION], 1)
    np.testing.assert_allclose(states[:-1] + changes[:-1], states[1:], atol=1e-12)
    assert np.abs(actions).max() <= 1


def test_dynamics_differ_in_what_they_say(recorder: HalfCheetahRecorder) -> None:
    """Against the environment as it is, whose commands, no longer clipped, are multiplied by hand."""
    from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

    for name, motors, gravity in (
        ("usual", [1, 1, 1, 1, 1, 1], 1),
        ("cripple:bfoot", [1, 1, 0, 1, 1, 1], 1),
        ("flip:fshin+bthigh", [-1, 1, 1, 1, -1, 1], 1),
        ("motors:17", np.random.default_rng(17).random(6) * 2.5 - 1, 1),
        ("gravity:0.5", [1, 1, 1, 1, 1, 1], 0.5),
    ):
        recording = recorder.record(name, 1, 10)
        environment = HalfCheetahEnv()
        environment.model.actuator_ctrllimited[:] = 0
        environment.model.opt.gravity[2] *= gravity
        state, _ = environment.reset(seed=1)
        for row in recording:
            np.testing.assert_allclose(row[:STATE], state, atol=1e-9)
            state, *_ = environment.step(row[STATE : STATE + ACTION] * motors)
    assert np.max(np.random.default_rng(17).random(6) * 2.5 - 1) > 1


def test_a_mass_is_that_of_a_body_compiled_with_it(recorder: HalfCheetahRecorder) -> None:
    """Against the model that MuJoCo compiles where the file asks for another total mass."""
    import gymnasium
    import mujoco

    spec = mujoco.MjSpec.from_file(str(Path(gymnasium.__file__).parent / "envs/mujoco/assets/half_cheetah.xml"))
    spec.compiler.settotalmass *= 2
    compiled, changed = spec.compile(), environment_of("mass:2").model
    for field in ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0"):
        np.testing.assert_allclose(getattr(changed, field), getattr(compiled, field), rtol=1e-6, err_msg=field)


def test_actions_do_not_follow_from_the_start(recorder: HalfCheetahRecorder) -> None:
    recordings = [recorder.record("usual", seed, 1)[0] for seed in range(40)]
    starts, actions = (np.stack([row[part] for row in recordings]) for part in (slice(0, 8), slice(STATE, STATE + ACTION)))
    assert np.abs(np.corrcoef(starts.T, actions.T)[:8, 8:]).max() < 0.6  # of 48 correlations; one stream gives 1


def test_bodies_move_as_recordings_do_and_are_rewarded_as_the_environment_rewards(recorder: HalfCheetahRecorder) -> None:
    from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

    recording = recorder.record("flip:bshin", 5, 12)
    actions = recording[:, STATE : STATE + ACTION]
    bodies = HalfCheetahBodies()
    visited = bodies.begin([4, 2], ["usual", "flip:bshin"], np.array([3, 5]), np.stack([actions[:10]] * 2))
    np.testing.assert_array_equal(visited[1], recording[:11, :STATE])
    environment = HalfCheetahEnv()
    environment.reset(seed=3)
    for action in actions[:10]:
        environment.step(action)
    states, rewards = bodies.step([2, 4], actions[[10, 10]])
    state, reward, *_ = environment.step(actions[10])
    np.testing.assert_array_equal(states[1], state)
    assert rewards[1] == pytest.approx(reward, abs=1e-12)
    assert state[FORWARD] == environment.data.qvel[0]
    flipped = HalfCheetahEnv()
    flipped.reset(seed=5)
    for action in actions[:11]:
        reward = flipped.step(action * [1, -1, 1, 1, 1, 1])[1]
    assert rewards[0] == pytest.approx(reward, abs=1e-12)  # a reversed motor costs the same


def test_a_motor_that_does_nothing_costs_what_it_was_told(recorder: HalfCheetahRecorder) -> None:
    bodies, at_rest = HalfCheetahBodies(), np.zeros((2, 1, ACTION))
    bodies.begin([0, 1], ["cripple:bfoot"] * 2, np.array([1, 1]), at_rest)
    told = at_rest[:, 0].copy()
    told[1, 2] = 1.0
    states, (without, cost) = bodies.step([0, 1], told)
    np.testing.assert_array_equal(states[0], states[1])
    assert without - cost == pytest.approx(0.1)


def test_a_body_whose_numbers_are_not_finite_is_one_message(recorder: HalfCheetahRecorder) -> None:
    bodies = HalfCheetahBodies()
    bodies.begin([0], ["mass:2"], np.array([1]), np.zeros((1, 0, ACTION)))
    with pytest.raises(SimulatorError, match=r"^half_cheetah, mass:2: the simulator became unstable"):
        bodies.step([0], np.full((1, ACTION), np.nan))
    assert np.isfinite(bodies.begin([0], ["mass:2"], np.array([1]), np.zeros((1, 2, ACTION)))).all()
