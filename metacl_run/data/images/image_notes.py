"""Notes on the pixels of images: what a user would not notice by looking at numbers."""

from __future__ import annotations

import numpy as np

from metacl_run.data.message_words import named
from metacl_run.data.sources.source import Catalogue

NARROW = 32
"""Between the darkest and the brightest pixel of all images there should be at least so many of the 255 steps."""


def on_pixels(catalogue: Catalogue, pixels: np.ndarray) -> list[str]:
    """Images of one colour, and images that hardly use the range there is."""
    flat = pixels.reshape(*pixels.shape[:2], -1)
    if not flat.size:
        return []
    notes, blank = [], (flat == flat[..., :1]).all((1, 2))
    if blank.any():
        notes.append(
            f"{blank.sum()} of {len(blank)} images are of one colour{_colour(flat[blank, :, 0])}: {_where(catalogue, blank)}"
        )
    darkest, brightest = int(flat.min()), int(flat.max())
    if not blank.all() and brightest - darkest < NARROW:
        notes.append(
            f"all pixels lie between {darkest} and {brightest} of 0 to 255, so that little can be seen: images of 16 bits are "
            "scaled by 255/65535, whatever part of that range they use. Stretch them"
        )
    return notes


def _colour(colours: np.ndarray) -> str:
    """The one that all rows of [N, channels] have."""
    if (colours != colours[0]).any():
        return " each"
    return f" ({', '.join(map(str, colours[0]))} of 255)"


def _where(catalogue: Catalogue, blank: np.ndarray) -> str:
    names, counts = catalogue.names, catalogue.counts
    of_class = np.bincount(np.repeat(np.arange(len(counts)), counts)[blank], minlength=len(counts))
    whole, part = np.flatnonzero(of_class == counts), np.flatnonzero((of_class > 0) & (of_class < counts))
    parts = [f"{what} of {named([names[i] for i in where])}" for what, where in (("all", whole), ("some", part)) if len(where)]
    return ", ".join(parts)
