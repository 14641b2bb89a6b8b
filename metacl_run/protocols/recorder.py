"""The interface of what is recorded of a learner beside its scores."""

from __future__ import annotations

import abc


class Recorder(abc.ABC):
    """Records something of a learner after its evaluations."""

    @abc.abstractmethod
    def record(self, row: int | None) -> None:
        """Records after the evaluation of a row of the accuracy matrix, or of a probe (None), what there is to record."""


class EndRecorder(Recorder):
    """A recorder that compares with the end of the run, and writes a file then."""

    @abc.abstractmethod
    def write(self) -> None:
        """Writes the file, once all tasks are learned."""
