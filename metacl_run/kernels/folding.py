"""What the vmap rules of the kernels share: the mapped axis is merged with the leading axis B that every operand has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def fold(info: Any, dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Moves the mapped axis to the front of each tensor and merges it with axis B; what is not mapped is repeated."""
    folded = []
    for dim, tensor in zip(dims, tensors, strict=False):
        if dim is None and tensor.shape[0] == 1:
            folded.append(tensor.expand(info.batch_size, *tensor.shape[1:]))  # stride 0: one for all
        elif dim is None:
            folded.append(tensor.expand(info.batch_size, *tensor.shape).flatten(0, 1))
        else:
            folded.append(tensor.movedim(dim, 0).flatten(0, 1))
    return folded


def unfold(info: Any, outputs: Any) -> Any:
    """The outputs with the mapped axis in front, and where it is: what a vmap rule returns."""
    size = info.batch_size
    if isinstance(outputs, Tensor):
        return outputs.unflatten(0, (size, -1)), 0
    return tuple(output.unflatten(0, (size, -1)) for output in outputs), (0,) * len(outputs)
