"""The network on the features of an encoder: where it starts, and what one step from there gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metacl_run.inner.adapt import adapt
from metacl_run.inner.optimizers import Sgd
from metacl_run.models.network import Network, initial_params
from metacl_run.models.split_network import SplitNetwork
from metacl_run.models.text_head import TextHead

FEATURES, WAYS = 9, 4


def model(gate_hidden: int) -> TextHead:
    return TextHead(blocks=2, hidden=6, gate_hidden=gate_hidden, scale=0.3, length=10.0)


def inputs(rows: int) -> Tensor:
    return torch.randn(rows, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("gate_hidden", [0, 5])
def test_without_a_head_it_starts_as_the_input_at_one_length(gate_hidden: int) -> None:
    module, params = initial_params(model(gate_hidden), (FEATURES,), None, 1, torch.float64)
    x = inputs(7)
    features = Network(module, WAYS)(params, x)
    torch.testing.assert_close(features, 0.3 * 10 * x / x.norm(dim=1, keepdim=True))
    assert not Network(module, WAYS)(params, torch.zeros_like(x)).any()  # an empty text


@pytest.mark.parametrize("gate_hidden", [0, 5])
def test_one_step_from_the_start_predicts_the_nearest_class_mean(gate_hidden: int) -> None:
    module, params = initial_params(model(gate_hidden), (FEATURES,), WAYS, 1, torch.float64)
    network, x, labels = Network(module, WAYS), inputs(3 * WAYS + 40), torch.arange(WAYS).repeat(3)
    support, query = x[: 3 * WAYS], x[3 * WAYS :]
    adapted, _ = adapt(network.loss, params, [(support, labels)], optimizer=Sgd(), rate=0.4, first_order=True)
    directions = support / support.norm(dim=1, keepdim=True)
    means = torch.stack([directions[labels == way].mean(0) for way in range(WAYS)])
    expected = (query / query.norm(dim=1, keepdim=True)) @ means.T
    assert network(adapted, query).argmax(1).equal(expected.argmax(1))


def test_the_gate_is_the_part_that_an_episode_leaves_alone() -> None:
    module, params = initial_params(model(5), (FEATURES,), WAYS, 1, torch.float64)
    params = {name: value + 0.1 * torch.ones_like(value) for name, value in params.items()}
    network, x = Network(module, WAYS), inputs(5)
    split = SplitNetwork(network, params, ["body", "head"])
    torch.testing.assert_close(split.rest(params, split.frozen(params, x)), network(params, x))
    assert {name.split(".")[0] for name in params} - {name.split(".")[0] for name in split.plastic_names} == {"gate"}
