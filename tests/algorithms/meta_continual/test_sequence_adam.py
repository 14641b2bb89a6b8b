"""Learning a sequence by Adam equals torch.optim.Adam, example by example, however the sequence is cut into calls."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.meta_continual.sequence_adam import SequenceAdam
from metacl_run.algorithms.meta_continual.sequence_sgd import SequenceSgd
from metacl_run.models.network import Network


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x)))


@pytest.mark.parametrize("plastic", [["head"], ["body", "head"]])
@pytest.mark.parametrize("calls", [[6], [2, 4]])
@pytest.mark.parametrize("step_examples", [1, 2])
def test_it_is_torchs_adam(plastic: list[str], calls: list[int], step_examples: int) -> None:
    torch.manual_seed(0)
    module, x, y = Small().double(), torch.randn(6, 4, dtype=torch.float64), torch.randint(3, (6,))
    fresh, rate = torch.randn(3, 5, dtype=torch.float64), 0.05
    network = Network(module, 3)
    meta = {"params": {name: value.detach().clone() for name, value in module.named_parameters()}}
    learner = SequenceAdam(SequenceSgd(0.1, plastic, True, step_examples))
    learner.sgd.check(network, meta["params"])
    prepared = learner.prepare(network, meta, x)
    fast = learner.begin(network, meta, fresh, prepared)
    for some_x, some_y in zip(prepared.split(calls), y.split(calls), strict=True):
        fast = learner.learn(network, meta, fast, some_x, some_y, torch.tensor(rate, dtype=torch.float64))

    with torch.no_grad():
        module.head.weight.copy_(fresh * (2 / 5) ** 0.5)
        module.head.bias.zero_()
    moving = [value for name, value in module.named_parameters() if name.split(".")[0] in plastic]
    optimizer = torch.optim.Adam(moving, lr=rate)
    for some_x, some_y in zip(x.split(step_examples), y.split(step_examples), strict=True):
        optimizer.zero_grad()
        cross_entropy(module(some_x), some_y).backward()
        optimizer.step()
    torch.testing.assert_close(learner.predict(network, meta, fast, prepared), module(x).detach())
