"""Sentences on what a run takes of the data and what it leaves out: what the user would not notice by looking at numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metacl_run.data.sources.catalogue import Catalogue, Images

NAMED = 3
"""Classes that a note calls by name."""
NARROW = 32
"""Between the darkest and the brightest pixel of all images there should be at least so many of the 255 steps."""


def on_pixels(images: Images) -> list[str]:
    """Images of one colour, and images that hardly use the range there is."""
    flat = images.pixels.reshape(*images.pixels.shape[:2], -1)
    if not flat.size:
        return []
    notes, blank = [], (flat == flat[..., :1]).all((1, 2))
    if blank.any():
        notes.append(
            f"{blank.sum()} of {len(blank)} images are of one colour{_colour(flat[blank, :, 0])}: {_where(images, blank)}"
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


def _where(images: Images, blank: np.ndarray) -> str:
    names, counts = images.catalogue.names, images.catalogue.counts
    of_class = np.bincount(np.repeat(np.arange(len(counts)), counts)[blank], minlength=len(counts))
    whole, part = np.flatnonzero(of_class == counts), np.flatnonzero((of_class > 0) & (of_class < counts))
    parts = [f"{what} of {named([names[i] for i in where])}" for what, where in (("all", whole), ("some", part)) if len(where)]
    return ", ".join(parts)


def on_unused_classes(catalogue: Catalogue, used: int) -> list[str]:
    """Classes that fill no task."""
    total = len(catalogue.names)
    if used == total:
        return []
    return [f"{total - used} of {total} classes fill no task and are left out"]


def on_smallest_task(available: np.ndarray, used: int) -> list[str]:
    """Training samples that tasks have beyond what every task takes.

    Args:
        available: [R, T] training samples of each task.
        used: taken of each.
    """
    if available.max() <= used:
        return []
    left, total = _range((available - used).sum(1)), _range(available.sum(1))
    return [
        f"{left} of {total} training samples are left out: every task takes {used}, as many as the smallest task that a seed "
        f"can deal, while the largest here has {available.max()}"
    ]


def _range(values: np.ndarray) -> str:
    """Over seeds."""
    low, high = values.min(), values.max()
    return str(low) if low == high else f"{low} to {high}"


def on_smallest_class(counts: np.ndarray, used: int) -> list[str]:
    """Examples that classes have beyond the class with the fewest."""
    left = int((counts - used).sum())
    if not left:
        return []
    return [f"{left} of {counts.sum()} images are left out: every class gives {used}, as many as the one with the fewest has"]


def named(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def counted(count: int, noun: str) -> str:
    """'1 file', '2 files'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
