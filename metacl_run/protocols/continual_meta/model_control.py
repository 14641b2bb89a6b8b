"""The return of control with an adapted model, as in GrBAL (Nagabandi et al. 2019, arXiv 1803.11347): at every step a learner
adapts to the last M transitions (M = data.shots), always from its meta-learned parameters, and a controller plans with what it
then predicts (`random_shooting.py`).

Beside it stand the return with the model before adaptation, and that of random actions. All three have the same bodies, the
same first M steps, which are random, and the same candidates; random actions are the first ones of the first candidates. A
return is the sum of the rewards of the steps after these M.

Differences from the paper:
1. The model has learned from random actions alone, and not also from those of the controller.
2. The first window comes from random actions, not from those of the unadapted model.
Shapes: R seeds, T tasks, B = T * E bodies, M transitions, N candidates, H steps, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode, cast_floats
from metacl_run.data.streams.control_episodes import Window
from metacl_run.data.streams.sampling import inner_batches
from metacl_run.data.streams.stream import ModelControl
from metacl_run.data.streams.units import Units
from metacl_run.inner.engine import Engine
from metacl_run.models.layers import has_batch_norm
from metacl_run.protocols.continual_meta.random_shooting import best_action
from metacl_run.protocols.continual_meta.scorer import predict_one_by_one
from metacl_run.protocols.continual_meta.setup import FewShotSetup

Controller = Literal["adapted", "before", "random"]
Choice = Callable[[Window, Tensor, Tensor], Tensor]
"""(window [R, B, ...], candidates [R, B, N, H, A], mini-batches [R, B, ...]) -> actions [R, B, A]."""


def control_returns(
    setup: FewShotSetup, engine: Engine, learner: MetaState, control: ModelControl, controller: Controller
) -> np.ndarray:
    """[R, T] the return of a controller, in mean over the bodies of a task. Raises SimulatorError."""
    choose = _choice(setup, engine, learner, control, controller)
    draws, device = [setup.episodes.of_control(part) for part in (1, 2)], control.units.input_mean.device
    with torch.no_grad():
        world, window = control.episodes.begin()
        total = torch.zeros(window.actions.shape[:2], dtype=torch.float64, device=device)
        for _ in range(control.num_steps):
            actions = choose(window, *_draw(setup, control, draws, device))
            world, states, rewards = control.episodes.step(world, actions)
            window, total = window.after(actions.to(window.actions), states), total + rewards
    of_tasks: np.ndarray = total.unflatten(1, (-1, control.num_episodes)).mean(2).cpu().numpy()
    return of_tasks


def _choice(setup: FewShotSetup, engine: Engine, learner: MetaState, control: ModelControl, controller: Controller) -> Choice:
    if controller == "random":
        return lambda window, candidates, batches: candidates[:, :, 0, 0]
    units, goals = Units(*_cast(setup, control.units)), cast_floats(control.episodes.goals, setup.episodes.dtype)
    act = _planner(setup, control, adapts=controller == "adapted")
    mapped = engine.over_replicates(
        lambda state, units, *of_bodies: engine.map(lambda *of_body: act(state, units, *of_body), *of_bodies)
    )

    def choose(window: Window, candidates: Tensor, batches: Tensor) -> Tensor:
        actions: Tensor = mapped(learner, units, *_cast(setup, window), candidates, batches, goals)
        return actions

    return choose


def _planner(setup: FewShotSetup, control: ModelControl, *, adapts: bool) -> Callable[..., Tensor]:
    """Returns what chooses the action [A] of one body of one seed."""
    algo, network, normalises = setup.algo, setup.network, has_batch_norm(setup.module)

    def act(
        state: MetaState, units: Units, states: Tensor, actions: Tensor, candidates: Tensor, batches: Tensor, goal: Tensor
    ) -> Tensor:
        x, y = units.inputs(states[:-1], actions), units.targets(states[:-1], states[1:])
        episode, meta = Episode(x, y, x[:0], y[:0], batches), state["meta"]
        fast = algo.learn(network, meta, state["carry"], episode) if adapts else {}

        def outputs(inputs: Tensor) -> Tensor:
            return algo.predict(network, meta, fast, inputs) if adapts else network(meta["params"], inputs)

        def predict(inputs: Tensor) -> Tensor:
            return predict_one_by_one(outputs, episode._replace(query_x=inputs)) if normalises else outputs(inputs)

        return best_action(predict, units, states[-1], candidates, lambda a, s: control.episodes.rewards(a, s, goal))

    return act


def _cast(setup: FewShotSetup, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(cast_floats(leaf, setup.episodes.dtype) for leaf in leaves)


def _draw(
    setup: FewShotSetup, control: ModelControl, draws: Sequence[list[list[np.random.Generator]]], device: torch.device
) -> list[Tensor]:
    """The candidates [R, B, N, H, A] of a step, uniform within the bounds, and the mini-batches [R, B, steps, batch].

    `draws` has generators [R][T] for each of the two, so that all learners are offered the same candidates.
    """
    lowest, highest = (bound.to(setup.episodes.dtype) for bound in (control.episodes.lowest, control.episodes.highest))
    count, shots = control.num_episodes, setup.data.shots
    shape = (count, control.candidates, control.horizon, len(lowest))
    shares = np.array([np.concatenate([rng.random(shape, np.float32) for rng in own]) for own in draws[0]])
    batch = setup.algo.inner_batches(shots, False)
    batches = np.array([np.concatenate(inner_batches(own, count, batch, support=shots)) for own in draws[1]])
    uniforms, index = upload([shares, batches], device)
    return [lowest + (highest - lowest) * uniforms.to(lowest), index]
