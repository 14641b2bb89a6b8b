"""The embedded stand-in for MNIST: ten characters of an invented script, drawn by many writers. Synthetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import MOST_NUMBERS, Examples, Seed
from metacl_run.core.errors import require
from metacl_run.data.images.glyph_drawing import draw_glyphs
from metacl_run.data.images.image_source import SplitImageSource
from metacl_run.data.sources.source import Catalogue, SplitExamples

DIGITS = 10


@dataclass(frozen=True, kw_only=True)
class GeneratedDigits(SplitImageSource):
    """Ten generated characters, grey, ink bright. Nothing to download; never in a paper's table.

    Attributes:
        train_hands, test_hands: writers of each character in the training part and in the test part; each draws it once.
        generator_seed: decides what the characters look like.
    """

    train_hands: Examples
    test_hands: Examples
    generator_seed: Seed

    num_channels = 1
    has_dark_ground = True

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = DIGITS * (self.train_hands + self.test_hands) * self.image_size**2
        most = f"makes with test_hands and image_size {pixels:.1e} pixels; at most {MOST_NUMBERS:.0e} are held"
        require(pixels <= MOST_NUMBERS, "train_hands", self.train_hands, most)

    def parts(self) -> tuple[Catalogue, Catalogue]:
        train, test = (self._catalogue(writers) for writers in (self.train_hands, self.test_hands))
        return train, test

    def read_split_images(self) -> SplitExamples:
        writers, side = self.train_hands + self.test_hands, self.image_size
        drawings = draw_glyphs(
            num_classes=DIGITS, num_scripts=1, writers=writers, image_size=side, seed=self.generator_seed
        ).reshape(DIGITS, writers, 1, side, side)
        labels = np.arange(DIGITS)[:, None].repeat(writers, 1)
        parts = slice(None, self.train_hands), slice(self.train_hands, None)
        x = np.concatenate([drawings[:, part].reshape(-1, 1, side, side) for part in parts])
        y = np.concatenate([labels[:, part].reshape(-1) for part in parts])
        return SplitExamples(x=x, y=y, num_train=DIGITS * self.train_hands)

    @staticmethod
    def _catalogue(writers: int) -> Catalogue:
        names = [f"digit {digit}" for digit in range(DIGITS)]
        return Catalogue(names=names, counts=np.full(DIGITS, writers), groups=["digits"] * DIGITS)
