"""Characters of invented scripts, drawn by the program: no files, no network. Synthetic: never in a paper's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from metacl_run.core.bounds import MOST_NUMBERS, Classes, Seed, Tasks
from metacl_run.core.errors import require_all
from metacl_run.data.files.glyph_drawing import draw_glyphs, script_sizes
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams.base import FewShotData, SampleData, seen_by
from metacl_run.data.streams.dealing import Dealing
from metacl_run.data.streams.image_data import ImageData


@dataclass(frozen=True, kw_only=True)
class Glyphs(ImageData):
    """Generated characters. The scripts depend on `generator_seed`, their dealing to tasks on the run's seeds."""

    num_tasks: Tasks = seen_by(FewShotData, SampleData)
    """Tasks in the stream."""
    tasks_from: Literal["scripts", "characters"] = seen_by(FewShotData, SampleData)
    """What is shuffled and dealt to the tasks: whole scripts or single characters."""
    num_classes: Classes
    """Characters of all scripts together."""
    num_scripts: Classes
    """Invented scripts, each with a style of its own."""
    images_per_class: Annotated[int, Ge(2), Le(10**4)]
    """Hands that draw each character."""
    generator_seed: Seed
    """Decides what the scripts look like."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = f"must be at least num_scripts={self.num_scripts}"
        pixels = self.num_classes * self.images_per_class * self.image_size**2
        most = f"asks with images_per_class and image_size for {pixels:.1e} pixels, and at most {MOST_NUMBERS:.0e} are held"
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
        )

    def dealing(self) -> Dealing:
        whole = self.tasks_from == "scripts"
        return Dealing(num_tasks=self.num_tasks, classes_per_task=None, whole_groups=whole, shuffled=True)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, self.image_size, self.image_size

    def read(self) -> Images:
        pixels = draw_glyphs(
            num_classes=self.num_classes,
            num_scripts=self.num_scripts,
            hands=self.images_per_class,
            image_size=self.image_size,
            seed=self.generator_seed,
        )
        return Images(catalogue=self.catalogue(), pixels=pixels)
