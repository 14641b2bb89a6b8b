"""Images of a user's own, brought to the form in which a source of images has its examples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.data.images.decoding import decode, pixels
from metacl_run.data.images.image_source import AnyImageSource

MIDDLE = 127
"""A ground brighter than this is paper."""


def own_image(source: AnyImageSource, image: Image.Image | str | os.PathLike[str]) -> np.ndarray:
    """[channels, side, side] uint8: upright, in the source's colours and size.

    Where the source has bright strokes on a dark ground, an image on a bright ground (a drawing on paper) is inverted.

    Args:
        source: of the run.
        image: of any size, or the path of its file.

    Raises:
        DataError: it cannot be read.
    """
    channels, size = source.num_channels, source.image_size
    if isinstance(image, Image.Image):
        try:
            own = pixels(image, depth=8, channels=channels, size=size)
        except (ValueError, OSError) as error:
            raise DataError(f"the image cannot be read ({error})") from None
    else:
        own = decode(Path(image), name=str(image), channels=channels, image_size=size)
    return np.asarray(255 - own if source.has_dark_ground and ground(own) > MIDDLE else own)


def ground(image: np.ndarray) -> float:
    """Returns the median of the pixels at the edges of an image [channels, side, side]."""
    edges = [image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]]
    return float(np.median(np.concatenate([edge.ravel() for edge in edges])))
