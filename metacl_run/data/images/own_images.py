"""Images of a user's own, brought to the form in which a source of images has its examples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from metacl_run.core.errors import DataError
from metacl_run.data.images.decoding import decode, pixels
from metacl_run.data.images.image_source import ImageSource, SplitImageSource


def own_image(source: ImageSource | SplitImageSource, image: Image.Image | str | os.PathLike[str]) -> np.ndarray:
    """[channels, side, side] uint8: upright, in the source's colours and size; ink bright where the source turns it so.

    Args:
        source: of the run.
        image: as the files of the data have it (dark ink on white paper for Omniglot), or the path of such a file.

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
    return np.asarray(255 - own if source.ink_is_dark_on_file else own)
