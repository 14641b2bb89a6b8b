"""The run loop: phases in order, stopped and continued after any unit, diverged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.protocols.loop import Phase
from metacl_run.protocols.progress import Progress
from tests.support.toy_protocol import Halving, toy_records, toy_run


@dataclass
class Counting(Phase):
    """A phase after training that adds up what it is given."""

    progress: Progress
    units: int

    @property
    def length(self) -> int:
        return self.units

    def begin(self) -> None:
        self.progress.state.results.setdefault("units", [])

    def step(self, unit: int) -> int:
        self.progress.state.results["units"].append(unit)
        return 1

    def after_step(self) -> None:
        self.progress.record("counted", units=list(self.progress.state.results["units"]))


def phases(progress: Progress) -> list[Phase]:
    return [Counting(progress, 0), Counting(progress, 3)]


def test_phases_follow_each_other_and_number_their_own_units(tmp_path: Path) -> None:
    status, progress = toy_run(tmp_path, more_phases=phases)
    assert (status, progress.state.unit) == ("completed", 12 + 3)
    assert progress.state.results == {"units": [0, 1, 2]}
    last = toy_records(tmp_path)[-3:]
    assert [(record["unit"], record["task"], record["units"]) for record in last] == [
        (13, 2, [0]),
        (14, 2, [0, 1]),
        (15, 2, [0, 1, 2]),
    ]


@pytest.mark.parametrize("checkpoint_every", [0.0, 1e9])
def test_stopped_after_every_unit_it_ends_as_the_unbroken_run(tmp_path: Path, checkpoint_every: float) -> None:
    _, unbroken = toy_run(tmp_path / "unbroken", more_phases=phases)
    for unit in range(15):
        status, progress = toy_run(tmp_path / "broken", more_phases=phases, stop_after=unit, checkpoint_every=checkpoint_every)
        assert (status, progress.state.unit) == ("interrupted", unit)
        assert torch.load(tmp_path / "broken" / "checkpoint.pt", weights_only=True)["content"]["unit"] == unit
    status, progress = toy_run(tmp_path / "broken", more_phases=phases)
    assert status == "completed"
    assert torch.equal(progress.state.learner, unbroken.state.learner)
    assert progress.state.results == unbroken.state.results
    assert toy_records(tmp_path / "broken") == toy_records(tmp_path / "unbroken")
    for name, values in progress.state.scores.arrays()._asdict().items():
        np.testing.assert_array_equal(values, unbroken.state.scores.arrays()._asdict()[name])


class Exploding(Halving):
    """Leaves the second replicate without a number at unit 5."""

    def step(self, learner: Tensor, unit: int) -> tuple[Tensor, dict[str, Tensor]]:
        learner, metrics = super().step(learner, unit)
        return (learner * torch.tensor([1.0, torch.inf]) if unit == 5 else learner), metrics


def test_a_learner_that_is_not_finite_ends_the_run_before_it_is_evaluated(tmp_path: Path) -> None:
    status, progress = toy_run(tmp_path, trainer=Exploding(), more_phases=phases)
    assert status == "diverged"
    expected = "the training loss or the state is not finite at step 6 for seed 1. A smaller learning rate usually helps. "
    expected += "The other seeds were finite: seeds=[0] is a run of its own."
    assert progress.state.error == expected
    assert toy_records(tmp_path)[-1]["kind"] == "train"
    assert progress.state.results == {}
    records = toy_records(tmp_path)
    again, resumed = toy_run(tmp_path, more_phases=phases)  # as if killed between the checkpoint and the summary
    assert (again, resumed.state.unit) == ("diverged", 6)
    assert toy_records(tmp_path) == records
