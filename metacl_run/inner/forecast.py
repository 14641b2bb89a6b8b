"""Measures how many episodes fit in memory at once, on one and on two episodes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations allocate while the mode is on, and the most alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
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


def peak_bytes(function: Callable[[], object]) -> int:
    """Returns the most bytes of tensors that `function` has alive at once, beyond those that exist before the call."""
    with _LiveBytes() as counter:
        result = function()
    del result
    peak: int = counter.peak
    return peak


def chunk_for(run: Callable[[int], object], *, episodes: int, budget: int) -> tuple[int, int]:
    """Finds the largest chunk of episodes whose forecast stays within `budget` bytes.

    Memory is a + b * chunk to good accuracy, so a run of one episode and a run of two give a and b.

    Args:
        run: run(n) computes n episodes at once.
        episodes: size of the whole batch.
        budget: bytes.

    Returns:
        The chunk (at least 1, the batch split into chunks of nearly equal size), and the forecast of its bytes.
    """
    one = peak_bytes(lambda: run(1))
    if episodes == 1:
        return 1, one
    another = max(peak_bytes(lambda: run(2)) - one, 1)
    most = max(1, min(episodes, 1 + (budget - one) // another))
    parts = -(-episodes // most)
    chunk = -(-episodes // parts)
    return chunk, one + (chunk - 1) * another
