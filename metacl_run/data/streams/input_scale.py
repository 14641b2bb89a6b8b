"""How inputs are scaled before a network sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 2000
"""Examples that are added up together; changes no number but the last digits."""


@dataclass(frozen=True, kw_only=True)
class InputScale:
    """Inputs less the mean of their channel, over its standard deviation.

    Attributes:
        mean, deviation: [C, 1, ...], C the first axis of an example.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, examples: np.ndarray) -> InputScale:
        """The scale under which every channel of the examples [N, C, ...] has mean 0 and deviation 1; uint8 stands for numbers
        in [0, 1]. A channel that is the same everywhere is only shifted."""
        axes = tuple(axis for axis in range(examples.ndim) if axis != 1)
        unit = 255.0 if examples.dtype == np.uint8 else 1.0
        count = examples.size / examples.shape[1]
        parts = [examples[start : start + AT_ONCE].astype(np.float64) / unit for start in range(0, len(examples), AT_ONCE)]
        mean = sum(part.sum(axes) for part in parts) / count
        square = sum(np.square(part).sum(axes) for part in parts) / count
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        shape = (-1, *[1] * (examples.ndim - 2))
        values = (mean, np.where(deviation > 1e-6, deviation, 1.0))
        return cls(
            **{name: torch.from_numpy(own.reshape(shape)) for name, own in zip(("mean", "deviation"), values, strict=True)}
        )

    def to(self, device: torch.device) -> InputScale:
        return InputScale(mean=self.mean.to(device), deviation=self.deviation.to(device))

    def apply(self, x: Tensor) -> Tensor:
        """Scales inputs [N, C, ...]."""
        mean, deviation = (own.to(x.dtype) for own in (self.mean, self.deviation))
        return (x - mean) / deviation
