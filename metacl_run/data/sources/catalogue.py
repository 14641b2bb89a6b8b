"""What a source of images holds, and the images themselves.

Shapes: C classes, N images, H x W pixels. Images lie class by class, in the order of the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What there is, known without reading a pixel."""

    names: list[str]
    """[C] names of the classes, for messages."""
    counts: np.ndarray
    """[C] int64, images of each class."""
    groups: list[str]
    """[C] what each class belongs to: an alphabet, a script, a data set."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images in memory, with the catalogue of what was really found."""

    catalogue: Catalogue
    pixels: np.ndarray
    """[N, channels, H, W] uint8, N = sum of the catalogue's counts; ink is bright in the sources of characters."""
    notes: Sequence[str] = ()
    """What the user should know about what was read: files left out."""
