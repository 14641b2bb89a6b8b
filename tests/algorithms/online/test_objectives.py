"""Learners of a stream follow the objective of the network: squared errors too, and then not by the compiled kernel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metacl_run.core.errors import ConfigError
from metacl_run.scoring.objectives import REGRESSION
from tests.support.learners import TinyStreamLearner, tiny_learner
from tests.support.settings import stream_learners


def regressing(name: str) -> TinyStreamLearner:
    return TinyStreamLearner(tiny_learner(name).algo, REGRESSION)


@pytest.mark.parametrize("name", stream_learners())
def test_a_squared_error_falls_or_is_refused(name: str) -> None:
    learner = regressing(name)
    try:
        state, batch = learner.start(seed=0), learner.batch(seed=1)
    except ConfigError:  # a method for classes alone
        return
    observed = batch[0] if name not in ("joint", "multitask") else batch[0]._replace(batch=batch[0].replay.at(0))
    before = learner.network.loss(state["params"], *observed.batch)
    for _ in range(20):
        state, _ = learner.algo.observe(learner.network, state, observed)
    assert learner.network.loss(state["params"], *observed.batch) < 0.95 * before


def test_replay_of_functions_is_torch_optims_sgd() -> None:
    learner = regressing("er")
    state, (observed, *_) = learner.start(seed=0), learner.batch(seed=1)
    after, _ = learner.algo.observe(learner.network, state, observed)
    theta = {name: nn.Parameter(value.clone()) for name, value in state["params"].items()}
    optimizer = torch.optim.SGD(theta.values(), lr=learner.algo.lr)
    for draw in range(learner.algo.updates):
        real = observed.weight[draw] == 1
        x, y = torch.cat([observed.batch.x, observed.replay.x[draw][real]]), observed.batch.y
        y = torch.cat([y, observed.replay.y[draw][real]])
        optimizer.zero_grad()
        nn.functional.mse_loss(learner.network(theta, x), y).backward()
        optimizer.step()
    for name, value in theta.items():
        torch.testing.assert_close(after["params"][name], value.detach(), rtol=1e-10, atol=1e-12)


def test_a_method_for_classes_alone_refuses_functions() -> None:
    with pytest.raises(ConfigError, match=r"^algo: \w+ learns classes, but the data have real targets\. Use algo=ewc"):
        regressing("lwf").start(seed=0)
