"""The interface of what is recorded of a learner beside its scores."""

from __future__ import annotations

import abc


class Recorder(abc.ABC):
    """Records something of a learner after its evaluations."""

    @abc.abstractmethod
    def record(self, row: int | None) -> None:
        """Records after the evaluation of a row of the accuracy matrix, or of a probe (None), what there is to record."""
