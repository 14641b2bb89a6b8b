"""ResNet-18 and its running averages against torch's own BatchNorm2d; what cannot learn with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.online.er import Replay
from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.inner.engine import Engine
from metacl_run.models import resnet18
from metacl_run.models.network import Network, initial_params
from metacl_run.models.resnet18 import ResNet18
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.online.trainer import observing
from tests.support.settings import PLAIN_SGD

SHAPE, WAYS = (2, 9, 11), 4
SMALL = ResNet18(channels=3, norm="running")
ER = Replay(batch_size=4, lr=0.1, **PLAIN_SGD, updates=1, memory=8, buffer="reservoir", replay=4, source="stream")


def drawn(model: ResNet18 = SMALL, seed: int = 0) -> tuple[Network, Params]:
    module, params = initial_params(model, SHAPE, WAYS, seed, torch.float64)
    return Network(module.double(), WAYS).in_mode("evaluation"), params


def of_torch(params: Params, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """The same network with `torch.nn.BatchNorm2d`."""
    monkeypatch.setitem(resnet18.LAYERS, "running", nn.BatchNorm2d)
    module = SMALL.build(SHAPE, WAYS).double()
    left_out = module.load_state_dict({name: value.clone() for name, value in params.items()}, strict=False)
    assert not left_out.unexpected_keys
    return module


def setup_of(network: Network, algo: Replay) -> StreamSetup:
    setup = object.__new__(StreamSetup)
    for name, value in {"network": network, "algo": algo, "num_tasks": 2}.items():
        object.__setattr__(setup, name, value)
    return setup


def observation_of(seed: int, *, empty: bool = False) -> Observation:
    """Random images, and a draw of as many, which has no sample where the buffer was `empty`."""
    labels = torch.randint(WAYS, (2, 4), generator=torch.Generator().manual_seed(seed))
    x, none = inputs(8, seed).unflatten(0, (2, 4)), torch.zeros(4, dtype=torch.int64)
    weight = torch.full((1, 4), 0.0 if empty else 1.0, dtype=torch.float64)
    replay = Samples(x[1:], labels[1:], none.expand(1, 4))
    return Observation(Samples(x[0], labels[0], none), torch.arange(4).expand(1, 4), replay, weight, none.expand(1, 4), none)


def inputs(count: int, seed: int) -> Tensor:
    return torch.randn(count, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_reduced_network_of_the_paper(experiment: Callable[..., Experiment]) -> None:
    model = experiment("model=resnet18_slim", "algo=er", "data=split_glyphs", tiny=[]).model
    module, params = initial_params(model, (3, 32, 32), 10, 0, torch.float32)
    learned = {name: value for name, value in params.items() if "running" not in name}
    wide, narrow, norms, head = 9 * 119_260, 16_800, 2 * 1_500, 1_610  # 3x3 and 1x1 convolutions, scales and offsets
    assert sum(value.numel() for value in learned.values()) == wide + narrow + norms + head
    convolutions = [tuple(value.shape[:2]) for value in learned.values() if value.ndim == 4 and value.shape[2] == 3]
    assert convolutions == [(20, 3)] + [(20, 20)] * 4 + [(40, 20), *[(40, 40)] * 3] + [(80, 40), *[(80, 80)] * 3] + [
        (160, 80),
        *[(160, 160)] * 3,
    ]
    assert Network(module, 10)(params, torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_learning_with_replay_moves_weights_and_averages_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    network, params = drawn()
    module = of_torch(params, monkeypatch)
    sgd = torch.optim.SGD(module.parameters(), lr=ER.lr)
    observe, state = observing(setup_of(network, ER)), StreamState(params=params)
    for seed in range(4):
        observed = observation_of(seed, empty=seed == 0)
        state, _ = observe(state, observed)
        x, y = observed.batch.x, observed.batch.y
        more = observed.replay.at(0) if seed else observed.batch  # the batch again where there was nothing to draw
        x, y = torch.cat([x, more.x]), torch.cat([y, more.y])
        sgd.zero_grad()
        cross_entropy(module(x), y).backward()
        sgd.step()
    expected = dict(module.state_dict())
    for name, value in state["params"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9)
    x = inputs(5, 9)
    module.load_state_dict(state["params"], strict=False)
    torch.testing.assert_close(network(state["params"], x), module.eval()(x))
    torch.testing.assert_close(network(state["params"], x[:1]), network(state["params"], x)[:1])  # whatever else is there


def test_averages_of_several_seeds_are_those_of_each_alone() -> None:
    network, _ = drawn()
    observe = observing(setup_of(network, ER))
    states = [StreamState(params=drawn(seed=seed)[1]) for seed in (0, 1)]
    observed = [observation_of(seed) for seed in (0, 1)]
    stack = lambda *parts: torch.utils._pytree.tree_map(lambda *leaves: torch.stack(leaves), *parts)  # noqa: E731
    together, _ = Engine(kind="vmap").over_replicates(observe)(stack(*states), stack(*observed))
    for replicate in (0, 1):
        alone, _ = observe(states[replicate], observed[replicate])
        for name, value in alone["params"].items():
            torch.testing.assert_close(together["params"][name][replicate], value)


def test_averages_move_in_training_alone_and_have_no_gradient() -> None:
    network, params = drawn()
    x, y = inputs(6, 0), torch.arange(6) % WAYS
    for mode in ("training", "evaluation"):
        gradient = torch.func.grad(network.in_mode(mode).loss)(params, x, y)
        assert all((value == 0).all() == ("running" in name) for name, value in gradient.items())
    averages = network.in_mode("tracking").moved_averages(params, x)
    assert all((averages[name] != params[name]).all() for name in averages)


def test_one_value_of_a_channel_moves_no_average() -> None:
    module, params = initial_params(SMALL, (2, 8, 8), WAYS, 0, torch.float64)
    tracking, x = Network(module.double(), WAYS).in_mode("tracking"), torch.rand(2, 2, 8, 8, dtype=torch.float64)
    assert all(value.isfinite().all() for value in tracking.moved_averages(params, x).values())
    with pytest.raises(ConfigError, match=r"^model: running averages need .*Use algo\.batch_size=2 or more, or a larger data"):
        tracking.moved_averages(params, x[:1])


@pytest.mark.parametrize("norm", ["batch", "image"])
def test_the_other_norms_keep_nothing(norm: str) -> None:
    model = ResNet18(channels=3, norm=norm)  # type: ignore[arg-type]
    network, params = drawn(model)
    assert not network.has_running_averages
    assert not any("running" in name for name in params)
    x = inputs(6, 0)
    alone = torch.cat([network(params, one) for one in x.split(1)])
    assert torch.allclose(alone, network(params, x)) == (norm == "image")
    layer = resnet18.LAYERS[norm](2).double()  # type: ignore[index]
    axes = (2, 3) if norm == "image" else (0, 2, 3)
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    torch.testing.assert_close(layer(x), (x - mean) / (var + 1e-5).sqrt())


IMAGES = ["data=split_glyphs", "model=resnet18_slim"]


@pytest.mark.parametrize("algo", ["mer", "la_maml", "vr_mcl", "packnet", "ncm", "oml_er"])
def test_methods_that_no_average_fits_say_so(algo: str, experiment: Callable[..., Experiment]) -> None:
    words = [f"algo={algo}", *IMAGES, *(["data.scenario=task"] if algo == "packnet" else [])]
    with pytest.raises(ConfigError, match=r"^algo: \w+ .*running averages of BodyHead\. Use model\.norm=image") as error:
        experiment(*words, tiny=[])
    assert "\n" not in str(error.value)
    experiment(*words, "model.norm=image", tiny=[])


@pytest.mark.parametrize(("algo", "instead"), [("maml", "norm=batch or model.norm=image"), ("oml", "norm=image")])
def test_other_protocols_say_what_to_use(algo: str, instead: str, experiment: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match=rf"model: ResNet18 has running averages, which only protocol=online.*{instead}\.$"):
        experiment(f"algo={algo}", *IMAGES, tiny=[])
