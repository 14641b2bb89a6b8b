"""CAVIA against its paper's networks: a context concatenated to the input, FiLM after a norm; plain autograd does the loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, cross_entropy, linear

from metacl_run.algorithms.continual_meta.cavia import Cavia, context_layer
from metacl_run.core.errors import ConfigError
from metacl_run.models.conv4 import Conv4
from metacl_run.models.layers import BatchNorm
from metacl_run.models.network import Network, fresh_params
from tests.algorithms.test_algorithms import COMMON
from tests.support.episodes import toy_episode

STEPS, RATE, SIZE, WAYS = 2, 0.7, 3, 3
CAVIA = Cavia(
    **COMMON,  # type: ignore[arg-type]
    context_size=SIZE,
    inner_lr=RATE,
    inner_steps=STEPS,
    eval_inner_steps=STEPS,
    first_order=False,
)


class Smooth(nn.Module):
    """Two normalised convolutions, or a perceptron; every derivative exists."""

    def __init__(self, convolutions: bool) -> None:
        super().__init__()
        self.convolutions = convolutions
        if convolutions:
            self.conv1, self.norm1 = nn.Conv2d(1, 3, 3, stride=2, bias=False), BatchNorm(3)
            self.conv2, self.norm2 = nn.Conv2d(3, 3, 3, bias=False), BatchNorm(3)
        else:
            self.first = nn.Linear(64, 5)
        self.head = nn.Linear(3 if convolutions else 5, WAYS)

    def forward(self, x: Tensor) -> Tensor:
        if not self.convolutions:
            return self.head(torch.tanh(self.first(x.flatten(1))))
        hidden = torch.tanh(self.norm1(self.conv1(x)))
        return self.head(torch.tanh(self.norm2(self.conv2(hidden))).flatten(1))


def concatenated(p: dict[str, Tensor], modulation: dict[str, Tensor], phi: Tensor, x: Tensor) -> Tensor:
    """The perceptron whose first layer takes [x, phi]."""
    weight = torch.cat([p["first.weight"], modulation["offset"]], 1)
    inputs = torch.cat([x.flatten(1), phi.expand(len(x), -1)], 1)
    return linear(torch.tanh(linear(inputs, weight, p["first.bias"])), p["head.weight"], p["head.bias"])


def film(p: dict[str, Tensor], modulation: dict[str, Tensor], phi: Tensor, x: Tensor) -> Tensor:
    """The convolutional network with FiLM on the first of its two norms."""

    def norm(h: Tensor, name: str) -> Tensor:
        return batch_norm(h, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True)

    gamma, beta = 1 + linear(phi, modulation["scale"]), linear(phi, modulation["offset"])
    hidden = norm(conv2d(x, p["conv1.weight"], stride=2), "norm1")
    hidden = torch.tanh(gamma.view(1, -1, 1, 1) * hidden + beta.view(1, -1, 1, 1))
    return linear(torch.tanh(norm(conv2d(hidden, p["conv2.weight"]), "norm2")).flatten(1), p["head.weight"], p["head.bias"])


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize(("convolutions", "forward"), [(False, concatenated), (True, film)])
def test_direction_and_prediction_equal_a_loop_by_autograd(
    convolutions: bool, forward: Callable[..., Tensor], first_order: bool
) -> None:
    torch.manual_seed(0)
    module, episode = Smooth(convolutions).double(), toy_episode(size=8 if not convolutions else 7)
    network = Network(module, WAYS)
    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    algorithm = CAVIA if not first_order else Cavia(**{**vars(CAVIA), "first_order": True})
    meta, _ = algorithm.init(network, params, torch.rand(sum(value.numel() for value in params.values())))
    update = algorithm.episode_update(network, meta, {}, episode)

    p, modulation = ({key: value.clone().requires_grad_() for key, value in meta[part].items()} for part in meta)
    phi = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
    for _ in range(STEPS):
        loss = cross_entropy(forward(p, modulation, phi, episode.support_x), episode.support_y)
        (gradient,) = torch.autograd.grad(loss, phi, create_graph=True)
        phi = phi - RATE * gradient
    context = phi.detach() if first_order else phi
    outputs = forward(p, modulation, context, episode.query_x)
    cross_entropy(outputs, episode.query_y).backward()
    for part, tensors in (("params", p), ("modulation", modulation)):
        for key, value in tensors.items():
            torch.testing.assert_close(update.direction[part][key], value.grad, rtol=1e-9, atol=1e-11)
    fast = algorithm.learn(network, meta, {}, episode)
    torch.testing.assert_close(fast, context.detach())
    torch.testing.assert_close(algorithm.predict(network, meta, fast, episode.query_x), outputs.detach())
    steps = list(algorithm.learn_by_step(network, meta, {}, episode))
    assert len(steps) == STEPS + 1
    assert not steps[0].any()


def test_the_context_enters_the_third_of_four_blocks() -> None:
    model = Conv4(channels=4, blocks=4, down="maxpool", features="flatten", norm="batch")
    _, params = fresh_params(model, (1, 28, 28), WAYS, 0, torch.float32)
    norms = [name for name, value in params.items() if name.endswith("weight") and value.dim() == 1]
    assert len(norms) == 4
    assert f"{context_layer(params)}.weight" == norms[2]


def test_a_network_without_a_layer_to_enter_is_refused() -> None:
    head = {"head.weight": torch.zeros(2, 3), "head.bias": torch.zeros(2)}
    with pytest.raises(ConfigError, match="no layer with an offset before its last one"):
        context_layer(head)
    module = Smooth(convolutions=True)
    too_large = Cavia(**{**vars(CAVIA), "context_size": 100})
    with pytest.raises(ConfigError, match=r"algo\.context_size=100: must be at most "):
        too_large.init(Network(module, WAYS), dict(module.named_parameters()), torch.rand(200))
