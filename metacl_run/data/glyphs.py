"""Characters of invented scripts, drawn by the program: no files, no network. Synthetic: never in a paper's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from metacl_run.data.base import FewShotData, SampleData, seen_by
from metacl_run.data.catalogue import Catalogue, Images
from metacl_run.data.dealing import Dealing
from metacl_run.data.glyph_drawing import draw_glyphs, script_sizes
from metacl_run.data.image_data import ImageData
from metacl_run.errors import require


@dataclass(frozen=True, kw_only=True)
class Glyphs(ImageData):
    """Generated characters. The scripts depend on `generator_seed`, their dealing to tasks on the run's seeds."""

    num_tasks: int = seen_by(FewShotData, SampleData)
    """Tasks in the stream."""
    tasks_from: Literal["scripts", "characters"] = seen_by(FewShotData, SampleData)
    """What is shuffled and dealt to the tasks: whole scripts or single characters."""
    num_classes: int
    """Characters of all scripts together."""
    num_scripts: int
    """Invented scripts, each with a style of its own."""
    images_per_class: int
    """Hands that draw each character."""
    generator_seed: int
    """Decides what the scripts look like."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.num_tasks >= 1, "num_tasks", self.num_tasks, "must be at least 1")
        sources = ("scripts", "characters")
        require(self.tasks_from in sources, "tasks_from", self.tasks_from, f"must be one of {', '.join(sources)}")
        require(self.num_scripts >= 1, "num_scripts", self.num_scripts, "must be at least 1")
        enough = f"must be at least num_scripts={self.num_scripts}"
        require(self.num_classes >= self.num_scripts, "num_classes", self.num_classes, enough)
        require(self.images_per_class >= 2, "images_per_class", self.images_per_class, "must be at least 2")
        require(self.generator_seed >= 0, "generator_seed", self.generator_seed, "must be at least 0")

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
