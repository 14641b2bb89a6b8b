"""The script that measures what a unit of every method costs: which methods it has, and of what units."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

import pytest

from metacl_run.protocols.online.trainer import StreamTrainer
from metacl_run.protocols.training import TrainingPhase
from tests.support.script_modules import script_module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script_module("unit_costs", monkeypatch)


def test_it_measures_the_methods_of_the_usual_data(script: ModuleType) -> None:
    names = {protocol: script.methods(protocol) for protocol in script.SHORT}
    for protocol, simple in script.SIMPLE.items():
        assert simple in names[protocol]
    assert {"gss", "icarl", "vr_mcl"} < set(names["online"])
    assert {"imaml", "maml_pp"} < set(names["continual_meta"])
    assert not {"packnet", "sb_mcl", "mole", "scratch"} & {name for of_protocol in names.values() for name in of_protocol}


@pytest.mark.parametrize(("algo", "units_for_ten_samples"), [("sgd", 1), ("mer", 10)])
def test_a_unit_is_ten_samples_and_evaluation_does_not_count(
    algo: str, units_for_ten_samples: int, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that a unit moves by 2, the end of a task by 5 and an evaluation by 1000 milliseconds."""
    clock = [0.0]
    step, end_task, after_step = TrainingPhase.step, StreamTrainer.end_task, TrainingPhase.after_step

    def slow_step(self: TrainingPhase, unit: int) -> int:
        count = step(self, unit)
        clock[0] += 2e-3 * count
        return count

    def slow_end(self: StreamTrainer, learner: Any, task: int) -> Any:
        clock[0] += 5e-3
        return end_task(self, learner, task)

    def slow_evaluation(self: TrainingPhase) -> None:
        clock[0] += 1.0
        after_step(self)

    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    monkeypatch.setattr(TrainingPhase, "step", slow_step)
    monkeypatch.setattr(TrainingPhase, "after_step", slow_evaluation)
    monkeypatch.setattr(StreamTrainer, "end_task", slow_end)
    small = ["data.num_tasks=2", "data.train_per_task=80", "data.test_per_task=20", "data.image_size=8", "model.hidden=[4]"]
    monkeypatch.setitem(script.SHORT, "online", small)
    assert script.cost(algo, "online") == pytest.approx((2.0 * units_for_ten_samples, 5.0))
