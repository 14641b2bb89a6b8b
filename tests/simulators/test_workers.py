"""Simulators in processes: what comes back, whatever their number, and what is said when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import SimulatorError
from metacl_run.simulators.demonstrations import STAY, Demanded, Demonstration, demonstrations
from metacl_run.simulators.policy_episodes import MOST_EPISODES, roll_out
from metacl_run.simulators.simulator import Begin, Simulator
from metacl_run.simulators.workers import Workers
from tests.support.line_task import REACH, line_task

HORIZON = 25


@pytest.fixture(scope="module")
def one() -> Iterator[Workers]:
    yield from ended(Workers(Simulator, [line_task, 1], count=1, timeout_s=30))


@pytest.fixture(scope="module")
def three() -> Iterator[Workers]:
    yield from ended(Workers(Simulator, [line_task, 3], count=3, timeout_s=30))


def ended(workers: Workers) -> Iterator[Workers]:
    yield workers
    workers.end()


def demanded(task: str, count: int = 6, noise: float = 0.5) -> Demanded:
    generators = [np.random.default_rng([number, 7]) for number in range(2)]
    return Demanded(
        task=task,
        count=count,
        horizon=HORIZON,
        num_actions=1,
        noise=noise,
        placements=generators[0],
        disturbances=generators[1],
    )


def made(workers: Workers, *tasks: str) -> list[list[Demonstration]]:
    found: dict[int, list[Demonstration]] = dict(demonstrations([demanded(task) for task in tasks], workers, lambda: None))
    return [found[number] for number in range(len(tasks))]


def homewards(observations: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """Goes to the middle at .03 a step in replicate 0; in replicate 1 away from it."""
    speed = np.array([0.3, -0.3])[: len(observations), None, None]
    return -np.sign(observations[..., :1]) * speed


def test_demonstrations_are_those_of_the_first_tries_that_succeed(one: Workers) -> None:
    (demonstrated,) = made(one, "every_second")
    rng = np.random.default_rng([0, 7])
    starts = [int(rng.integers(2**31)) for _ in range(40)]
    expected = [start for start in starts if start % 2 == 0][:6]
    assert [own.placement for own in demonstrated] == [own.pairs[0, 1] for own in demonstrated] == expected


def test_a_demonstration_is_what_the_expert_would_do_on_a_noisy_way(one: Workers) -> None:
    for _, pairs in made(one, "easy")[0]:
        places, actions = pairs[:, 0], pairs[:, 2]
        np.testing.assert_array_equal(actions, np.clip(-10 * places, -1, 1))
        steps = np.diff(places) / 0.1
        assert (np.abs(steps) <= 1 + 1e-9).all()  # of the noisy actions too
        noisy = np.abs(steps - actions[:-1]) > 1e-9
        assert 0 < noisy.sum() < len(noisy)
        first = int(np.argmax(np.abs(places) < REACH))
        assert len(places) == min(HORIZON, first + STAY)


def test_demonstrations_do_not_depend_on_the_number_of_processes(one: Workers, three: Workers) -> None:
    tasks = ["easy", "every_second", "prints"]
    for alone, together in zip(made(one, *tasks), made(three, *tasks), strict=True):
        assert len(alone) == len(together) == 6
        for own, other in zip(alone, together, strict=True):
            assert own.placement == other.placement
            np.testing.assert_array_equal(own.pairs, other.pairs)


def test_an_expert_that_fails_too_often_is_given_up(three: Workers) -> None:
    allowed = (
        r"never: its scripted expert reached the goal in 0 of 22 tries, too few for 6 demonstrations. A longer data.horizon"
    )
    with pytest.raises(SimulatorError, match=allowed):
        made(three, "easy", "never")
    assert len(made(three, "easy")[0]) == 6  # the next request starts new processes


def test_episodes_end_at_the_goal_and_after_the_horizon(one: Workers) -> None:
    placements = np.array([[[300, 600, 900]], [[30, 600, 20]]])
    outcome = roll_out(one, ["easy"], placements, homewards, horizon=HORIZON, record=True)
    np.testing.assert_array_equal(outcome.successes, [[[True, True, False]], [[False, False, False]]])
    places = [observation[0] for observation in outcome.visited[0, 0, 0]]
    np.testing.assert_allclose(places, 0.3 - 0.03 * np.arange(10), atol=1e-12)  # the first within reach is the last
    assert len(outcome.visited[0, 0, 2]) == HORIZON + 1


def test_results_do_not_depend_on_the_number_of_processes(one: Workers, three: Workers) -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((2, 3))
    shapes = []

    def policy(observations: np.ndarray, tasks: np.ndarray) -> np.ndarray:
        shapes.append((observations.shape, tasks.tolist()))
        return np.tanh(observations[..., :1] * weights[:, tasks, None]) + 0.1 * np.sin(observations[..., :1] * 100)

    tasks, placements = ["easy", "prints", "every_second"], rng.integers(2**31, size=(2, 3, 7))
    outcomes = [roll_out(workers, tasks, placements, policy, horizon=HORIZON, record=True) for workers in (one, three)]
    np.testing.assert_array_equal(outcomes[0].successes, outcomes[1].successes)
    assert outcomes[0].successes.any()
    assert not outcomes[0].successes.all()
    assert {key: np.array(steps).tolist() for key, steps in outcomes[0].visited.items()} == {
        key: np.array(steps).tolist() for key, steps in outcomes[1].visited.items()
    }
    assert len(outcomes[0].visited) == placements.size
    assert len({str(shape) for shape in shapes}) == 1  # whoever is still acting


def test_more_tasks_than_go_on_together_come_in_blocks(one: Workers) -> None:
    names = [f"easy {number}" for number in range(MOST_EPISODES + 3)]
    placements = np.full((1, len(names), 1), 100)
    seen = []

    def policy(observations: np.ndarray, tasks: np.ndarray) -> np.ndarray:
        seen.append(tuple(tasks))
        return -np.sign(observations[..., :1])

    assert roll_out(one, names, placements, policy, horizon=3).successes.all()
    assert set(seen) == {tuple(range(MOST_EPISODES)), tuple(range(MOST_EPISODES, len(names)))}


def test_an_action_that_is_not_finite_is_a_failure(one: Workers) -> None:
    def policy(observations: np.ndarray, tasks: np.ndarray) -> np.ndarray:
        return np.where(observations[..., :1] < 0.2, np.nan, homewards(observations, tasks))

    outcome = roll_out(one, ["easy"], np.array([[[600, 100]]]), policy, horizon=HORIZON)
    assert not outcome.successes.any()


def test_a_simulator_that_becomes_unstable_under_a_policy_is_a_failure(one: Workers, caplog: pytest.LogCaptureFixture) -> None:
    outcome = roll_out(one, ["easy", "unstable"], np.full((1, 2, 2), 500), homewards, horizon=HORIZON, record=True)
    assert outcome.successes.tolist() == [[[True, True], [False, False]]]
    assert outcome.unstable == [(0, 1, 0), (0, 1, 1)]
    assert all(np.isfinite(points).all() for points in outcome.visited.values())
    assert "unstable under the policy's actions in 2 of 4 episodes (unstable)" in caplog.text


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("raises", r"ValueError: shape \(11,\) into shape \(12,\) \(.*line_task.py, line \d+\)"),
        ("dies", r"a process that simulates ended with status 3: no more tokens"),
        ("is_killed", r"a process that simulates was killed by SIGKILL \(out of memory\?\). .* data.processes=1"),
    ],
)
def test_what_goes_wrong_is_said_in_one_message(one: Workers, task: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        roll_out(one, ["easy", task], np.full((1, 2, 1), 500), homewards, horizon=HORIZON)
    assert roll_out(one, ["easy"], np.full((1, 1, 1), 500), homewards, horizon=HORIZON).successes.all()


def test_a_process_that_hangs_is_ended() -> None:
    workers = Workers(Simulator, [line_task, 1], count=1, timeout_s=30)
    roll_out(workers, ["easy"], np.full((1, 1, 1), 500), homewards, horizon=1)
    workers._timeout_s = 0.3  # not before: the process has started by now
    since = time.monotonic()
    with pytest.raises(SimulatorError, match=r"has not answered for 0.3 s and was ended. .* data.timeout=0.6"):
        roll_out(workers, ["hangs"], np.full((1, 1, 1), 500), homewards, horizon=HORIZON)
    assert time.monotonic() - since < 10
    assert not workers._processes


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_processes_end_with_the_run_however_it_ends(tmp_path: Path) -> None:
    """And a script without `if __name__ == "__main__"` is not run again in them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, os, signal\n"
        "from metacl_run.simulators.simulator import Simulator\n"
        "from metacl_run.simulators.workers import Workers\n"
        "from tests.support.line_task import line_task\n"
        "workers = Workers(Simulator, [line_task, 2], count=2, timeout_s=30)\n"
        "for worker in workers.idle:\n"
        "    workers.ask(worker, 'demonstrate', 'easy', 0, np.zeros((1, 1)), 0)\n"
        "    workers.answer()\n"
        "print(*[process._process.pid for process in workers._processes], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == -signal.SIGKILL
    assert len(result.stdout.splitlines()) == 1
    until = time.monotonic() + 10
    while any(runs(pid) for pid in result.stdout.split()):
        assert time.monotonic() < until, "they outlive it"
        time.sleep(0.05)


def runs(pid: str) -> bool:
    """A process that nobody has waited for yet is a zombie, Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_tasks_stay_built_up_to_a_limit() -> None:
    built = []
    simulator = Simulator(lambda name: built.append(name) or line_task(name), processes=24)  # two tasks each
    for names in (["a", "b"], ["b", "a", "c"], ["c"], ["a"], ["b"], ["a"], ["c"]):
        simulator.advance([], [], np.zeros((0, 1)), [Begin(lane, name, 0) for lane, name in enumerate(names)])
        simulator.advance(range(len(names)), [], np.zeros((0, 1)), [])
    assert built == ["a", "b", "c", "b", "c"]  # three in use are three; what waited longest goes first
