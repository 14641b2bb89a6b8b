"""SB-MCL against its equations written out example by example, torch's distributions and finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.sb_mcl import SbMcl, SbMclMeta
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Trajectory
from metacl_run.models.encoder_decoder import EncoderDecoder
from metacl_run.models.mlp import Mlp
from metacl_run.models.network import Network, initial_params
from metacl_run.scoring.objectives import CLASSIFICATION, REGRESSION

DOUBLE = torch.float64
INPUTS, TARGETS, LATENT, FUNCTIONS = 3, 2, 4, 2
SETTINGS: dict[str, Any] = {
    **{"meta_batch_size": 1, "outer_lr": 0.1, "outer_optimizer": "sgd", "outer_momentum": 0.0, "outer_schedule": "constant"},
    **{"clip_norm": None, "clip_value": None, "classes": FUNCTIONS, "class_steps": 2, "step_examples": 2},
    **{"query_examples": 3, "remember": 0, "halves": False, "latent": LATENT, "kl_weight": 0.7},
}
LEARNER = SbMcl(**SETTINGS)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def network() -> tuple[Network, SbMclMeta]:
    """With a prior that is not the standard normal distribution."""
    model = LEARNER.model_of(Mlp(hidden=[5], batch_norm=False, initial="torch"), REGRESSION)
    module, params = initial_params(model, (INPUTS,), TARGETS, 0, DOUBLE)
    net = Network(module, TARGETS, objective=REGRESSION)
    prior = {"mean": drawn(LATENT, seed=1), "log_precision": drawn(LATENT, seed=2)}
    return net, {"params": params, "prior": prior}  # type: ignore[typeddict-item]


def module_of(net: Network, meta: SbMclMeta) -> EncoderDecoder:
    module = net.module.double()
    module.load_state_dict(meta["params"])
    assert isinstance(module, EncoderDecoder)
    return module


def slow_posterior(module: EncoderDecoder, meta: SbMclMeta, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and precision of z, one example after another: the posterior is the prior of the next."""
    mean, precision = meta["prior"]["mean"], meta["prior"]["log_precision"].exp()
    for one_x, one_y in zip(x, y, strict=True):
        outputs = module.encoder(torch.cat([one_x, one_y])[None])[0]
        own_mean, own_precision = outputs[:LATENT], outputs[LATENT:].exp()
        mean = (precision * mean + own_precision * own_mean) / (precision + own_precision)
        precision = precision + own_precision
    return mean, precision


def decoded(module: EncoderDecoder, x: Tensor, z: Tensor) -> Tensor:
    whole = nn.Sequential(module.body, module.head)
    return torch.stack([whole(torch.cat([one_x, one_z])[None])[0] for one_x, one_z in zip(x, z, strict=True)])


def learned(net: Network, meta: SbMclMeta, x: Tensor, y: Tensor, at_once: int) -> Any:
    learner = LEARNER.sequence_learner
    fast = learner.begin(net, meta, drawn(TARGETS, LATENT), x)
    for part in range(0, len(x), at_once):
        fast = learner.learn(net, meta, fast, x[part : part + at_once], y[part : part + at_once], torch.zeros(()))
    return fast


def test_the_posterior_and_its_predictions_equal_the_slow_loop() -> None:
    net, meta = network()
    x, y, queries = drawn(6, INPUTS, seed=3), drawn(6, TARGETS, seed=4), drawn(5, INPUTS, seed=5)
    module = module_of(net, meta)
    with torch.no_grad():
        mean, precision = slow_posterior(module, meta, x, y)
        fast = learned(net, meta, x, y, at_once=3)
        torch.testing.assert_close(fast.mean, mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(fast.precision, precision, rtol=1e-12, atol=1e-12)
        outputs = LEARNER.sequence_learner.predict(net, meta, fast, queries)
        torch.testing.assert_close(outputs, decoded(module, queries, mean.expand(5, -1)), rtol=1e-12, atol=1e-12)


def test_the_order_does_not_matter_in_single_precision_either() -> None:
    net, meta = network()
    meta = tree_map(lambda leaf: leaf.float(), meta)
    x, y = drawn(50, INPUTS, seed=3).float(), drawn(50, TARGETS, seed=4).float()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        first, second = learned(net, meta, x, y, at_once=50), learned(net, meta, x[order], y[order], at_once=1)
    torch.testing.assert_close(first.mean, second.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first.precision, second.precision, rtol=1e-5, atol=1e-6)


def trajectory() -> Trajectory:
    steps, queries = FUNCTIONS * 2, FUNCTIONS * 3
    return Trajectory(
        drawn(steps, 2, INPUTS, seed=7),
        drawn(steps, 2, TARGETS, seed=8),
        drawn(queries, INPUTS, seed=9),
        drawn(queries, TARGETS, seed=10),
        torch.arange(FUNCTIONS),
        drawn(FUNCTIONS, LATENT, seed=11),
    )


def test_the_meta_loss_equals_its_formula() -> None:
    net, meta = network()
    episode, module = trajectory(), module_of(net, meta)
    with torch.no_grad():
        mean, precision = slow_posterior(module, meta, episode.x.flatten(0, 1), episode.y.flatten(0, 1))
        posterior = Normal(mean, precision.rsqrt())
        z = torch.stack([mean + precision.rsqrt() * episode.fresh[query // 3] for query in range(6)])
        error = (decoded(module, episode.query_x, z) - episode.query_y).square().mean()
        examples = 8 + 6
        divergence = kl_divergence(posterior, Normal(torch.zeros_like(mean), 1.0)).sum() / (examples * TARGETS)
    metrics = LEARNER.episode_update(net, meta, {}, episode).metrics
    torch.testing.assert_close(metrics["mse"], error, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(metrics["loss"], error + 0.7 * divergence, rtol=1e-12, atol=1e-12)


def test_the_meta_gradient_equals_a_finite_difference() -> None:
    net, meta = network()
    gradient = LEARNER.episode_update(net, meta, {}, trajectory()).direction
    draw = torch.Generator().manual_seed(12)
    way = tree_map(lambda leaf: torch.randn(leaf.shape, dtype=DOUBLE, generator=draw), meta)

    def loss(step: float) -> Tensor:
        moved = tree_map(lambda a, b: a + step * b, meta, way)
        return LEARNER.episode_update(net, moved, {}, trajectory()).metrics["loss"]

    along: list[Tensor] = []
    tree_map(lambda a, b: along.append((a * b).sum()), gradient, way)
    torch.testing.assert_close((loss(1e-6) - loss(-1e-6)) / 2e-6, torch.stack(along).sum(), rtol=1e-5, atol=1e-8)


def test_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^algo: SB-MCL learns functions, but the data are classes\. Use algo=gemcl\."):
        LEARNER.model_of(Mlp(hidden=[5], batch_norm=False, initial="torch"), CLASSIFICATION)
