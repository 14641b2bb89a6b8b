"""Measures how many episodes fit in memory at once, on one and on two episodes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes:
    """The bytes of storages that are alive, and the most at once."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        self._seen: dict[int, Any] = {}

    def add(self, storage: torch.UntypedStorage) -> None:
        """Counts a storage until it is freed; one that is counted already is left out."""
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        self._seen[key] = weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.live -= size
        self._seen.pop(key, None)


class _Allocations(TorchDispatchMode):
    """Counts what operations return while the mode is on."""

    def __init__(self, memory: LiveBytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._memory.add(leaf.untyped_storage())
        return result


def peak_bytes(function: Callable[[], object], device: torch.device) -> int:
    """Returns the most bytes that `function` has alive at once, beyond those that exist before the call.

    On the CPU these are the tensors that operations return. On a card it is the peak of torch's allocator, with workspaces and
    temporaries, in a second call: from the first on libraries keep some for themselves, and have chosen their algorithms.

    Raises:
        torch.OutOfMemoryError: the card has less.
    """
    if device.type == "cuda":
        function()
        gc.collect()  # what it frees during the second call would be taken off the peak
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return torch.cuda.max_memory_allocated(device) - before
    memory = LiveBytes()
    with _Allocations(memory):
        result = function()
    del result
    return memory.peak


class ChunkForecast(NamedTuple):
    """A chunk of episodes, and the bytes that it needs."""

    episodes: int
    bytes: int
    bytes_of_one: int
    """What a single episode needs, which is more than the budget where not even one fits."""


def chunk_for(run: Callable[[int], object], *, episodes: int, budget: int, device: torch.device) -> ChunkForecast:
    """Finds the largest chunk of episodes whose forecast stays within `budget` bytes.

    Memory is a + b * chunk to good accuracy, so a run of one episode and a run of two give a and b.

    Args:
        run: run(n) computes n episodes at once.
        episodes: size of the whole batch, which is split into chunks of nearly equal size, of at least 1.
        budget: bytes.
        device: where `run` computes.

    Raises:
        torch.OutOfMemoryError: the card does not hold one episode.
    """
    one = peak_bytes(lambda: run(1), device)
    if episodes == 1 or one >= budget:
        return ChunkForecast(1, one, one)
    try:
        another = max(peak_bytes(lambda: run(2), device) - one, 1)
    except torch.OutOfMemoryError:  # of a budget that is more than is free
        return ChunkForecast(1, one, one)
    most = max(1, min(episodes, 1 + (budget - one) // another))
    parts = -(-episodes // most)
    chunk = -(-episodes // parts)
    return ChunkForecast(chunk, one + (chunk - 1) * another, one)
