"""Characters of invented scripts, drawn by the program: no files, no network. Synthetic: never in a paper's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from metacl_run.core.bounds import MOST_NUMBERS, Classes, Seed
from metacl_run.core.errors import require_all
from metacl_run.data.images.glyph_drawing import draw_glyphs, script_sizes
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.images.image_source import ImageSource
from metacl_run.data.sources.source import Catalogue, LabelledExamples


@dataclass(frozen=True, kw_only=True)
class Glyphs(ImageSource):
    """Generated characters, grey, ink bright."""

    num_classes: Classes
    """Characters of all scripts together."""
    num_scripts: Classes
    """Invented scripts, each with its own style."""
    images_per_class: Annotated[int, Ge(2), Le(10**4)]
    """Drawings of each character, each by a different writer."""
    generator_seed: Seed
    """Decides what the scripts look like."""

    num_channels = 1
    has_dark_ground = True

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = f"must be at least num_scripts={self.num_scripts}"
        pixels = self.num_classes * self.images_per_class * self.image_size**2
        most = f"makes with images_per_class and image_size {pixels:.1e} pixels; at most {MOST_NUMBERS:.0e} are held"
        require_all(
            (self.num_classes >= self.num_scripts, "num_classes", self.num_classes, enough),
            (pixels <= MOST_NUMBERS, "num_classes", self.num_classes, most),
        )

    def catalogue(self) -> Catalogue:
        sizes = script_sizes(self.num_classes, self.num_scripts)
        return Catalogue(
            names=[f"script {i + 1} character {j + 1}" for i, size in enumerate(sizes) for j in range(size)],
            counts=np.full(self.num_classes, self.images_per_class),
            groups=[f"script {i + 1}" for i, size in enumerate(sizes) for _ in range(size)],
            group_word="scripts",
            class_word="characters",
        )

    def read_images(self) -> LabelledExamples:
        pixels = draw_glyphs(
            num_classes=self.num_classes,
            num_scripts=self.num_scripts,
            writers=self.images_per_class,
            image_size=self.image_size,
            seed=self.generator_seed,
        )
        return LabelledExamples(catalogue=self.catalogue(), x=pixels, notes=on_pixels(self.catalogue(), pixels))
