"""Classes of images as the concepts of protocol `meta_continual`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.streams.base import ConceptPool, Half


@dataclass(frozen=True, kw_only=True)
class ClassPool(ConceptPool):
    """All images, class by class; the last classes are the meta-test ones."""

    pixels: Tensor
    """[N, channels, side, side] uint8."""
    starts: np.ndarray
    """[classes] where each begins in `pixels`."""
    meta_train: int
    """How many of the classes, from the first, are for meta-training."""
    notes: Sequence[str] = ()

    def to(self, device: torch.device) -> ClassPool:
        return dataclasses.replace(self, pixels=self.pixels.to(device))

    def gather(self, half: Half, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        classes = concepts if half == "meta_train" else self.meta_train + concepts
        rows = torch.from_numpy(self.starts[classes] + examples).to(self.pixels.device)
        x = self.pixels.index_select(0, rows.flatten()).float().div_(255)
        return x.view(*rows.shape, *x.shape[1:]), torch.from_numpy(places).to(self.pixels.device)
