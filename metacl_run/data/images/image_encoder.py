"""The encoders of images, by name."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from metacl_run.data.encoders.encoder import Encoder, named_encoder

PIXELS = "pixels"
"""The setting under which images stay as they are."""
ENCODERS = {"torchvision": "metacl_run.data.images.torchvision_encoder.TorchvisionEncoder"}
"""The class of every encoder, imported when it is first used."""
ImageEncoder: TypeAlias = Encoder[np.ndarray]


@lru_cache(maxsize=8)
def encoder_of(setting: str) -> ImageEncoder | None:
    """The encoder of images that a setting names; None for `PIXELS`. Raises SettingError, see `named_encoder`."""
    return None if setting == PIXELS else named_encoder(setting, ENCODERS, beside=[PIXELS])
