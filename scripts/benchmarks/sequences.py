"""OML and ANML as in their released code, beside ours: a meta-training step, and learning sequences at meta-test.

The loops pass images through the whole network at every inner step. OML's also computes the outer loss before the first step
and after every one, to log it; ANML's differentiates by all parameters and moves some. The same step is compared: second order
for OML, first order for ANML, as released. The networks of the loops are made of stock layers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map

from benchmarks.measuring import REFERENCE, Job, Line, measure

STEPS: dict[str, dict[str, Any]] = {
    "oml": {
        "title": "OML, 84x84, six convolutions of 256, one linear layer of 963 outputs, 15 inner updates, 79 outer images",
        "overrides": ["algo=oml", "model=oml", "data.image_size=84", "algo.query_examples=null", "algo.remember=64"],
        "plastic": ["head"],
    },
    "anml": {
        "title": "ANML, 28x28, 256 and 112 filters, 963 outputs, 20 inner updates, 84 outer images, first order",
        "overrides": ["algo=anml", "model=anml", "algo.class_steps=20", "algo.first_order=true"],
        "plastic": ["body", "head"],
    },
}
TEST = "oml-test"
ROWS = (*STEPS, TEST)
OUTPUTS, ORDERS, RATES = 963, 10, [0.03, 0.01, 0.003, 0.001, 0.0003]
CLASSES, POOL = 20, 64
"""A tenth of 200 classes of 640: as many images to each step."""
SMALL = {"oml": ["model.channels=8"], "anml": ["model.channels=8", "model.gate_channels=4"]}
"""For the gradients, in float64."""


def components(name: str, more: list[str], dtype: torch.dtype) -> tuple[Any, Any, dict[str, Tensor], tuple[int, ...]]:
    """Our learner, network, parameters and input shape."""
    from metacl_run.config.compose import compose_job
    from metacl_run.config.load import load
    from metacl_run.models.network import Network, initial_params

    experiment = load(*compose_job(["data=split_glyphs", "data.images_per_class=20", *STEPS[name]["overrides"], *more]))
    shape = experiment.data.input_shape
    module, params = initial_params(experiment.model, shape, OUTPUTS, 0, dtype)
    return experiment.algo, Network(module, OUTPUTS), params, shape


def trajectory(algo: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    """What one meta-update learns from, sampled beforehand: blurred noise."""
    from metacl_run.core.types import Trajectory

    generator = torch.Generator().manual_seed(1)
    steps = algo.classes * algo.class_steps

    def images(count: int) -> Tensor:
        noise = torch.rand(count, *shape, generator=generator, dtype=torch.float64)
        return nn.functional.avg_pool2d(noise, 3, 1, 1).to(dtype)

    x, y = images(steps), torch.arange(algo.classes).repeat_interleave(algo.class_steps)
    also = torch.randint(OUTPUTS, (algo.remember,), generator=generator)
    query_x, query_y = torch.cat([x, images(algo.remember)]), torch.cat([y, also])
    empty = torch.zeros(algo.classes, 0, dtype=dtype)
    return Trajectory(x.unsqueeze(1), y.unsqueeze(1), query_x, query_y, torch.arange(algo.classes), empty)


class Stock(nn.Module):
    """Our network's parameters in the same order, on stock layers."""

    def __init__(self, name: str, ours: nn.Module) -> None:
        super().__init__()
        if name == "oml":
            self.body, self.head = ours.body, ours.head
            return
        self.gate, self.body, self.head = nn.ModuleDict(), _stock(ours.body), ours.head  # type: ignore[arg-type]
        self.gate["body"], self.gate["last"] = _stock(ours.gate.body), ours.gate.last  # type: ignore[union-attr, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        if hasattr(self, "gate"):
            features = features * torch.sigmoid(self.gate["last"](self.gate["body"](x)))
        return self.head(features)


def _stock(blocks: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in blocks:
        if not hasattr(layer, "pool"):
            layers.append(layer)
            continue
        norm = nn.InstanceNorm2d(len(layer.weight), affine=True)
        norm.weight, norm.bias = layer.weight, layer.bias
        layers += [norm, nn.ReLU(), *([nn.MaxPool2d(layer.pool)] if layer.pool > 1 else [])]
    return nn.Sequential(*layers)


def released_step(name: str, network: nn.Module, episode: Any, rate: float) -> None:
    """The meta-gradient, left in `.grad`."""
    fast = dict(network.named_parameters())
    moving = [key for key in fast if key.split(".")[0] in STEPS[name]["plastic"]]
    by = moving if name == "oml" else list(fast)

    def outer() -> Tensor:
        return cross_entropy(functional_call(network, fast, (episode.query_x,)), episode.query_y)

    losses = []
    if name == "oml":
        with torch.no_grad():
            losses.append(outer())
    for x, y in zip(episode.x, episode.y, strict=True):
        inner = cross_entropy(functional_call(network, fast, (x,)), y)
        gradients = dict(
            zip(by, torch.autograd.grad(inner, [fast[key] for key in by], create_graph=name == "oml"), strict=True)
        )
        fast |= {key: fast[key] - rate * gradients[key] for key in moving}
        if name == "oml":  # logs the loss after every step, and before the first
            losses.append(outer())
    (losses[-1] if losses else outer()).backward()


def our_step_job(name: str) -> tuple[Callable[[], float], Callable[[], list[Tensor]]]:
    from metacl_run.inner.engine import Engine
    from metacl_run.runtime.process_memory import keep_freed_memory

    keep_freed_memory()
    algo, network, params, shape = components(name, ["algo.redraw=false"], torch.float32)
    episode = tree_map(lambda leaf: leaf.unsqueeze(0), trajectory(algo, shape, torch.float32))
    state = algo.start(network, params)

    def unit() -> float:
        nonlocal state
        begun = time.perf_counter()
        state, _ = algo.meta_update(network, Engine(kind="vmap", chunk=1), 1, state, episode)
        return time.perf_counter() - begun

    def gradient() -> list[Tensor]:
        algo, network, params, shape = components(name, ["algo.redraw=false", *SMALL[name]], torch.float64)
        found = algo.episode_update(network, {"params": params}, {}, trajectory(algo, shape, torch.float64))
        return list(found.direction["params"].values())

    return unit, gradient


def released_step_job(name: str) -> tuple[Callable[[], float], Callable[[], list[Tensor]]]:
    def made(more: list[str], dtype: torch.dtype) -> tuple[nn.Module, Any, float]:
        algo, network, params, shape = components(name, more, dtype)
        stock = Stock(name, network.module).to(dtype)
        with torch.no_grad():
            for parameter, value in zip(stock.parameters(), params.values(), strict=True):
                parameter.copy_(value)
        return stock, trajectory(algo, shape, dtype), algo.inner_lr

    network, episode, rate = made([], torch.float32)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def unit() -> float:
        begun = time.perf_counter()
        optimizer.zero_grad()
        released_step(name, network, episode, rate)
        optimizer.step()
        return time.perf_counter() - begun

    def gradient() -> list[Tensor]:
        network, episode, rate = made(SMALL[name], torch.float64)
        released_step(name, network, episode, rate)
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    return unit, gradient


# ----------------------------------------------------------------------------------------------------------- meta-test


def pool_of(shape: tuple[int, ...]) -> Any:
    from metacl_run.data.streams.class_concepts import ClassConceptPool

    pixels = torch.randint(256, (POOL * 20, *shape), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    return ClassConceptPool(examples=pixels, starts=np.arange(POOL) * 20, meta_train=0)


def our_test_job() -> Callable[[], float]:
    """Seconds for each step of each sequence, features, learning and the test at the end together."""
    from metacl_run.inner.engine import Engine
    from metacl_run.inner.shards import WHOLE
    from metacl_run.protocols.meta_continual.prepared_sequences import PreparedSequences
    from metacl_run.protocols.meta_continual.sequence_runner import SequenceRunner
    from metacl_run.protocols.meta_continual.setup import SequenceSetup
    from metacl_run.runtime.process_memory import keep_freed_memory

    keep_freed_memory()
    algo, network, params, shape = components("oml", [], torch.float32)
    setup = SequenceSetup(
        algo=algo,
        pool=pool_of(shape),
        network=network,
        initial_params=[params],
        fresh_width=algo.sequence_learner.fresh_width(network, params),
        seeds=[0],
        counts={"meta_train": 0, "meta_test": POOL},
        learned=15,
        held_out=5,
        train_engine=Engine(kind="vmap"),
        test_engine=Engine(kind="vmap"),
        shards=WHOLE,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )

    def unit() -> float:
        begun = time.perf_counter()
        sequences = PreparedSequences(setup, {"params": params}, "meta_test", 0, orders=ORDERS, length=CLASSES)
        SequenceRunner(setup).learn(sequences, range(ORDERS), RATES, [CLASSES])
        return (time.perf_counter() - begun) / (ORDERS * len(RATES) * CLASSES * 15)

    return unit


def released_test_job() -> Callable[[], float]:
    """Seconds for a step of one sequence, without any test: an image through the whole network, an update of the head."""
    _, network, _, shape = components("oml", [], torch.float32)
    module, at = network.module, 0
    optimizer = torch.optim.SGD(module.head.parameters(), lr=0.01)
    images = pool_of(shape).examples.float() / 255

    def unit() -> float:
        nonlocal at
        begun, steps = time.perf_counter(), 15
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(module(images[at : at + 1]), torch.tensor([at // 20])).backward()
            optimizer.step()
            at = (at + 1) % len(images)
        return (time.perf_counter() - begun) / steps

    return unit


def measure_row(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    step = name in STEPS
    common: dict[str, Any] = {
        "module": "sequences",
        "device": "cpu",
        "threads": args.threads,
        "kind": "sequences" if step else "sequences test",
    }
    common |= {"argument": name} | ({"gradient": True} if step else {})
    tasks = {"metacl_run": {**common, "ours": True}, REFERENCE: {**common, "ours": False}}
    lines = {line: Line(line, is_peer=line == REFERENCE) for line in tasks}
    measure(tasks, lines, args.repeats, say)
    if step:
        text = f"{name}: {STEPS[name]['title']}; ms a meta-update"
    else:
        text = (
            f"{name}: {ORDERS} orders x {len(RATES)} rates of {CLASSES} of {POOL} classes, 15 images each, network as in oml\n"
        )
        text += "ms for each step of each sequence; ours with features and the test at the end, the loop's without any test"
    return {"row": name, "title": text, "lines": list(lines.values())}


def make_job(task: dict[str, Any], device: torch.device) -> Job:
    if task["kind"] == "sequences test":
        return Job(our_test_job() if task["ours"] else released_test_job())
    unit, gradient = (our_step_job if task["ours"] else released_step_job)(task["argument"])
    return Job(unit, gradient)
