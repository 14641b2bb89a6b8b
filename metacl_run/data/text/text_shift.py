"""Shifts of texts: every task has a way of writing of its own, the first task the texts as they are.

Shapes: T tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.text.text_encoder import TextEncoder
from metacl_run.data.text.text_features import encoded
from metacl_run.data.text.ways_of_writing import WAYS

KINDS = ("none", *WAYS)
"""The values of a stream's setting `shift`, for texts."""


@dataclass(frozen=True, kw_only=True)
class TextShift(TaskShift):
    """Rewrites the texts of each task in its own way, and encodes them again."""

    rewrite: Callable[[str, int], str]
    """(text, task) -> the text as that task has it."""
    encoder: TextEncoder
    task_names: Sequence[str]

    rewrites = True
    same_for_seeds = True

    def to(self, device: torch.device) -> TextShift:
        return self

    def apply(self, x: Tensor, rows: Tensor) -> Tensor:
        raise NotImplementedError("texts are rewritten before learning starts")

    def rewritten(self, raw: Sequence[str], row: int) -> Tensor:
        task = row % len(self.task_names)
        return torch.from_numpy(encoded(self.encoder, [self.rewrite(text, task) for text in raw]))

    def written(self, text: str, task: int) -> str:
        return self.rewrite(text, task)


def text_shift(kind: str, *, num_tasks: int, encoder: TextEncoder) -> TaskShift:
    """The shifts of a stream of texts; `kind` is one of `KINDS`, and `ways_of_writing` says what they do."""
    if kind == "none":
        return NO_SHIFT
    way = WAYS[kind]
    return TextShift(rewrite=way.rewrite, encoder=encoder, task_names=[way.task_name(task) for task in range(num_tasks)])
