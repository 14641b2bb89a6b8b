"""Control with an adapted model: plans compared by hand, and the returns of a run recomputed body by body in plain loops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.planar_control import LARGEST_PUSH
from metacl_run.data.streams.units import Units
from metacl_run.experiment import run
from metacl_run.protocols.continual_meta.random_shooting import best_action, expected_returns
from metacl_run.simulators.planar_world import step
from metacl_run.simulators.robot_extra import GYMNASIUM, installed
from tests.protocols.continual_meta.test_adaptation import TINY, error


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


CONTROL = ["data.mpc=true", "data.mpc_episodes=2", "data.mpc_steps=3", "data.mpc_horizon=2", "data.mpc_candidates=4"]
RATE = 0.4
"""Of the step of adaptation: large enough for another plan to be the best."""
UNITS = Units(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.5]), torch.tensor([0.3]), torch.tensor([2.0]))


def pushed_by(inputs: torch.Tensor) -> torch.Tensor:
    """The model of a body that moves by its action: what it says is standardised, as what it sees."""
    actions = inputs[:, 1:] * UNITS.input_deviation[1:] + UNITS.input_mean[1:]
    return (actions - UNITS.change_mean) / UNITS.change_deviation


def test_of_a_linear_body_the_best_plan_is_known() -> None:
    """From s an action moves the body by itself, and the reward is where it is: G = H s + sum of (H - h) a_h."""
    plans = torch.rand(50, 4, 1, generator=torch.manual_seed(0)) * 2 - 1
    expected = 4 * 0.7 + plans[..., 0] @ torch.tensor([4.0, 3.0, 2.0, 1.0])
    where = torch.tensor([0.7])

    def rewards(actions: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        return states[:, 0]

    torch.testing.assert_close(expected_returns(pushed_by, UNITS, where, plans, rewards), expected)
    assert torch.equal(best_action(pushed_by, UNITS, where, plans, rewards), plans[expected.argmax(), 0])
    costly = best_action(pushed_by, UNITS, where, plans, lambda actions, states: -actions[:, 0].square())
    assert torch.equal(costly, plans[plans.square().sum((1, 2)).argmin(), 0])


def test_a_plan_whose_return_is_not_finite_is_not_taken() -> None:
    plans = torch.tensor([[0.1], [9.0], [0.2]]).unsqueeze(-1)
    for broken in (torch.nan, torch.inf):

        def rewards(actions: torch.Tensor, states: torch.Tensor, broken: float = broken) -> torch.Tensor:
            return torch.where(actions[:, 0] > 1, broken, actions[:, 0])

        assert best_action(pushed_by, UNITS, torch.zeros(1), plans, rewards).item() == pytest.approx(0.2)
        everywhere = best_action(pushed_by, UNITS, torch.zeros(1), plans, lambda actions, states: states[:, 0] * torch.nan)
        assert everywhere.item() == pytest.approx(0.1)


@pytest.fixture(scope="module")
def parts() -> Callable[[Experiment], tuple[nn.Module, dict[str, torch.Tensor]]]:
    def of(built: Experiment) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        state = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]
        return built.model.build((8,), 5).double(), state["meta"]["params"]

    return of


def test_returns_are_those_of_a_loop_over_bodies_steps_and_plans(
    experiment: Callable[..., Experiment],
    parts: Callable[[Experiment], tuple[nn.Module, dict[str, torch.Tensor]]],
) -> None:
    """In the units of the simulator, with a step of plain SGD at every step of the hand; two seeds."""
    built = experiment(tiny=[*TINY, *CONTROL, "seeds=[0,1]", f"algo.inner_lr={RATE}"])
    assert run(built) == 0
    summary = json.loads((built.directory / "summary.json").read_text())
    (module, params), pool = parts(built), built.data.load([0, 1])
    begun = [[generator(Purpose.CONTROL, seed, task, 0) for task in range(2)] for seed in (0, 1)]
    bodies = pool.control("test", begun).episodes
    lowest, widths = torch.tensor([-LARGEST_PUSH] * 3), torch.tensor([2 * LARGEST_PUSH, 2 * LARGEST_PUSH, LARGEST_PUSH])
    totals = {kind: torch.zeros(2, 2, dtype=torch.float64) for kind in ("after", "before", "random")}
    for kind, total in totals.items():
        for replicate, task in np.ndindex(2, 2):
            (of_x, by_x), (of_y, by_y) = (tuple(part[replicate].double() for part in scale) for scale in pool.scales)
            own = {name: value[replicate] for name, value in params.items()}
            draws = generator(Purpose.CONTROL, replicate, task, 1)
            plans = [torch.from_numpy(draws.random((2, 4, 2, 3), np.float32)).double() * widths + lowest for _ in range(3)]
            for episode in range(2):
                body = 2 * task + episode
                dynamics, goal = bodies.dynamics[replicate, body], bodies.goals[replicate, body]
                states, actions = [bodies.starts[replicate, body]], list(bodies.pushes[replicate, body])
                for push in actions:
                    states.append(step(states[-1], push, dynamics))
                for drawn in plans:
                    seen = torch.stack(states[-5:])[:, :5]
                    x = (torch.cat([seen[:-1], torch.stack(actions[-4:])], 1) - of_x) / by_x
                    y = (seen[1:] - seen[:-1] - of_y) / by_y
                    model = adapted(module, own, x, y) if kind == "after" else own
                    expected = [
                        plan_return(module, model, seen[-1], plan, goal, (of_x, by_x, of_y, by_y)) for plan in drawn[episode]
                    ]
                    chosen = 0 if kind == "random" else int(np.argmax(expected))
                    actions.append(drawn[episode][chosen][0])
                    states.append(step(states[-1], actions[-1], dynamics))
                    total[replicate, task] -= torch.dist(states[-1][:2], goal) / 2
        torch.testing.assert_close(torch.tensor(summary["control"][kind], dtype=torch.float64), total, rtol=1e-5, atol=1e-7)
    for name, kind in (("return", "after"), ("before_return", "before"), ("random_return", "random")):
        np.testing.assert_allclose(summary["metrics"][name]["values"], totals[kind].mean(1), rtol=1e-5)
    assert not torch.allclose(totals["after"], totals["before"])


def adapted(module: nn.Module, params: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    moving = {name: value.clone().requires_grad_() for name, value in params.items()}
    optimizer = torch.optim.SGD(moving.values(), lr=RATE)
    error(module, moving, x, y).backward()
    optimizer.step()
    return {name: value.detach() for name, value in moving.items()}


def plan_return(
    module: nn.Module,
    params: dict[str, torch.Tensor],
    state: torch.Tensor,
    plan: torch.Tensor,
    goal: torch.Tensor,
    units: tuple[torch.Tensor, ...],
) -> float:
    of_x, by_x, of_y, by_y = units
    total = 0.0
    for action in plan:
        seen = (torch.cat([state, action]) - of_x) / by_x
        state = state + functional_call(module, params, (seen[None],))[0].detach() * by_y + of_y
        total -= torch.dist(state[:2], goal).item()
    return total


def test_a_seed_has_the_same_return_alone_and_without_control_nothing_changes(experiment: Callable[..., Experiment]) -> None:
    both, alone, without = (
        experiment(tiny=[*TINY, *control, seeds])
        for control, seeds in ((CONTROL, "seeds=[0,1]"), (CONTROL, "seeds=[1]"), ([], "seeds=[1]"))
    )
    values = []
    for built in (both, alone, without):
        run(built)
        metrics = json.loads((built.directory / "summary.json").read_text())["metrics"]
        values.append({name: metric["values"] for name, metric in metrics.items()})
    assert values[0]["return"][1] == pytest.approx(values[1]["return"][0], rel=1e-9)
    assert {name for name in values[1] if name not in values[2]} == {"return", "before_return", "random_return"}
    assert {name: values[1][name] for name in values[2]} == values[2]


def test_settings_of_control_are_part_of_the_run_id_where_there_is_control(experiment: Callable[..., Experiment]) -> None:
    ids = [
        experiment(f"data.mpc={mpc}", f"data.mpc_steps={steps}", tiny=TINY).run_id
        for mpc in ("false", "true")
        for steps in (3, 4)
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_what_cannot_be_controlled_is_refused(experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=r"^data.mpc_candidates=1000000: is too much with mpc_episodes and mpc_horizon"):
        experiment(*CONTROL, "data.mpc_candidates=1000000", "data.mpc_horizon=1000", tiny=TINY)
    with pytest.raises(ConfigError, match=r"^data.mpc_episodes=0: must be at least 1"):
        experiment("data.mpc_episodes=0", tiny=TINY)


def test_half_cheetah_is_controlled_in_any_number_of_processes(experiment: Callable[..., Experiment]) -> None:
    if any(version is None for version in installed(GYMNASIUM).values()):
        pytest.skip("the extra robot is not installed")
    dynamics = "data.dynamics=[flip:bshin,flip:bfoot,mass:2,mass:3]"
    of_hands = ("data", "data.families", "data.dynamics_per_family", "data.rollouts", "data.steps")
    common = [setting for setting in TINY if setting.split("=")[0] not in of_hands]
    tiny = ["data=half_cheetah", dynamics, "data.recordings=3", "data.recording_steps=12", *common, *CONTROL]
    values = []
    for processes in (1, 2):
        built = experiment(f"data.processes={processes}", "rerun=true", tiny=tiny)
        assert run(built) == 0
        values.append(json.loads((built.directory / "summary.json").read_text())["control"])
    assert values[0] == values[1]
    assert np.isfinite(list(values[0].values())).all()


def test_bodies_are_under_dynamics_of_the_split_and_hold_what_they_carry(experiment: Callable[..., Experiment]) -> None:
    built = experiment(tiny=[*TINY, *CONTROL, "data.families=[motors,payload]", "data.mpc_episodes=40"])
    pool = built.data.load([0])

    def bodies(split: str) -> object:
        return pool.control(split, [[generator(Purpose.CONTROL, 0, task, 0) for task in range(2)]]).episodes

    test, validation = bodies("test"), bodies("validation")
    assert not torch.equal(test.starts, validation.starts)
    members = {
        split: {tuple(row.tolist()) for row in part.dynamics[0, :40]}
        for split, part in (("test", test), ("validation", validation))
    }
    assert (len(members["test"]), len(members["validation"])) == (2, 2)  # of four dynamics two are unseen
    assert not members["test"] & members["validation"]
    assert (test.goals.abs() <= 0.5).all()
    world, window = test.begin()
    assert (window.states.shape, window.actions.shape) == ((1, 80, 5, 5), (1, 80, 4, 3))
    for _ in range(20):
        world, states, rewards = test.step(world, test.lowest.expand(1, 80, 3))
    torch.testing.assert_close(rewards, -(states[..., :2] - test.goals).norm(dim=-1))
    block = world[0, 40:, 5:7]
    torch.testing.assert_close(block, states[0, 40:, :2], atol=0.02, rtol=0)
    again = dataclasses.replace(test).begin()[1]
    assert torch.equal(again.states, window.states)
