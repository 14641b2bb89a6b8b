"""La-MAML's convolutional network against its layers written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from metacl_run.config.components import fill
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, SettingError
from metacl_run.models.conv_plain import ConvPlain
from metacl_run.models.network import Network, initial_params


@pytest.mark.parametrize(
    ("option", "side", "outputs", "widths"),
    [("conv_plain", 32, 100, [2560, 320, 320, 100]), ("conv_plain_tiny", 64, 200, [2560, 640, 640, 200])],
)
def test_it_is_the_network_of_the_paper(
    option: str, side: int, outputs: int, widths: list[int], experiment: Callable[..., Experiment]
) -> None:
    model = experiment(f"model={option}", tiny=[]).model
    module, params = initial_params(model, (3, side, side), outputs, 0, torch.float64)
    weights = [value for name, value in params.items() if name.endswith("weight")]
    convolutions, layers = weights[: model.blocks], weights[model.blocks :]
    assert [list(weight.shape) for weight in convolutions] == [[160, 3, 3, 3]] + [[160, 160, 3, 3]] * (model.blocks - 1)
    assert [list(weight.shape) for weight in layers] == [[b, a] for a, b in itertools.pairwise(widths)]
    assert sum(p.numel() for p in params.values()) == sum(w.numel() + len(w) for w in weights)
    assert Network.head_names(params) == ["head.weight", "head.bias"]
    x = torch.rand(2, 3, side, side, dtype=torch.float64)
    features = x
    for weight in convolutions:
        features = F.conv2d(features, weight, stride=2, padding=1).clamp(min=0)
    features = features.flatten(1)
    for weight in layers[:-1]:
        features = (features @ weight.T).clamp(min=0)
    torch.testing.assert_close(Network(module, outputs)(params, x), features @ layers[-1].T)  # biases are 0


def test_weights_are_kaiming_normal_and_biases_zero() -> None:
    _, params = initial_params(ConvPlain(channels=64, blocks=2, hidden=[300]), (3, 16, 16), 50, 3, torch.float32)
    for name, value in params.items():
        if name.endswith("bias"):
            assert not value.any()
            continue
        fan_in = value[0].numel()
        assert value.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=4 / (2 * value.numel()) ** 0.5)
        kurtosis = ((value / value.std()) ** 4).mean().item()
        assert kurtosis == pytest.approx(3, abs=4 * (24 / value.numel()) ** 0.5)  # a uniform draw has 1.8


def test_too_many_convolutions_are_refused() -> None:
    assert ConvPlain(channels=2, blocks=3, hidden=[]).build((1, 8, 8), None)(torch.rand(1, 1, 8, 8)).shape == (1, 2)
    with pytest.raises(SettingError, match="blocks=4: is too many for 8x8 images"):
        ConvPlain(channels=2, blocks=4, hidden=[]).build((1, 8, 8), 5)
    with pytest.raises(ConfigError, match=r"^model.hidden=\[0\]: every entry must be at least 1"):
        fill(ConvPlain, {"channels": 2, "blocks": 1, "hidden": [0]}, "model")
