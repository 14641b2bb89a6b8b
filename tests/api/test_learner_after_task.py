"""The learner after every task (`protocol.keep_states=tasks`): as it was evaluated, in runs that were killed too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import metacl_run as mr
from metacl_run.config.load import Experiment
from metacl_run.config.run_identity import run_id
from metacl_run.core.randomness import Purpose
from metacl_run.experiment import run
from metacl_run.protocols.continual_meta.episodes import EpisodeSampler
from metacl_run.storage import task_states
from metacl_run.storage.store import RunStore
from metacl_run.trained_run import evaluation_of, learned_state
from tests.support.runs import assert_same_run, context_of, stop_after
from tests.support.settings import SMALL_STREAM, TINY
from tests.support.small_runs import settings

TASKS = "protocol.keep_states=tasks"
PER_TASK = 4
"""Observations of a task in `stream`."""


@pytest.fixture
def stream(experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """A run under `online` of three tasks and two seeds. EWC changes its state at the end of a task."""
    own = ["algo=ewc", "algo.fisher_samples=10", "algo.batch_size=10", "algo.lr=0.2", "seeds=[0,4]"]
    return lambda *overrides: experiment(*own, *overrides, tiny=SMALL_STREAM)


class Killed(BaseException):
    pass


def assert_same_state(state: Any, expected: Any) -> None:
    for own, other in zip(tree_leaves(state), tree_leaves(expected), strict=True):
        assert torch.equal(own, other)


def states(built: Experiment) -> list[Any]:
    return [learned_state(built.directory, task) for task in range(built.data.count_tasks())]


def test_predictions_on_the_test_samples_have_the_accuracies_of_the_matrix(stream: Callable[..., Experiment]) -> None:
    built = stream(TASKS)
    assert run(built) == 0
    result = mr.load(built.directory)
    pool = context_of(built).pool
    for replicate, seed in enumerate(result.seeds):
        for after_task in range(3):
            learner = result.learner(seed, after_task=after_task)
            row = [learner.score(samples.x, samples.y) for samples in (pool.test(task, None)[replicate] for task in range(3))]
            assert row == pytest.approx(result.matrix[replicate, after_task + 1].tolist())
        assert_same_state(learner.module().state_dict(), result.learner(seed).module().state_dict())
    assert len({tuple(row) for row in result.matrix[0]}) == 4  # the rows can be told apart


def test_episodes_are_adapted_to_as_after_the_task(tmp_path: Path) -> None:
    run = mr.run([*settings("continual_meta", tmp_path), "algo.outer_lr=0.1", TASKS])
    context = context_of(evaluation_of(run.directory))
    parts = {name: getattr(context, name) for name in ("algo", "data", "pool", "seeds")}
    sampler = EpisodeSampler(**parts, eval_split="test", purpose=Purpose.EVALUATE, dtype=torch.float32)
    for replicate, seed in enumerate(run.seeds):
        for after_task in range(2):
            learner = run.learner(seed, after_task=after_task)
            for task in range(2):
                accuracies = []
                for leaves in zip(*(leaf[replicate] for leaf in sampler.evaluation(task=task, block=0, count=4)), strict=True):
                    support_x, support_y, query_x, query_y = leaves[:4]
                    accuracies.append(learner.adapt(support_x, support_y).score(query_x, query_y))
                assert np.mean(accuracies) == pytest.approx(run.matrix[replicate, after_task + 1, task])


def test_it_is_the_learner_of_a_run_that_was_stopped_there(stream: Callable[..., Experiment]) -> None:
    built = stream(TASKS)
    for task in range(2):
        stop_after(built, (task + 1) * PER_TASK)
        assert_same_state(learned_state(built.directory, task), learned_state(built.directory))
    assert run(built) == 0
    assert_same_state(learned_state(built.directory, 2), learned_state(built.directory))


def test_it_is_the_best_state_where_the_learner_returns_to_it(experiment: Callable[..., Experiment]) -> None:
    best = "protocol.keep=best", "data.validation_classes=0.25", "protocol.eval_every=1", "algo.outer_lr=0.3"
    built = experiment("algo=protonet", *best, "seeds=[0,1,2]", TASKS, tiny=TINY)
    stop_after(built, 4)
    units = torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["results"]["kept"][0]["unit"]
    assert min(units) < 4  # some seed has returned to an earlier state
    assert_same_state(learned_state(built.directory, 0), learned_state(built.directory))


@pytest.mark.parametrize("every", [0.0, 1000.0])
def test_killed_after_a_state_and_within_one_it_ends_as_the_unbroken_run(
    every: float, stream: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, saved = stream().output_dir, f"protocol.checkpoint_every={every}"
    unbroken, broken = (stream(TASKS, saved, f"output_dir={base / name}") for name in ("unbroken", "broken"))
    assert run(unbroken) == 0
    write, write_digested = RunStore.write_task_state, task_states.write_digested

    def after(store: RunStore, task: int, learner: Any) -> None:
        write(store, task, learner)
        if task == 1:
            raise Killed

    def within(path: Path, content: Any) -> None:
        write_digested(path, content)
        if "after_task_1" in path.name:
            path.write_bytes(path.read_bytes()[:100])
            path.with_name(".after_task_1.pt.0123abcd.new").write_bytes(b"half")  # a process that is killed leaves it
            raise Killed

    for owner, name, call in ((RunStore, "write_task_state", after), (task_states, "write_digested", within)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, call)
            with pytest.raises(Killed):
                run(broken)
        assert_same_state(learned_state(broken.directory, 1), learned_state(unbroken.directory, 1))  # whole all the time
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    for own, expected in zip(states(broken), states(unbroken), strict=True):
        assert_same_state(own, expected)
    names = [path.name for path in (broken.directory / "learners").iterdir()]
    assert sorted(names) == ["after_task_0.pt", "after_task_1.pt", "after_task_2.pt"]


def test_no_number_depends_on_it_and_runs_without_it_have_the_id_that_they_had(stream: Callable[..., Experiment]) -> None:
    without, tasks = stream(), stream(TASKS)
    assert run(without) == run(tasks) == 0
    assert_same_run(without.directory, tasks.directory)
    assert not (without.directory / "learners").exists()
    protocol = {key: value for key, value in without.resolved["protocol"].items() if key != "keep_states"}
    ignored = [key for key in without.ignored_by_run_id if key != "protocol.keep_states"]
    before = {**without.resolved, "protocol": protocol, "start_from": None}
    assert without.run_id == run_id(before, ignored, without.data.source.fingerprint)
    assert tasks.run_id != without.run_id


def test_computing_a_run_again_removes_what_there_was(stream: Callable[..., Experiment]) -> None:
    built = stream(TASKS)
    assert run(built) == 0
    file = built.directory / "learners" / "after_task_2.pt"
    file.write_bytes(b"earlier")
    stop_after(stream(TASKS, "rerun=true"), 1)
    assert not file.exists()
    assert run(built) == 0
    assert_same_state(learned_state(built.directory, 2), learned_state(built.directory))


def test_mistakes(stream: Callable[..., Experiment], finished_runs: dict[str, mr.RunResult]) -> None:
    built = stream(TASKS)
    assert run(built) == 0
    result = mr.load(built.directory)
    for task in (3, -1, 1.0, "last"):
        with pytest.raises(
            mr.UserError, match=rf"^after_task={task}: must be a whole number from 0 to 2; the run has 3 tasks$"
        ):
            result.learner(after_task=task)  # type: ignore[arg-type]
    for kind in ("online", "meta_continual"):
        with pytest.raises(mr.UserError, match=r"after_task=0: the run has kept .* A run with protocol\.keep_states=tasks"):
            finished_runs[kind].learner(after_task=0)
    for setting in ("protocol.keep_states=last", "algo.weight_decay=0.1"):
        with pytest.raises(mr.UserError, match=rf"{setting.partition('=')[0]}: was fixed when the run learned"):
            evaluation_of(built.directory, [setting])
    with pytest.raises(mr.UserError, match=r"protocol\.keep_states: was fixed when the run learned"):
        evaluation_of(finished_runs["online"].directory, [TASKS])
    file = built.directory / "learners" / "after_task_1.pt"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(mr.UserError, match=r"after_task_1\.pt is truncated or corrupted: .*; rerun=true computes"):
        result.learner(after_task=1)
    file.unlink()
    with pytest.raises(mr.UserError, match=r"after_task_1\.pt: is missing; rerun=true computes the run again"):
        result.learner(after_task=1)
