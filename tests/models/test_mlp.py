"""How a perceptron's weights are drawn, against the moments of each distribution."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from metacl_run.models.mlp import Mlp
from metacl_run.models.network import initial_params

FAN_IN, FAN_OUT = 400, 300
BOUNDS = {
    "xavier": math.sqrt(6 / (FAN_IN + FAN_OUT)),
    "torch": 1 / math.sqrt(FAN_IN),
    "truncated": 0.2,
    "truncated_small": 0.02,
    "kaiming": math.inf,
}
DENSITY, INSIDE = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(2 / math.sqrt(2))  # of a standard normal, at and within 2
DEVIATIONS = {
    "xavier": BOUNDS["xavier"] / math.sqrt(3),
    "torch": BOUNDS["torch"] / math.sqrt(3),
    "kaiming": math.sqrt(2 / FAN_IN),
    "truncated_small": 0.01 * math.sqrt(1 - 4 * DENSITY / INSIDE),
    "truncated": 0.1 * math.sqrt(1 - 4 * DENSITY / INSIDE),
}


@pytest.mark.parametrize("initial", DEVIATIONS)
def test_weights_have_the_moments_of_their_distribution(initial: str) -> None:
    model = Mlp(hidden=[FAN_OUT], batch_norm=False, initial=initial)  # type: ignore[arg-type]
    module, params = initial_params(model, (1, 20, 20), 10, 3, torch.float64)
    first = next(part for part in module.modules() if isinstance(part, nn.Linear))
    weight = next(value for value in params.values() if value.shape == first.weight.shape)
    offset = next(value for value in params.values() if value.shape == (FAN_OUT,))
    assert weight.mean().item() == pytest.approx(0, abs=4 * DEVIATIONS[initial] / math.sqrt(weight.numel()))
    assert weight.std().item() == pytest.approx(DEVIATIONS[initial], rel=0.01)
    assert BOUNDS[initial] * 0.99 < weight.abs().max().item() <= BOUNDS[initial] or initial == "kaiming"
    if initial != "torch":
        assert offset.tolist() == pytest.approx([0.1 if initial == "truncated" else 0.0] * FAN_OUT)
