"""Ranks: several processes that compute one run together, started by torchrun or anything that sets the same variables.

Every rank makes the same calls on the same state; the meta-batch is divided among them (`inner/shards.py`). Rank 0 alone writes
and prints: it holds the run's lock and decides whether there is anything to compute and from where. A rank that fails or is
killed ends; that breaks the collective that the others are in, which ends them, and torchrun reports who was the first.
Imports no torch in a process that is alone.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from metacl_run.core.errors import UserError

if TYPE_CHECKING:
    from metacl_run.inner.shards import Shards

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that compute the run.

    Attributes:
        rank, count: among all processes.
        local_rank, local_count: among those on this machine.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes and prints."""
        return self.rank == 0

    @property
    def shards(self) -> Shards:
        """The part of a batch that is computed here."""
        from metacl_run.inner.shards import Shards

        return Shards(rank=self.rank, count=self.count)

    def from_first(self, value: T) -> T:
        """Returns rank 0's value on every rank. Raises RuntimeError when another rank is gone, as all collectives do."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is true on any rank."""
        if self.count == 1:
            return flag
        import torch

        from metacl_run.inner.shards import sum_over_ranks

        return bool(sum_over_ranks(torch.tensor(int(flag))))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Ends every rank if any of them raises a `UserError` inside, where no collective may be called.

        Raises:
            UserError: on rank 0, its own mistake or else that of the lowest rank that has one.
            SystemExit: on the other ranks, with status 1.
        """
        if self.count == 1:
            yield
            return
        import torch.distributed as dist

        mistake = None
        try:
            yield
        except UserError as error:
            mistake = error
        messages: list[str | None] = [None] * self.count
        dist.all_gather_object(messages, None if mistake is None else str(mistake))
        mistakes = [f"rank {rank}: {message}" for rank, message in enumerate(messages) if message is not None]
        if mistakes and not self.leads:
            raise SystemExit(1)
        if mistakes:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it once another rank has ended; print first
            raise mistake or UserError(mistakes[0])


ALONE = Ranks(rank=0, count=1, local_rank=0, local_count=1)
"""A process that computes a run itself."""
