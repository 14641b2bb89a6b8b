"""The 50 tasks of Meta-World: a Sawyer arm in MuJoCo, observed by its state, with scripted experts (extra `robot`).

Yu et al. 2019, arXiv 1910.10897; version 3 of its environments, built directly with the goal in the observation, since the
experts read it there. An observation has 39 numbers: hand (3), gripper, places and turns of two objects (14), all this as it
was one step before, and the goal (3). An action has 4: the hand's move along three axes, and the gripper. An episode succeeds
when the environment says so at any step, as in Meta-World and in Continual World.

Importing this file imports neither metaworld nor MuJoCo; `metaworld_task` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import numpy as np

from metacl_run.simulators.simulated_task import SimulatedTask

TASKS: Final = (
    *("assembly", "basketball", "bin-picking", "box-close", "button-press-topdown", "button-press-topdown-wall"),
    *("button-press", "button-press-wall", "coffee-button", "coffee-pull", "coffee-push", "dial-turn", "disassemble"),
    *("door-close", "door-lock", "door-open", "door-unlock", "drawer-close", "drawer-open", "faucet-close", "faucet-open"),
    *("hammer", "hand-insert", "handle-press", "handle-press-side", "handle-pull", "handle-pull-side", "lever-pull"),
    *("peg-insert-side", "peg-unplug-side", "pick-out-of-hole", "pick-place", "pick-place-wall", "plate-slide"),
    *("plate-slide-back", "plate-slide-back-side", "plate-slide-side", "push", "push-back", "push-wall", "reach"),
    *("reach-wall", "shelf-place", "soccer", "stick-pull", "stick-push", "sweep", "sweep-into", "window-close", "window-open"),
)
"""Their names without the version. A task's place here decides its placements: never change the order."""
OBSERVATION: Final = 39
ACTION: Final = 4
LONGEST: Final = 500
"""Steps that an episode may have."""
HAND, OBJECT, GOAL = slice(0, 2), slice(4, 6), slice(36, 38)
"""Of an observation: where things are, seen from above."""
WHOLE_GOAL: Final = slice(36, 39)
PLACES: Final = [*range(0, 3), *range(4, 7), *range(11, 14), *range(18, 21), *range(22, 25), *range(29, 32), *range(36, 39)]
"""Of an observation: everything that is a place, in metres."""
CENTRE, SCALE = np.array([0.0, 0.6, 0.15]), 0.15
"""The middle of the space in front of the arm, and roughly its deviation, in metres."""


def scaled(observations: np.ndarray) -> np.ndarray:
    """Observations [..., 39] for a network: places from the middle of the workspace, in its scale; other numbers as they are.

    The place of an object that is not there stays 0. What is scaled, and by how much, depends on no data.
    """
    result: np.ndarray = observations.copy()
    places = observations[..., PLACES].reshape(*observations.shape[:-1], -1, 3)
    is_there = (places != 0).any(-1, keepdims=True)
    result[..., PLACES] = np.where(is_there, (places - CENTRE) / SCALE, 0).reshape(*observations.shape[:-1], -1)
    return result


class MetaWorldTask(SimulatedTask):
    """An environment of Meta-World and its expert.

    MuJoCo begins an unstable simulation anew by itself. That would be another episode: the observation is NaN instead.
    """

    def __init__(self, environment: Any, expert: Any, instabilities: list[Any]) -> None:
        environment._freeze_rand_vec = False  # a new placement at every reset
        environment.seeded_rand_vec = True  # drawn by the generator that `seed` makes
        self._environment, self._expert, self._instabilities = environment, expert, instabilities

    def begin(self, placement: int) -> np.ndarray:
        self._environment.seed(placement)
        observation, _ = self._environment.reset()
        return np.asarray(observation, np.float64)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        observation, _, _, _, info = self._environment.step(action)
        warnings = self._environment.data.warning
        if any(warnings[kind].number for kind in self._instabilities):
            observation = np.full(OBSERVATION, np.nan)
        return np.asarray(observation, np.float64), bool(info["success"])

    def expert(self, observation: np.ndarray) -> np.ndarray:
        return np.clip(np.asarray(self._expert.get_action(observation), np.float64), -1, 1)


def metaworld_task(name: str) -> MetaWorldTask:
    """Builds a task, in .15 s."""
    mujoco: Any = import_module("mujoco")
    environments: Any = import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
    experts: Any = import_module("metaworld.policies").ENV_POLICY_MAP
    mujoco.set_mju_user_warning(_no_log_file)
    kinds = mujoco.mjtWarning
    instabilities = [kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC]
    return MetaWorldTask(environments[f"{name}-v3-goal-observable"](seed=0), experts[f"{name}-v3"](), instabilities)


def _no_log_file(warning: str) -> None:
    """Takes the place of MuJoCo's own, which writes into the working folder."""
