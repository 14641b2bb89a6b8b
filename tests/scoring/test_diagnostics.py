"""Similarity, alignment, rates and features of learners, against definitions and worked examples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from metacl_run.core.token_shape import TokenShape
from metacl_run.core.types import Samples
from metacl_run.models.conv4 import Conv4
from metacl_run.models.network import Network, initial_params
from metacl_run.models.resnet import ResNet12
from metacl_run.models.text_transformer import TextTransformer
from metacl_run.scoring.diagnostics import features_by_layer, gradient_alignment, linear_cka, rates_by_layer
from tests.support.similarity import by_gram_matrices


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------------------- CKA


def test_linear_cka_is_the_definition_by_gram_matrices() -> None:
    x = random(20, 7) + 3
    for y in (random(20, 4, seed=1) - 5, x[:, :3] + 0.3 * random(20, 3, seed=2), x.exp()):
        assert float(linear_cka(x, y)) == pytest.approx(by_gram_matrices(x, y), abs=1e-12)


def test_linear_cka_of_two_columns_is_their_squared_correlation() -> None:
    x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [3.0], [2.0]])
    assert float(linear_cka(x, y)) == pytest.approx(0.25)
    assert linear_cka(x, torch.ones(3, 2)).isnan()


def test_linear_cka_sees_neither_rotation_nor_scale_nor_offset_but_other_linear_maps() -> None:
    x = random(30, 6)
    turn = torch.linalg.qr(random(6, 6, seed=1)).Q
    assert float(linear_cka(x, -2.5 * x @ turn + 4)) == pytest.approx(1.0)
    stretch = torch.diag(torch.tensor([10.0, 1, 1, 1, 1, 1], dtype=torch.float64))
    assert float(linear_cka(x, x @ stretch)) < 0.9


def test_linear_cka_of_noise_is_what_the_report_says_of_unrelated_features() -> None:
    assert float(linear_cka(random(256, 128), random(256, 128, seed=1))) == pytest.approx(128 / (256 + 128), abs=0.01)


# ------------------------------------------------------------------------------------------------------------- gradients


def test_gradient_alignment_is_the_cosine() -> None:
    cosines = gradient_alignment(torch.tensor([[3.0, 4.0], [4.0, 3.0], [-6.0, -8.0], [0.0, 0.0]]))
    expected = [[1.0, 0.96, -1.0], [0.96, 1.0, -0.96], [-1.0, -0.96, 1.0]]
    torch.testing.assert_close(cosines[:3, :3], torch.tensor(expected))
    assert cosines[3].isnan().all()
    assert cosines[:, 3].isnan().all()


def test_gradient_alignment_of_a_network_worked_by_hand() -> None:
    # Logits Wx with W = 0: both classes get 1/2, so the gradient is (1/2 - [y = class]) x'. Rows of W: class 0, class 1.
    network, params = Network(nn.Linear(2, 2, bias=False), 2), {"weight": torch.zeros(2, 2)}
    tasks = [([1.0, 0.0], 0), ([2.0, 0.0], 1), ([0.0, 3.0], 0), ([1.0, 1.0], 0)]

    def gradient(x: list[float], y: int) -> Tensor:
        samples = Samples(torch.tensor([x]), torch.tensor([y]), torch.tensor([0]))
        return torch.func.grad(lambda p: network.loss(p, *samples))(params)["weight"].flatten()

    torch.testing.assert_close(gradient([2.0, 0.0], 1), torch.tensor([1.0, 0.0, -1.0, 0.0]))
    half = 0.5**0.5
    expected = [[1, -1, 0, half], [-1, 1, 0, -half], [0, 0, 1, half], [half, -half, half, 1]]
    torch.testing.assert_close(gradient_alignment(torch.stack([gradient(*task) for task in tasks])), torch.tensor(expected))


# ---------------------------------------------------------------------------------------------------------------- layers


def test_rates_by_layer_takes_weights_and_biases_together() -> None:
    rates = {
        "body.0.weight": torch.arange(10.0).view(1, 5, 2),
        "body.0.bias": torch.tensor([[10.0]]),
        "scale": torch.ones(1, 3),
    }
    found = rates_by_layer(rates)
    assert found["body.0"] == {"mean": [5.0], "low": [1.0], "median": [5.0], "high": [9.0]}
    assert found["scale"] == {"mean": [1.0], "low": [1.0], "median": [1.0], "high": [1.0]}
    two = rates_by_layer({"head.weight": torch.tensor([[1.0, 3.0], [5.0, 5.0]])})
    assert two["head"]["mean"] == [2.0, 5.0]
    of_tensors = rates_by_layer({"head.weight": torch.tensor([1.0, 3.0]), "head.bias": torch.tensor([2.0, 5.0])})
    assert of_tensors["head"]["mean"] == [1.5, 4.0]


class _Written(nn.Module):
    """Its nonlinearity is no module, and one input goes to two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side, self.scale = nn.Linear(3, 5), nn.Linear(5, 5), nn.Parameter(torch.full((5,), 2.0))
        self.through, self.head = nn.Linear(5, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu() * self.scale
        return self.head((self.through(hidden) + self.side(hidden)).tanh())


def test_features_are_what_a_layer_hands_on() -> None:
    module, x = _Written(), torch.randn(6, 3)
    with torch.no_grad():
        hidden = module.first(x).relu() * 2
        summed = (module.through(hidden) + module.side(hidden)).tanh()
        expected = {"first": hidden, "side": summed, "head": module(x)}
    found = features_by_layer(module, lambda: module(x), 100)
    assert list(found) == list(expected)  # `through` shares its input with `side`, and is called first
    for name, features in expected.items():
        torch.testing.assert_close(found[name], features)
    assert {name: tuple(each.shape) for name, each in features_by_layer(module, lambda: module(x), 3).items()} == {
        "first": (6, 3),
        "side": (6, 3),
        "head": (6, 3),
    }
    assert not any(each._forward_pre_hooks for each in module.modules())


def test_features_of_convolutions_are_means_over_positions() -> None:
    model = Conv4(channels=4, blocks=2, down="maxpool", features="flatten", norm="batch")
    module, params = initial_params(model, (1, 8, 8), 3, 0, torch.float64)
    network, x = Network(module, 3), random(5, 1, 8, 8)
    found = features_by_layer(module, lambda: network(params, x), 128)
    once = nn.functional.conv2d(x, params["body.0.weight"], padding=1)
    once = (once - once.mean((0, 2, 3), keepdim=True)) / (once.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    once = nn.functional.max_pool2d(once.relu(), 2)
    torch.testing.assert_close(found["body.0"].double(), once.mean((2, 3)), rtol=1e-4, atol=1e-4)
    assert {name: tuple(each.shape) for name, each in found.items()} == {"body.0": (5, 4), "body.2": (5, 16), "head": (5, 3)}


class _Words(nn.Module):
    """Words [N, L] -> outputs; what comes before the head is normalised, so that its mean over the width is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.each, self.head = nn.Embedding(9, 6), nn.LayerNorm(6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.each(self.norm(self.words(x))).mean(1))


def test_features_of_words_are_means_over_words() -> None:
    module, x = _Words(), torch.randint(9, (7, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normed = module.norm(module.words(x))
    features = features_by_layer(module, lambda: module(x), 128)
    torch.testing.assert_close(features["words"], normed.mean(1))
    assert {name: tuple(own.shape) for name, own in features.items()} == {"words": (7, 6), "each": (7, 5), "head": (7, 2)}
    assert features["words"].std(0).min() > 0.01
    torch.testing.assert_close(features_by_layer(module, lambda: module(x), 3)["words"], normed.mean(1)[:, [0, 2, 5]])


def test_features_of_a_transformer_vary() -> None:
    module = TextTransformer(width=8, layers=2, heads=2).build(TokenShape(6, 20), 3)
    x = torch.randint(20, (5, 6), generator=torch.Generator().manual_seed(0))
    features = features_by_layer(module, lambda: module(x), 128)
    assert features["words"].shape == (5, 8)  # the input of the first attention
    assert all(own.std(0).max() > 1e-3 for own in features.values())


def test_features_of_residual_blocks_count_a_shared_input_once() -> None:
    module, params = initial_params(ResNet12(channels=[2, 3]), (1, 8, 8), 3, 0, torch.float32)
    network = Network(module, 3)
    found = features_by_layer(module, lambda: network(params, torch.randn(4, 1, 8, 8)), 128)
    block = [f"body.{i}.{layer}" for i in (0, 1) for layer in ("path.0", "path.3", "shortcut.0")]
    assert list(found) == [*block, "head"]
    assert found["body.0.shortcut.0"].shape == (4, 2)  # what the first block hands to the second
