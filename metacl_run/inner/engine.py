"""Engines: interchangeable ways to map a function of one episode (or one replicate) over a batch.

    loop        a Python loop, one episode after another: the reference the others are tested against
    vmap        torch.func.vmap over chunks of episodes, and over replicates
    compile     the vmapped step through torch.compile
    cuda_graph  the vmapped step captured once as a CUDA graph and replayed

The gradient is always taken inside the map and averaged outside: `vmap(grad(f))`, then the mean. The other nesting,
`grad(vmap(f).mean())`, gives wrong second derivatives with torch's batch norm (torch 2.13; tests/kernels shows it).

Any of them may compute the episodes of one rank alone (see `inner/shards.py`); the result is that of all ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from metacl_run.core.errors import CaptureError, described
from metacl_run.core.types import Pytree
from metacl_run.inner.flat import flatly
from metacl_run.inner.shards import WHOLE, Shards

Kind = Literal["loop", "vmap", "compile", "cuda_graph"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How a batch of episodes is computed.

    Attributes:
        kind: see the module's docstring.
        chunk: episodes computed at once, for every kind but loop; None: all. Bounds memory (see `inner/forecast.py`).
        shards: which episodes this rank computes; other ranks, which must make the same calls, compute the rest.
    """

    kind: Kind
    chunk: int | None = None
    shards: Shards = WHOLE

    def map(self, function: Callable[..., Pytree], *batched: Pytree) -> Pytree:
        """Returns function(item), stacked over the leading axis of every tensor in `batched`."""
        size = _length(batched)
        shards = self.shards.of(size)
        parts = [self._stacked(function, part) for part in self._chunks(shards.take(batched))]
        return shards.joined(parts[0] if len(parts) == 1 else tree_map(lambda *leaves: torch.cat(leaves), *parts), size)

    def mean(self, function: Callable[..., Pytree], *batched: Pytree) -> Pytree:
        """Returns the mean of function(item) over the leading axis; no more than a chunk of results exists at once."""
        total, size = None, _length(batched)
        if size == 1:  # spares three passes over the result
            return function(*tree_map(lambda leaf: leaf[0], batched))
        shards = self.shards.of(size)
        for part in self._chunks(shards.take(batched)):
            summed = _on_every(lambda leaf: leaf.sum(0), self._stacked(function, part), keep=1)
            total = summed if total is None else tree_map(torch.add, total, summed)
        return _on_every(lambda leaf: leaf / size, shards.sum(total))

    def over_replicates(self, function: Callable[..., Pytree]) -> Callable[..., Pytree]:
        """Turns a function of one replicate into one of tensors with a leading replicate axis. Replicates are never chunked."""

        def mapped(*batched: Pytree) -> Pytree:
            if _length(batched) == 1 or self.kind == "loop":
                return _looped(function, batched)
            return torch.vmap(function)(*batched)

        return mapped

    def prepare(self, step: Callable[..., Pytree]) -> Callable[..., Pytree]:
        """Returns the step for repeated calls with tensors of the same shapes, compiled or captured as `kind` says."""
        if self.kind == "compile":
            return torch.compile(step, dynamic=False)
        if self.kind == "cuda_graph":
            return CudaGraph(step)
        return step

    def prepare_update(self, update: Callable[..., tuple[Pytree, Pytree]]) -> Callable[..., tuple[Pytree, Pytree]]:
        """Returns an update (state, *inputs) -> (state, metrics) for repeated calls with tensors of the same shapes.

        Captured as a graph, it changes the state in place (`CudaGraphUpdate`): a caller goes on with the state that it returns.
        """
        return CudaGraphUpdate(update) if self.kind == "cuda_graph" else self.prepare(update)

    def _chunks(self, batched: tuple[Pytree, ...]) -> list[tuple[Pytree, ...]]:
        size = _length(batched)
        chunk = 1 if self.kind == "loop" else min(self.chunk or size, size)
        return [tree_map(lambda leaf: leaf[i : i + chunk], batched) for i in range(0, size, chunk)]  # noqa: B023

    def _stacked(self, function: Callable[..., Pytree], part: tuple[Pytree, ...]) -> Pytree:
        return _looped(function, part) if self.kind == "loop" or _length(part) == 1 else torch.vmap(function)(*part)


class CudaGraph:
    """Captures a function of tensors as a CUDA graph at its first call and replays it afterwards.

    Inputs are copied into the graph's own tensors, all in a launch or two; outputs are copies, which a caller may keep.
    """

    WARM_UP_CALLS = 3

    def __init__(self, function: Callable[..., Pytree]) -> None:
        self._function = function
        self._graph: Any = None
        self._inputs: list[Tensor] = []
        self._outputs: Pytree = None

    def __call__(self, *arguments: Pytree) -> Pytree:
        leaves, spec = tree_flatten(arguments)
        if self._graph is None:
            self._inputs = [leaf.clone() for leaf in leaves]
            self._graph, self._outputs = captured(self._function, tree_unflatten(self._inputs, spec))
        copy_into(self._inputs, leaves)
        self._graph.replay()
        return tree_map(torch.clone, self._outputs)


class CudaGraphUpdate:
    """Captures an update (state, *inputs) -> (state, metrics), which writes the new state over the old one within the graph.

    The state that it returns is the graph's own, and the next call changes it: nothing of it is copied where that call receives
    it again. Metrics are copies.
    """

    def __init__(self, update: Callable[..., tuple[Pytree, Pytree]]) -> None:
        self._update = update
        self._graph: Any = None
        self._state: Pytree = None
        self._inputs: list[Tensor] = []
        self._metrics: Pytree = None

    def __call__(self, state: Pytree, *inputs: Pytree) -> tuple[Pytree, Pytree]:
        leaves, spec = tree_flatten(inputs)
        if self._graph is None:
            self._state, self._inputs = tree_map(torch.clone, state), [leaf.clone() for leaf in leaves]
            self._graph, self._metrics = captured(self._in_place, (self._state, *tree_unflatten(self._inputs, spec)))
        own = tree_leaves(self._state)
        # The calls that warm up have changed the graph's own state as well.
        copy_into([*own, *self._inputs], [*tree_leaves(state), *leaves])
        self._graph.replay()
        return self._state, tree_map(torch.clone, self._metrics)

    def _in_place(self, state: Pytree, *inputs: Pytree) -> Pytree:
        new, metrics = self._update(state, *inputs)
        old = tree_leaves(state)
        metrics = tree_map(lambda leaf: _apart(leaf, old, None), metrics)
        copy_into(old, [_apart(source, old, target) for source, target in zip(tree_leaves(new), old, strict=True)])
        return metrics


def _apart(tensor: Tensor, old: list[Tensor], target: Tensor | None) -> Tensor:
    """Returns a tensor that stays what it is while `old` is written to, but for its own `target`: a copy where it has to be."""
    storage = tensor.untyped_storage()._cdata
    others = (leaf for leaf in old if leaf is not target)
    return tensor.clone() if any(storage == leaf.untyped_storage()._cdata for leaf in others) else tensor


def captured(function: Callable[..., Pytree], arguments: tuple[Pytree, ...]) -> tuple[Any, Pytree]:
    """Returns a CUDA graph of a call, and the tensors in which it leaves the result.

    Raises:
        CaptureError: the call does what a graph cannot hold, such as waiting for a number from the card.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(CudaGraph.WARM_UP_CALLS):
            function(*arguments)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = function(*arguments)
    except Exception as error:
        cause = error.__context__ or error  # to leave a capture that went wrong is an error as well, and says less
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause from None
        raise CaptureError(described(cause)) from error
    return graph, result


def copy_into(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copies the values of `sources` into `targets`, but for those that are one object; a launch for every dtype."""
    pairs = [(target, source) for target, source in zip(targets, sources, strict=True) if target is not source]
    assert all(target.shape == source.shape for target, source in pairs), "a graph is for tensors of the same shapes"
    if pairs:
        torch._foreach_copy_([target for target, _ in pairs], [source for _, source in pairs], non_blocking=True)


def _looped(function: Callable[..., Pytree], batched: tuple[Pytree, ...]) -> Pytree:
    results = [function(*tree_map(lambda leaf: leaf[i], batched)) for i in range(_length(batched))]  # noqa: B023
    if len(results) == 1:  # what `stack` would give, without a copy
        return tree_map(lambda leaf: leaf.unsqueeze(0).contiguous(), results[0])
    return tree_map(lambda *leaves: torch.stack(leaves), *results)


def _on_every(function: Callable[[Tensor], Tensor], tree: Pytree, keep: int = 0) -> Pytree:
    """Applies a function to every tensor; on a card to all at once (`flatly`)."""
    leaves, spec = tree_flatten(tree)
    if leaves[0].is_cuda:
        return tree_unflatten(flatly(function, leaves, keep), spec)
    return tree_map(function, tree)


def _length(batched: Pytree) -> int:
    leaf: torch.Tensor = tree_leaves(batched)[0]
    return leaf.shape[0]
