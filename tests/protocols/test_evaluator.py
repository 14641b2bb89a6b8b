"""The records of evaluators: scores by comparing and by acting in a matrix, and scores without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.protocols.evaluator import Evaluator
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.protocols.trainer import Trainer
from metacl_run.scoring.scores import Score
from tests.support.toy_protocol import STARTS, TARGETS, UNITS, toy_records, toy_run


def learners() -> list[float]:
    """The first replicate's number after every unit, 0 first, end of tasks included."""
    numbers = [0.0]
    for unit in range(UNITS * len(TARGETS)):
        moved = (numbers[-1] + float(TARGETS[unit // UNITS])) / 2
        numbers.append(moved + 0.125 * (unit % UNITS == UNITS - 1))
    return numbers


def test_scores_that_compare_fill_matrix_probes_and_records(tmp_path: Path) -> None:
    _, progress = toy_run(tmp_path)
    targets, numbers = TARGETS.tolist(), learners()
    matrix = [[(numbers[UNITS * row] - target) ** 2 for target in targets] for row in range(4)]
    np.testing.assert_allclose(progress.state.scores.matrix[0], matrix)
    np.testing.assert_array_equal(np.load(tmp_path / "accuracy_matrix.npy"), progress.state.scores.matrix)
    units = [0, 2, 4, 6, 8, 10, 12]
    probes = [[round((numbers[unit] - target) ** 2) for target in targets] for unit in units]
    np.testing.assert_allclose(progress.state.scores.probes[:, 0], probes)  # as partial at a row as between rows
    assert progress.state.probe_tasks == [0, 0, 0, 1, 1, 2, 2]
    evaluations = [record for record in toy_records(tmp_path) if record["kind"] == "eval"]
    assert [(record["unit"], record["row"]) for record in evaluations] == list(
        zip(units, [0, None, 1, None, 2, None, 3], strict=True)
    )
    assert ["probe" in record for record in evaluations] == [True, False, True, False, True, False, True]
    assert evaluations[-1]["mse"] == progress.state.scores.matrix[:, 3].tolist()


@pytest.mark.parametrize(("log_every", "units"), [(1, list(range(1, 13))), (3, [2, 4, 6, 8, 10, 12])])
def test_losses_are_averaged_over_the_units_between_two_records(log_every: int, units: list[int], tmp_path: Path) -> None:
    toy_run(tmp_path, log_every=log_every)
    numbers = learners()
    losses = [(numbers[unit] - float(TARGETS[unit // UNITS])) ** 2 for unit in range(UNITS * len(TARGETS))]
    training = [record for record in toy_records(tmp_path) if record["kind"] == "train"]
    assert [record["unit"] for record in training] == units  # an evaluation brings a record forward
    for first, record in zip([0, *units], training, strict=False):
        np.testing.assert_allclose(record["metrics"]["loss"][0], np.mean(losses[first : record["unit"]]))


# ------------------------------------------------------------------------------------------------------ scores by acting

PLACES, STEPS, TOLERANCE = torch.tensor([-3.0, -0.5, 0.5, 2.0], dtype=torch.float64), 6, 0.05
GOAL = 1.0


class Acting(Scorer):
    """Rolls a policy out: a point is pushed to a goal in proportion to its distance; tasks are masses, the learner's number
    is the strength of the push. The score is the share of starts from which the point ends at the goal."""

    @property
    def score(self) -> Score:
        return Score("success", "success rate", higher_is_better=True, concepts="masses", examples="rollouts", largest=1.0)

    def scores(self, learner: Tensor, tasks: range, *, whole: bool) -> Evaluation:
        masses = TARGETS[list(tasks)][None, :, None]
        x = PLACES.expand(len(learner), len(tasks), -1)
        for _ in range(STEPS):
            force = learner[:, None, None] * (GOAL - x)
            x = x + force / masses
        success = ((x - GOAL).abs() < TOLERANCE).double()
        return Evaluation(success.mean(-1), 1.96 * success.std(-1) / len(PLACES) ** 0.5)


def test_scores_by_acting_fill_the_same_matrix(tmp_path: Path) -> None:
    _, progress = toy_run(tmp_path, scorer=Acting())
    starts, numbers = PLACES.numpy(), learners()

    def success(strength: float, mass: float) -> float:
        return float(np.mean(np.abs((starts - GOAL) * (1 - strength / mass) ** STEPS) < TOLERANCE))

    matrix = np.array([[success(numbers[UNITS * row], mass) for mass in TARGETS.tolist()] for row in range(4)])
    assert 0 < matrix.mean() < 1
    np.testing.assert_allclose(progress.state.scores.matrix[0], matrix)
    last = [record for record in toy_records(tmp_path) if record["kind"] == "eval"][-1]
    np.testing.assert_allclose(last["success"][0], matrix[3])
    assert "probe" not in last  # a rollout within a task is as long as at its end
    np.testing.assert_allclose(progress.state.scores.probes[2, 0], matrix[1])


# ---------------------------------------------------------------------- another trainer and evaluator in the same loop


class PredictThenLearn(Trainer):
    """Predicts an observation with what was learned before it, then learns from it; tasks recur and are not told."""

    def count_examples(self, units: range) -> int:
        return len(units)

    def step(self, learner: dict[str, Tensor], unit: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        observed = TARGETS[unit % len(TARGETS)]
        right = ((learner["value"] - observed).abs() < 1.6).double()
        learned = {"value": (learner["value"] + observed) / 2, "right": learner["right"] + right}
        return learned, {"loss": (learner["value"] - observed).square(), "accuracy": right}


@dataclass
class CumulativeAccuracy(Evaluator):
    """Records the share of right predictions since the start, every three units, and fills no matrix."""

    progress: Progress

    def begin(self) -> None:
        pass

    def is_due(self, units_done: int) -> bool:
        return units_done % 3 == 0

    def evaluate(self) -> None:
        state = self.progress.state
        self.progress.record("online", cumulative=(state.learner["right"] / state.unit).tolist())


def test_a_protocol_that_predicts_first_needs_no_other_loop(tmp_path: Path) -> None:
    learners = [{"value": start, "right": torch.zeros_like(start)} for start in STARTS]
    status, _ = toy_run(tmp_path, learners=learners, trainer=PredictThenLearn(), evaluator=CumulativeAccuracy)
    assert status == "completed"
    value, right, cumulative = 0.0, 0, []
    for unit in range(12):
        observed = float(TARGETS[unit % 3])
        right += abs(value - observed) < 1.6
        value = (value + observed) / 2
        if unit % 3 == 2:
            cumulative.append(right / (unit + 1))
    found = [record["cumulative"][0] for record in toy_records(tmp_path) if record["kind"] == "online"]
    np.testing.assert_allclose(found, cumulative)
    assert len(set(cumulative)) > 1
