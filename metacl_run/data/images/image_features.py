"""Encodes images; features that took time are kept (`data.encoders.features`). A shift acts on the images before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.data.encoders.features import features_of
from metacl_run.data.images.image_encoder import ImageEncoder
from metacl_run.data.sources.task_shift import TaskShift
from metacl_run.data.streams.shifted_pool import shifted


def encoded(encoder: ImageEncoder, images: np.ndarray) -> np.ndarray:
    """Returns images [N, channels, side, side] uint8 as examples [N, *shape], of the encoder's type."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return features_of(encoder, images, digest=digest.hexdigest(), what="images")


@dataclass(frozen=True, kw_only=True)
class EncodedShift(TaskShift):
    """Shifts the images of each task, and encodes them again."""

    of_images: TaskShift
    encoder: ImageEncoder

    rewrites = True

    @property
    def task_names(self) -> Sequence[str]:  # type: ignore[override]
        return self.of_images.task_names

    @property
    def same_for_seeds(self) -> bool:  # type: ignore[override]
        return self.of_images.same_for_seeds

    def to(self, device: torch.device) -> EncodedShift:
        return self

    def apply(self, x: Tensor, rows: Tensor) -> Tensor:
        raise NotImplementedError("images are shifted before they are encoded")

    def rewritten(self, raw: np.ndarray, row: int) -> Tensor:
        return torch.from_numpy(encoded(self.encoder, shifted(torch.from_numpy(raw), self.of_images, row).numpy()))
