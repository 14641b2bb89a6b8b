"""A network in bfloat16 keeps its head and its loss in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy, linear

from metacl_run.core.types import Params
from metacl_run.models.conv4 import Conv4
from metacl_run.models.layers import BodyHead, Conv2d
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.models.oml_network import OmlNetwork
from metacl_run.models.pure_module import PureModule
from metacl_run.models.running_norm import RunningBatchNorm, in_mode
from metacl_run.models.split_network import SplitNetwork

SMALL = Conv4(channels=4, blocks=2, down="maxpool", features="flatten", norm="batch")
WAYS = 3


def network(model: Model = SMALL) -> tuple[Network, Params, Tensor]:
    module, params = initial_params(model, (1, 12, 12), WAYS, 0, torch.float32)
    torch.manual_seed(0)
    return Network(module, WAYS, torch.bfloat16), params, torch.rand(6, 1, 12, 12)


def test_the_head_multiplies_float32() -> None:
    reduced, params, x = network()
    body = {name.removeprefix("body."): value.bfloat16() for name, value in params.items() if name.startswith("body.")}
    features = functional_call(reduced.module.get_submodule("body"), body, (x.bfloat16(),)).flatten(1)
    assert features.dtype == torch.bfloat16
    assert torch.equal(reduced(params, x), linear(features.float(), params["head.weight"], params["head.bias"]))


def test_every_parameter_has_a_float32_gradient() -> None:
    reduced, params, x = network()
    y = torch.arange(6) % WAYS
    gradients = grad(reduced.loss)(params, x, y)
    features = functional_call(reduced.module, {**params, "head.weight": torch.eye(36), "head.bias": torch.zeros(36)}, (x,))
    assert all(value.dtype == torch.float32 and value.abs().sum() > 0 for value in gradients.values())
    exact = grad(lambda head: cross_entropy(linear(features, head, params["head.bias"]), y))(params["head.weight"])
    torch.testing.assert_close(gradients["head.weight"], exact, rtol=0, atol=0.02 * exact.abs().max().item())


class Pixel(nn.Module):
    """[N, C, 1, 1] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class _Scaled(nn.Module):
    """Something comes after the head, which has two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(Conv2d(1, 2, 3), nn.Flatten()), nn.Sequential(nn.Linear(200, 5), nn.Linear(5, 3))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x)) * self.scale
        return outputs


def test_a_head_is_where_the_module_has_it() -> None:
    module = _Scaled()
    params = {name: value.detach() for name, value in module.named_parameters()}
    x = torch.rand(2, 1, 12, 12)
    features = functional_call(module.body, {k[5:]: v.bfloat16() for k, v in params.items() if k[:5] == "body."}, x.bfloat16())
    assert torch.equal(Network(module, 3, torch.bfloat16)(params, x), module.head(features.float()) * 2)
    assert [*dict(module.named_parameters())] == [*params]


@pytest.mark.parametrize("plastic", [["head"], ["body", "head"]])
def test_the_parts_of_a_network_are_the_whole(plastic: list[str]) -> None:
    for model in (SMALL, OmlNetwork(channels=2, strides=[1, 2], hidden=[5])):
        reduced, params, x = network(model)
        split = SplitNetwork(reduced, params, plastic)
        assert torch.equal(split.rest(params, split.frozen(params, x)), reduced(params, x))


@pytest.mark.parametrize("head", [nn.Linear(2, 3), nn.Sequential(RunningBatchNorm(2), nn.Linear(2, 3))])
def test_running_averages_are_not_reduced(head: nn.Module) -> None:
    module = in_mode(BodyHead(nn.Sequential(Conv2d(1, 2, 1), RunningBatchNorm(2), Pixel()), head), "evaluation")
    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    for name, value in params.items():
        value.fill_(1.001 if "running" in name else 1.0)  # in bfloat16 1.001 is 1
    x = torch.tensor([[[[1.0]]]])  # the convolution makes 2 of it
    inner = ((2 - 1.001) / (1.001 + 1e-5) ** 0.5 + torch.ones(1, 2)).bfloat16().float()
    if isinstance(head, nn.Sequential):
        inner = (inner - 1.001) / (1.001 + 1e-5) ** 0.5 + 1
    torch.testing.assert_close(Network(module, 3, torch.bfloat16)(params, x), (inner.sum(1, keepdim=True) + 1).expand(1, 3))
    offsets = {**params, "body.1.running_mean": torch.full((2,), 2.003)}  # what is left of 2 is less than its rounding error
    features = PureModule(module.get_submodule("body"), torch.bfloat16, "head")
    assert (features({k[5:]: v for k, v in offsets.items() if k[:5] == "body."}, x) < 1).all()


def test_what_has_no_head_is_reduced_as_a_whole() -> None:
    module = BodyHead(nn.Sequential(nn.Flatten(), nn.Linear(144, 5)), nn.Identity())
    params = {name: value.detach() for name, value in module.named_parameters()}
    outputs = Network(module, 5, torch.bfloat16)(params, torch.rand(2, 1, 12, 12))
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, outputs.bfloat16().float())
