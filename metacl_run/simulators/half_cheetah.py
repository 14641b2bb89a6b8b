"""HalfCheetah-v5 of Gymnasium in MuJoCo under changed dynamics, with random actions (extra `robot`).

The changes are those of GrBAL (Nagabandi et al. 2019, arXiv 1803.11347), a joint that does not move, and of its relatives:

    usual                as it is
    cripple:bshin        the motor of a joint does nothing; of several: cripple:bshin+ffoot
    flip:bshin           the motor of a joint turns the other way; of several: flip:bshin+ffoot
    motors:17            every motor has a gain of its own, from -1 to 1.5, drawn by this number
    gravity:0.5          gravity times a factor
    mass:2               masses and inertias times a factor

Importing this file imports neither Gymnasium nor MuJoCo; making an environment does.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, Final

import numpy as np

from metacl_run.core.errors import SettingError, SimulatorError, nearest
from metacl_run.core.randomness import LARGEST_SEED

STATE: Final = 17
"""Numbers of an observation: height and angles (8), their speeds (9); not how far it has come."""
ACTION: Final = 6
JOINTS: Final = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
"""Of the back leg and of the front leg, in the order of an action."""
LEAST_FACTOR, LARGEST_FACTOR = 0.1, 10.0
"""Beyond these the simulation is unstable, or shows nothing new."""
LEAST_GAIN, LARGEST_GAIN = -1.0, 1.5
"""Of `motors`."""
_FACTORS: Final = ("gravity", "mass")
_JOINTS: Final = {"cripple": 0.0, "flip": -1.0}


def check_dynamics(field: str, name: str) -> None:
    """Refuses what names no dynamics. Raises SettingError."""
    if name == "usual":
        return
    kind, _, argument = name.partition(":")
    if kind in _JOINTS:
        _check_joints(field, name, argument.split("+"))
    elif kind == "motors":
        if not argument.isascii() or not argument.isdigit() or int(argument) > LARGEST_SEED:
            raise SettingError(field, name, f"needs a whole number from 0 to {LARGEST_SEED}, as in motors:17")
    elif kind in _FACTORS:
        if not LEAST_FACTOR <= _number(argument) <= LARGEST_FACTOR:
            example = f"as in {kind}:0.5"
            raise SettingError(field, name, f"needs a factor from {LEAST_FACTOR:g} to {LARGEST_FACTOR:g}, {example}")
    else:
        allowed = "must be usual, cripple:JOINTS, flip:JOINTS, motors:N, gravity:X or mass:X."
        raise SettingError(field, name, f"{allowed}{nearest(kind, ('usual', *_JOINTS, 'motors', *_FACTORS))}")


def canonical(name: str) -> str:
    """Dynamics that were checked, written in one way: the same whatever the order of joints or the digits of a number."""
    kind, _, argument = name.partition(":")
    if kind in _JOINTS:
        return f"{kind}:{'+'.join(sorted(argument.split('+')))}"
    if kind == "motors":
        return f"{kind}:{int(argument)}"
    return f"{kind}:{_number(argument)!r}" if kind in _FACTORS else name


def _check_joints(field: str, name: str, joints: list[str]) -> None:
    for joint in joints:
        if joint not in JOINTS:
            raise SettingError(field, name, f"names no joint.{nearest(joint, JOINTS)} Joints: {', '.join(JOINTS)}")
    if len(set(joints)) < len(joints):
        raise SettingError(field, name, "names a joint twice")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


class HalfCheetahRecorder:
    """Records what random actions lead to."""

    def __init__(self) -> None:
        self._environments: dict[str, Any] = {}

    def record(self, dynamics: str, seed: int, steps: int) -> np.ndarray:
        """Acts at random from a random start.

        Args:
            dynamics: their name.
            seed: decides the start and the actions.
            steps: of the recording.

        Returns:
            [steps, STATE + ACTION + STATE] states, actions in [-1, 1], and how the states change.
        """
        if dynamics not in self._environments:
            self._environments[dynamics] = environment_of(dynamics)
        environment = self._environments[dynamics]
        # Gymnasium draws the start from default_rng(seed): the actions must not come from the same numbers.
        actions = np.random.default_rng([seed, 1]).uniform(-1, 1, (steps, ACTION))
        states = [environment.reset(seed=seed)[0]]
        states += [environment.step(action)[0] for action in actions]
        visited = np.array(states)
        check_stable(environment, visited, dynamics)
        return np.concatenate([visited[:-1], actions, np.diff(visited, axis=0)], 1)


def environment_of(dynamics: str) -> Any:
    """Makes HalfCheetah-v5 under some dynamics."""
    mujoco = import_module("mujoco")
    mujoco.set_mju_user_warning(_no_log_file)
    environment = import_module("gymnasium.envs.mujoco.half_cheetah_v5").HalfCheetahEnv()
    model = environment.model
    # The gear of a motor, not its command, has the gain: MuJoCo clips commands to [-1, 1], and a gain of 1.5 would end there.
    model.actuator_gear[:, 0] *= gains_of(dynamics)
    kind, _, argument = dynamics.partition(":")
    if kind == "gravity":
        model.opt.gravity[:] *= float(argument)
    if kind == "mass":
        model.body_mass[:] *= float(argument)
        model.body_inertia[:] *= float(argument)
        mujoco.mj_setConst(model, environment.data)  # what MuJoCo derives from masses: of subtrees, inverse weights
    return environment


def gains_of(dynamics: str) -> np.ndarray:
    """[ACTION] how many times as strong as usual the motors are."""
    gains = np.ones(ACTION)
    kind, _, argument = dynamics.partition(":")
    if kind in _JOINTS:
        gains[[JOINTS.index(joint) for joint in argument.split("+")]] = _JOINTS[kind]
    if kind == "motors":
        gains = np.random.default_rng(int(argument)).uniform(LEAST_GAIN, LARGEST_GAIN, ACTION)
    return gains


def check_stable(environment: Any, states: np.ndarray, dynamics: str) -> None:
    """Raises SimulatorError where states are not finite, or MuJoCo, which then starts anew by itself, has counted such."""
    counted = (environment.data.warning[number].number for number in _unstable())
    if not np.isfinite(states).all() or any(counted):
        raise SimulatorError(f"half_cheetah, {dynamics}: the simulator became unstable: its numbers are not finite")


def _unstable() -> list[int]:
    """Numbers of MuJoCo's warnings of positions, speeds, accelerations and actions that are not finite or huge."""
    warnings = import_module("mujoco").mjtWarning
    return [int(getattr(warnings, f"mjWARN_BAD{what}")) for what in ("QPOS", "QVEL", "QACC", "CTRL")]


def _no_log_file(warning: str) -> None:
    """Takes the place of MuJoCo's own, which writes into the working folder."""
