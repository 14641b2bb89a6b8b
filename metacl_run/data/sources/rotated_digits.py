"""The embedded stand-in for rotated MNIST: ten characters of an invented script, written by many hands. Synthetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import MOST_NUMBERS, Examples, Seed
from metacl_run.core.errors import require
from metacl_run.data.files.glyph_drawing import draw_glyphs
from metacl_run.data.streams.shifted_images import LabelledImages, ShiftedImages

DIGITS = 10


@dataclass(frozen=True, kw_only=True)
class RotatedDigits(ShiftedImages):
    """Ten generated characters; nothing to download, never in a paper's table.

    Attributes:
        train_hands, test_hands: how many hands write each character for the training and for the test half.
        generator_seed: decides what the characters look like.
    """

    train_hands: Examples
    test_hands: Examples
    generator_seed: Seed

    def __post_init__(self) -> None:
        pixels = DIGITS * (self.train_hands + self.test_hands) * self.image_size**2
        most = f"asks with test_hands and image_size for {pixels:.1e} pixels, and at most {MOST_NUMBERS:.0e} are held"
        require(pixels <= MOST_NUMBERS, "train_hands", self.train_hands, most)

    def sizes(self) -> tuple[int, int]:
        return DIGITS * self.train_hands, DIGITS * self.test_hands

    def read(self) -> LabelledImages:
        hands = self.train_hands + self.test_hands
        drawn = draw_glyphs(
            num_classes=DIGITS, num_scripts=1, hands=hands, image_size=self.image_size, seed=self.generator_seed
        )
        drawn = drawn.reshape(DIGITS, hands, 1, self.image_size, self.image_size)
        labels = np.arange(DIGITS)[:, None].repeat(hands, 1)
        train, test = slice(None, self.train_hands), slice(self.train_hands, None)
        parts = [(drawn[:, half].reshape(-1, *drawn.shape[2:]), labels[:, half].reshape(-1)) for half in (train, test)]
        return LabelledImages(*parts[0], *parts[1])
