"""The best state of every replicate, on validation."""

from __future__ import annotations

import pytest
import torch

from metacl_run.protocols.best_state import BestState

NAN = float("nan")


def after(scores: list[list[float]], *, higher: bool) -> BestState:
    """The best of states numbered from 0, with these scores [R] each."""
    best = None
    for number, values in enumerate(scores):
        learner = {"w": torch.full((len(values), 3), float(number)), "unit": torch.full((len(values),), number)}
        best = BestState.better_of(best, learner, torch.tensor(values), 10 * number, higher=higher)
    assert best is not None
    return best


@pytest.mark.parametrize(("higher", "expected"), [(True, [1, 0, 2]), (False, [0, 2, 1])])
def test_every_replicate_has_its_own_best(higher: bool, expected: list[int]) -> None:
    best = after([[0.1, 0.9, 0.5], [0.8, 0.3, 0.2], [0.7, 0.2, 0.6]], higher=higher)
    assert best.learner["w"][:, 0].tolist() == expected
    assert best.learner["unit"].tolist() == expected
    assert best.unit.tolist() == [10 * number for number in expected]


def test_the_first_of_equals_and_any_number_before_nan() -> None:
    for higher in (True, False):
        assert after([[0.5, NAN, 0.5], [0.5, 0.1, NAN]], higher=higher).unit.tolist() == [0, 10, 0]


def test_it_is_a_copy_of_what_a_trainer_may_change_in_place() -> None:
    learner = {"w": torch.zeros(1, 2)}
    best = BestState.better_of(None, learner, torch.tensor([0.5]), 0, higher=True)
    learner["w"] += 1
    assert best.learner["w"].sum() == 0
