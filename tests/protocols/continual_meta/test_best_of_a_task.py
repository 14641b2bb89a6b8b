"""`protocol.keep=best` under `continual_meta`: the best state of every task, kill and continue, what validation is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from tests.support.runs import assert_same_run, context_of, records, stop_after
from tests.support.settings import TINY

BEST = "protocol.keep=best", "data.validation_classes=0.25", "gpu.precision=float64"
JUMPY = "protocol.eval_every=1", "algo.outer_lr=0.3", "protocol.eval_episodes=6"
"""Every meta-update is a candidate, and the last is often not the best."""


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)


def kept(built: Experiment) -> dict[str, Any]:
    return json.loads((built.directory / "summary.json").read_text())["kept"]


def state_of(built: Experiment) -> Any:
    return torch.load(built.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]


def test_every_task_ends_with_its_best_state(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=protonet", *BEST, *JUMPY, "seeds=[0,1,2]")
    assert run(built) == 0
    measured = [record for record in records(built.directory) if record["kind"] == "validation"]
    assert [record["unit"] for record in measured] == list(range(1, 9))
    scores = np.array([record["accuracy"] for record in measured]).reshape(2, 4, 3)  # task, update, seed
    best = (scores.argmax(1) + 1 + np.array([[0], [4]])).T
    assert kept(built) == {"unit": best.tolist(), "score": scores.max(1).T.tolist()}
    assert len(np.unique(best[:, 0])) > 1
    assert (best[:, 1] < 8).any()
    rows = [record["accuracy"] for record in records(built.directory) if record["kind"] == "eval" and record["row"] == 2]
    probes = {record["unit"]: record["accuracy"] for record in records(built.directory) if record["kind"] == "eval"}
    for replicate, unit in enumerate(best[:, 1]):
        if unit < 8:  # then the state was probed when it was the last
            assert rows[0][replicate] == probes[unit][replicate]


def test_schedules_of_maml_pp_go_on_after_a_return(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=maml_pp", "algo.multi_step_updates=6", *BEST, *JUMPY, "seeds=[0,1,2]")
    assert run(built) == 0
    assert any(unit < 8 for _, unit in kept(built)["unit"])
    learner = state_of(built)
    assert learner["unit"].tolist() == learner["carry"]["updates"].tolist() == [8, 8, 8]


def test_one_task_is_a_run_that_stops_at_its_best(experiment: Callable[..., Experiment]) -> None:
    own = *BEST, "data.num_tasks=1", "algo.outer_lr=0.3", "protocol.eval_episodes=6"
    built = experiment("algo=protonet", *own, "protocol.eval_every=1", "protocol.updates_per_task=6", "seeds=[0,1]")
    assert run(built) == 0
    for replicate, (unit,) in enumerate(kept(built)["unit"]):
        last = "protocol.keep=last", f"protocol.updates_per_task={unit}", f"seeds=[{replicate}]"
        short = experiment("algo=protonet", *own, *last)
        assert run(short) == 0
        for mine, expected in zip(tree_leaves(state_of(built)["meta"]), tree_leaves(state_of(short)["meta"]), strict=True):
            torch.testing.assert_close(mine[replicate], expected[0], rtol=1e-9, atol=1e-9)
    assert state_of(built)["unit"].tolist() == [6, 6]  # schedules go on


def test_stopped_anywhere_it_ends_bit_for_bit_as_the_unbroken_run(experiment: Callable[..., Experiment]) -> None:
    base = experiment().output_dir
    common = *BEST, *JUMPY, "seeds=[0,1]"
    unbroken, broken = (
        experiment("algo=reptile", "algo.eval_inner_steps=5", *common, f"output_dir={base / name}")
        for name in ("unbroken", "broken")
    )
    assert run(unbroken) == 0
    for units in (1, 3, 4, 6):
        stop_after(broken, units)
    assert run(broken) == 0
    assert_same_run(unbroken.directory, broken.directory)
    assert kept(unbroken) == kept(broken)


def test_validation_is_apart_from_what_is_learned_and_reported(experiment: Callable[..., Experiment]) -> None:
    """No image of an episode that decides is in an episode of training or of the report; on validation no episode is."""
    for split in ("test", "validation"):
        built = experiment("algo=protonet", *BEST, f"protocol.eval_split={split}", "protocol.eval_every=1")
        setup = FewShotSetup.of(context_of(built), built.protocol.eval_split, 1)
        decides, reported = setup.on_validation().episodes.evaluation(0, 0, 8), setup.episodes.evaluation(0, 0, 8)
        learned = setup.episodes.training(0, 0)
        images = {
            name: {row.numpy().tobytes() for row in e.support_x.flatten(0, 2)}
            for name, e in (("decides", decides), ("reported", reported), ("learned", learned))
        }
        assert not images["decides"] & images["learned"]
        assert not torch.equal(decides.support_x, reported.support_x)
        assert bool(images["decides"] & images["reported"]) == (split == "validation")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["protocol.eval_every=0"], r"^protocol\.keep='?best'?: must be last unless there are evaluations within a task"),
        (["protocol.eval_every=4"], r"^protocol\.keep='?best'?: must be last unless there are evaluations within a task"),
        (["data.validation_classes=0"], r"^protocol\.keep=best: data\.validation_classes=0: leaves no class to evaluate on"),
    ],
)
def test_one_message_before_any_work(changes: list[str], message: str, experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment("algo=protonet", *BEST, *changes, tiny=TINY)
