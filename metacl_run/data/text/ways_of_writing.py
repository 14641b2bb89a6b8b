"""Ways in which a task may write its texts: styles, dropped words, typos."""

from __future__ import annotations

import abc


class WayOfWriting(abc.ABC):
    """A family of ways, one for every task; the same texts become the same texts, whatever the seed."""

    @abc.abstractmethod
    def rewrite(self, text: str, task: int) -> str:
        """The text as a task has it; task 0 has it as it is."""

    @abc.abstractmethod
    def task_name(self, task: int) -> str:
        """A name of the task, for tables and figures."""


WAYS: dict[str, WayOfWriting] = {}
"""By the value of a stream's setting `shift`."""
