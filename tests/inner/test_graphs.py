"""The bookkeeping of CUDA graphs, with a stand-in for the graph that calls the function again in the same tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from metacl_run.core.errors import CaptureError
from metacl_run.inner import engine
from metacl_run.inner.engine import CudaGraph, CudaGraphUpdate, Engine, Kind, captured
from metacl_run.inner.several_updates import SeveralUpdates


@pytest.fixture(autouse=True)
def _graphs_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def captured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        for _ in range(CudaGraph.WARM_UP_CALLS):
            function(*arguments)
        result = tree_map(torch.clone, function(*arguments))
        own = tree_flatten(result)[0]

        def replay() -> None:
            for target, source in zip(own, tree_leaves(function(*arguments)), strict=True):
                target.copy_(source)

        return SimpleNamespace(replay=replay), result

    monkeypatch.setattr(engine, "captured", captured)


def momentum(state: dict[str, Tensor], x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    velocity = 0.9 * state["velocity"] + (state["weight"] - x)
    return {"weight": state["weight"] - 0.1 * velocity, "velocity": velocity}, {"loss": (state["weight"] - x).square().sum()}


def test_an_update_in_place_goes_the_same_way_as_the_update() -> None:
    state = {"weight": torch.arange(3.0), "velocity": torch.zeros(3)}
    graph, graph_state = CudaGraphUpdate(momentum), tree_map(torch.clone, state)
    losses: list[Tensor] = []
    for step in range(5):
        x = torch.full((3,), float(step))
        state, metrics = momentum(state, x)
        if step == 3:  # a state that is not the graph's own, as after the end of a task
            graph_state = tree_map(torch.clone, graph_state)
        graph_state, graph_metrics = graph(graph_state, x)
        losses.append(graph_metrics["loss"])
        assert torch.equal(graph_metrics["loss"], metrics["loss"])
        assert all(torch.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(graph_state), strict=True))
    assert len({loss.item() for loss in losses}) == 5  # earlier metrics stay what they were


def test_the_first_state_is_not_changed() -> None:
    state = {"weight": torch.arange(3.0), "velocity": torch.zeros(3)}
    CudaGraphUpdate(momentum)(state, torch.ones(3))
    assert torch.equal(state["weight"], torch.arange(3.0))


def test_a_state_whose_parts_change_places() -> None:
    """New tensors may be old ones, such as the parameters that a method keeps as its teacher."""
    graph = CudaGraphUpdate(lambda state, x: ({"new": state["new"] + x, "old": state["new"]}, {"old": state["old"]}))
    state = {"new": torch.zeros(2), "old": torch.full((2,), -1.0)}
    for step in range(3):
        state, metrics = graph(state, torch.ones(2))
        assert state["new"].tolist() == [step + 1] * 2
        assert state["old"].tolist() == [step] * 2
        assert metrics["old"].tolist() == [step - 1] * 2


@pytest.mark.parametrize("kind", ["vmap", "cuda_graph"])
def test_several_updates_are_the_updates_one_after_another(kind: Kind) -> None:
    start = {"weight": torch.arange(3.0), "velocity": torch.zeros(3)}
    updates, inputs = SeveralUpdates(Engine(kind=kind), momentum), torch.randn(50, 3, generator=torch.manual_seed(0))
    state, sums, expected, losses = start, None, start, 0.0
    for first, last in ((0, 1), (1, 24), (24, 50)):
        state, sums = updates(state, sums, inputs[first:last])
        for x in inputs[first:last]:
            expected, metrics = momentum(expected, x)
            losses = losses + metrics["loss"]
        assert sums is not None
        assert torch.equal(sums["loss"], torch.as_tensor(losses))
        assert all(torch.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(expected), strict=True))
    assert torch.equal(start["weight"], torch.arange(3.0))


def test_outputs_of_a_graph_are_copies() -> None:
    graph = CudaGraph(lambda x: {"twice": 2 * x})
    first = graph(torch.ones(2))["twice"]
    second = graph(torch.full((2,), 3.0))["twice"]
    assert first.tolist() == [2, 2]
    assert second.tolist() == [6, 6]


def test_another_shape_is_refused() -> None:
    graph = CudaGraph(lambda x: 2 * x)
    graph(torch.ones(2))
    with pytest.raises(AssertionError, match="same shapes"):
        graph(torch.ones(1))


@contextlib.contextmanager
def broken_capture(graph: object) -> Iterator[None]:
    """Stands for `torch.cuda.graph`, which raises a second time when it ends a capture that went wrong."""
    try:
        yield
    finally:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nSearch for it")


@pytest.mark.parametrize(
    ("first", "expected", "message"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), CaptureError, "stream is capturing \\("),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "CUDA out of memory"),
    ],
)
def test_a_capture_that_fails_says_why(
    first: Exception, expected: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(x: Tensor) -> Tensor:
        raise first

    stream = SimpleNamespace(wait_stream=lambda other: None)
    stands_for = {"Stream": lambda: stream, "current_stream": lambda: stream, "stream": lambda _: contextlib.nullcontext()}
    for name, function in {**stands_for, "CUDAGraph": SimpleNamespace, "graph": broken_capture}.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(CudaGraph, "WARM_UP_CALLS", 0)
    with pytest.raises(expected, match=message):
        captured(step, (torch.ones(1),))
