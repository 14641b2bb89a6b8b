"""The settings of a memory, the same for all methods that keep samples."""

from __future__ import annotations

from dataclasses import dataclass

from metacl_run.algorithms.online.stream_learner import Buffer, ReplaySpec
from metacl_run.core.bounds import Examples
from metacl_run.core.errors import Check


@dataclass(frozen=True, kw_only=True)
class SampleMemory:
    """The samples that are kept, and the size of a draw from them. Settings:

    Attributes:
        memory: largest number of samples that are kept.
        replay: samples in a draw, without replacement; all of them while there are fewer.
    """

    memory: Examples
    replay: Examples

    def replay_fits(self) -> Check:
        most = f"must be at most memory={self.memory}, which it is drawn from"
        return self.replay <= self.memory, "replay", self.replay, most


@dataclass(frozen=True, kw_only=True)
class ReplayBuffer(SampleMemory):
    """A buffer that samples of the stream enter as they come. Settings:

    Attributes:
        buffer: which samples it keeps. "reservoir": every sample so far has the same chance (Vitter 1985, algorithm R);
            "balanced": a reservoir that keeps the classes as even as possible (Chrysakis and Moens 2020, algorithm 1); "ring":
            the latest samples of every class of every task, an equal share for each (Chaudhry et al. 2019, arXiv 1902.10486).
    """

    buffer: Buffer

    def buffer_spec(self, draws: int, size: int | None = None) -> ReplaySpec:
        """Asks for this buffer, and for `draws` draws of `size` samples for every observation. Default: of `replay` samples."""
        return ReplaySpec(keep=self.buffer, capacity=self.memory, draws=draws, size=self.replay if size is None else size)
