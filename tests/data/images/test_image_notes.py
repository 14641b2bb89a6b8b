"""Notes on images in which nothing can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.sources.source import Catalogue

PLAIN, WHITE, BLACK = np.random.default_rng(0).integers(0, 256, (1, 4, 4)), np.full((1, 4, 4), 255), np.zeros((1, 4, 4))


def notes_of(*classes: list[np.ndarray]) -> list[str]:
    """The notes on the images [channels, 4, 4] of these classes."""
    names, counts = [f"class {number}" for number in range(len(classes))], np.array([len(images) for images in classes])
    pixels = np.stack([image for images in classes for image in images]).astype(np.uint8)
    return on_pixels(Catalogue(names=names, counts=counts, groups=names), pixels)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([[PLAIN], [PLAIN]], []),
        ([[WHITE, WHITE], [WHITE]], ["3 of 3 images are of one colour (255 of 255): all of class 0, class 1"]),
        ([[WHITE, BLACK], [PLAIN]], ["2 of 3 images are of one colour each: all of class 0"]),
        ([[WHITE, PLAIN], [WHITE]], ["2 of 3 images are of one colour (255 of 255): all of class 1, some of class 0"]),
        (
            [[BLACK]] * 5 + [[PLAIN]],
            ["5 of 6 images are of one colour (0 of 255): all of class 0, class 1, class 2 and 2 more"],
        ),
        (
            [[np.arange(16).reshape(1, 4, 4)], [WHITE * 0 + 3]],
            ["1 of 2 images are of one colour (3 of 255): all of class 1", "0 and 15 of 0 to 255"],
        ),
    ],
)
def test_images_in_which_nothing_can_be_seen_are_noted(classes: list[list[np.ndarray]], expected: list[str]) -> None:
    notes = notes_of(*classes)
    assert len(notes) == len(expected)
    assert all(text in note for text, note in zip(expected, notes, strict=True))


def test_a_colour_has_three_numbers() -> None:
    (note,) = notes_of([np.stack([WHITE[0], BLACK[0], BLACK[0]])])
    assert note == "1 of 1 images are of one colour (255, 0, 0 of 255): all of class 0"
