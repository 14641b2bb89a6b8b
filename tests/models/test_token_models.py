"""Models of token numbers: derivatives of derivatives under vmap, padding, and inputs that they refuse."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.func import grad, vmap

from metacl_run.core.errors import ConfigError, SettingError
from metacl_run.core.token_shape import TokenShape
from metacl_run.core.types import Params
from metacl_run.models.mlp import Mlp
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.models.text_bag import TextBag
from metacl_run.models.text_transformer import TextTransformer

SHAPE = TokenShape(6, 50)
MODELS: list[Model] = [TextBag(width=8), TextTransformer(width=8, layers=2, heads=2)]


def network(model: Model) -> tuple[Network, Params]:
    module, params = initial_params(model, SHAPE, 3, 0, torch.float64)
    return Network(module, 3), params


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_gradient_through_an_inner_step(model: Model) -> None:
    """Against a finite difference along one direction, for several problems at once; one text has no word."""
    net, params = network(model)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(50, (3, 5, 6), generator=generator)
    x[:, :, 4:] = 0
    x[0, 0] = 0
    y = torch.randint(3, (3, 5), generator=generator)
    direction = {name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in params.items()}

    def outer(start: Params, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        slope = grad(lambda inner: net.loss(inner, x, y))(start)
        return net.loss({name: start[name] - 0.1 * slope[name] for name in start}, x.flip(0), y.flip(0))

    def at(step: float, problem: int) -> float:
        moved = {name: value + step * direction[name] for name, value in params.items()}
        return outer(moved, x[problem], y[problem]).item()

    slopes = vmap(grad(outer), (None, 0, 0))(params, x, y)
    for problem in range(3):
        along = sum((slopes[name][problem] * direction[name]).sum().item() for name in params)
        assert along == pytest.approx((at(1e-5, problem) - at(-1e-5, problem)) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_what_fills_up_a_text_does_not_count(model: Model) -> None:
    net, params = network(model)
    x = torch.tensor([[3, 7, 9, 0, 0, 0], [0] * 6, [1, 2, 3, 4, 5, 6]])
    table = next(name for name, value in params.items() if len(value) == SHAPE.vocabulary)
    changed = {**params, table: params[table].index_fill(0, torch.tensor([0]), 5.0)}
    if "positions" in params:
        changed["positions"] = params["positions"].clone()
        changed["positions"][3:] += 1
        assert not torch.equal(net(changed, x[2:]), net(params, x[2:]))
        assert not torch.allclose(net(params, x[:1]), net(params, x[:1, [1, 0, 2, 3, 4, 5]]))  # the order of words counts
    assert torch.allclose(net(changed, x[:2]), net(params, x[:2]), atol=1e-12)


def test_a_bag_is_a_mean_and_a_linear_layer() -> None:
    net, params = network(TextBag(width=8))
    mean = params["body.vectors.weight"][[3, 7, 7]].mean(0)
    expected = params["head.weight"] @ mean + params["head.bias"]
    assert torch.allclose(net(params, torch.tensor([[3, 7, 7, 0, 0, 0]]))[0], expected)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_inputs_that_do_not_fit(model: Model) -> None:
    for shape in ((6,), (1, 28, 28)):
        with pytest.raises(ConfigError, match=r"takes the words of texts as token numbers, .* use data.encoder=trained"):
            initial_params(model, shape, 3, 0, torch.float32)
    vectors = Mlp(hidden=[4], batch_norm=False, initial="torch")
    with pytest.raises(
        ConfigError, match=r"^model: Mlp takes real numbers, but data.encoder=trained makes token numbers\. Use"
    ):
        initial_params(vectors, SHAPE, 3, 0, torch.float32)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(SettingError, match=r"^heads=3: must divide model\.width=8$"):
        TextTransformer(width=8, layers=1, heads=3)


def test_a_token_shape_is_a_tuple_that_survives_a_copy() -> None:
    copy = pickle.loads(pickle.dumps(SHAPE))
    assert copy == (6,)
    assert copy.vocabulary == 50
