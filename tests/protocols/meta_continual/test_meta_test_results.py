"""The plan of a meta-test, and its results by hand: a rate for each length, differences of one learner."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from metacl_run.protocols.meta_continual.meta_test_plan import MetaTestPlan
from metacl_run.protocols.meta_continual.meta_test_results import MetaTestResults
from metacl_run.scoring.matrix_metrics import summarise
from metacl_run.scoring.objectives import CLASSIFICATION, REGRESSION, Objective

HELD_OUT = torch.tensor(
    [
        [[0.0, 0.0], [0.9, 0.0], [0.2, 0.3]],  # rate .1: best after one concept
        [[0.0, 0.0], [0.6, 0.1], [0.5, 0.5]],  # rate .01: best after two
    ]
)
"""[rates, points of testing, concepts], of one order and two concepts learned one at a time."""


PLAN = MetaTestPlan(
    schedule=[1, 2], rates=[0.1, 0.01], chosen_on="test", selection_orders=3, orders=1, joint_epochs=0, has_untrained=False
)


def results(held_out: torch.Tensor = HELD_OUT, objective: Objective = CLASSIFICATION) -> MetaTestResults:
    part = held_out[None], held_out[None] / 2
    return MetaTestResults(
        parts={"select": [[]], "test": [[part]], "joint": [[]], "untrained": [[]]}, plan=PLAN, objective=objective
    )


def test_each_length_has_its_own_rate_and_the_matrix_one() -> None:
    found = results()
    assert found.chosen(0) == [0.1, 0.01]
    content = found.content(uses_rate=True)
    assert content["rate_of_matrix"] == [0.01]
    np.testing.assert_allclose(content["accuracy"], [[[0.9], [0.5]]])  # at the best rate for 1, and for 2
    np.testing.assert_allclose(content["memory"], [[[0.45], [0.25]]])
    matrix = found.along_one_rate().held_out.mean(1).numpy()
    np.testing.assert_allclose(matrix, [[[0.0, 0.0], [0.6, 0.1], [0.5, 0.5]]])
    metrics = summarise(matrix, sizes=[1, 1])
    assert metrics["accuracy"]["mean"] == pytest.approx(0.5)
    assert metrics["forgetting"]["mean"] == pytest.approx(0.1)  # .6 to .5; across rates it would be .9 to .5
    assert metrics["learning_accuracy"]["mean"] == pytest.approx(0.55)
    assert metrics["bwt"]["mean"] == pytest.approx(-0.1)
    assert metrics["bti"]["mean"] == pytest.approx(-0.05)
    assert metrics["fwt"]["mean"] == pytest.approx(0.1)
    assert metrics["anytime_accuracy"]["mean"] == pytest.approx((0.6 + 0.5) / 2)


def test_of_an_error_the_lowest_is_chosen() -> None:
    found = results(1 - HELD_OUT, REGRESSION)
    assert found.chosen(0) == [0.1, 0.01]
    np.testing.assert_allclose(found.along_one_rate().held_out[0, 0, 1:].numpy(), [[0.4, 0.9], [0.5, 0.5]])


def test_a_plan_has_every_order_of_every_replicate_once() -> None:
    plan = dataclasses.replace(PLAN, chosen_on="train", orders=5, joint_epochs=2, has_untrained=True)
    parts = plan.parts(replicates=2, orders_at_once=2, untrained_at_once=4)
    assert [part.stage for part in parts] == ["select"] * 4 + ["test"] * 6 + ["joint"] * 12 + ["untrained"] * 4
    for stage, orders, at_once in (("select", 3, 2), ("test", 5, 2), ("joint", 5, 2), ("untrained", 5, 4)):
        for replicate, segment in itertools.product(range(2), range(2 if stage == "joint" else 1)):
            where = (stage, replicate, segment)
            own = [part.orders for part in parts if (part.stage, part.replicate, part.segment) == where]
            assert [order for chunk in own for order in chunk] == list(range(orders))
            assert max(map(len, own)) == at_once
    joint = [(part.replicate, part.segment) for part in parts if part.stage == "joint"]
    assert joint == [(0, 0)] * 3 + [(0, 1)] * 3 + [(1, 0)] * 3 + [(1, 1)] * 3  # in the order in which results are read
    assert {part.stage for part in PLAN.parts(replicates=1, orders_at_once=9, untrained_at_once=9)} == {"test"}
