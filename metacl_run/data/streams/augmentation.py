"""The interface of an augmentation: training samples are altered at random each time a learner observes them."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor


class Augmentation(abc.ABC):
    """A change of a sample that leaves its target what it is. It draws nothing itself: it receives uniform numbers."""

    numbers: ClassVar[int]
    """Uniform numbers that decide the change of one sample."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> Augmentation:
        """The same augmentation with its tensors on `device`."""

    @abc.abstractmethod
    def apply(self, x: Tensor, uniforms: Tensor) -> Tensor:
        """Changes samples [N, *input shape], each by its `uniforms` [N, numbers] in [0, 1)."""
