"""Several data sets of characters as one source, all in one shape: one task for each, so that tasks really differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from metacl_run.core.bounds import MOST_NUMBERS, Classes, Examples, Seed
from metacl_run.core.errors import name_checks, require_all
from metacl_run.data.images.glyph_drawing import draw_glyphs
from metacl_run.data.images.image_notes import on_pixels
from metacl_run.data.images.image_source import ImageSource
from metacl_run.data.images.mnist_files import (
    fashion_mnist_catalogue,
    mnist_catalogue,
    read_fashion_mnist,
    read_mnist,
)
from metacl_run.data.images.omniglot_files import DRAWINGS, omniglot_catalogue, read_omniglot
from metacl_run.data.sources.source import Catalogue, LabelledExamples

KNOWN = ("glyphs", "omniglot", "mnist", "fashion_mnist")


@dataclass(frozen=True, kw_only=True)
class Domains(ImageSource):
    """The classes of all domains; every domain is a group."""

    domains: list[str]
    """Some of glyphs (generated characters), omniglot, mnist and fashion_mnist, in the order of the tasks."""
    glyph_classes: Classes
    """Number of generated characters."""
    glyph_scripts: Classes
    """Number of invented scripts to which these characters belong."""
    generator_seed: Seed
    """Decides what the scripts look like."""
    mnist_images: Annotated[Examples, Ge(2)]
    """Images of each digit that are used, and of each class of Fashion-MNIST; both have thousands."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds Omniglot, MNIST and Fashion-MNIST."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download files that are missing."""

    num_channels = 1
    has_dark_ground = True

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = f"must be at least glyph_scripts={self.glyph_scripts}"
        pixels = self.glyph_classes * DRAWINGS * self.image_size**2 if "glyphs" in self.domains else 0
        most = f"makes with image_size {pixels:.1e} pixels; at most {MOST_NUMBERS:.0e} are held"
        require_all(
            (len(self.domains) >= 1, "domains", self.domains, f"must name at least one of {', '.join(KNOWN)}"),
            *name_checks("domains", self.domains, KNOWN),
            (self.glyph_classes >= self.glyph_scripts, "glyph_classes", self.glyph_classes, enough),
            (pixels <= MOST_NUMBERS, "glyph_classes", self.glyph_classes, most),
        )

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self.domains)

    def catalogue(self) -> Catalogue:
        return _joined([self._catalogue(domain) for domain in self.domains], self.domains)

    def read_images(self) -> LabelledExamples:
        parts = [self._read(domain) for domain in self.domains]
        catalogue = _joined([part.catalogue for part in parts], self.domains)
        pixels = np.concatenate([part.x for part in parts])
        return LabelledExamples(catalogue=catalogue, x=pixels, notes=on_pixels(catalogue, pixels))

    def _catalogue(self, domain: str) -> Catalogue:
        if domain == "omniglot":
            return omniglot_catalogue()
        if domain == "mnist":
            return mnist_catalogue(self.mnist_images)
        if domain == "fashion_mnist":
            return fashion_mnist_catalogue(self.mnist_images)
        names = [f"glyph {number + 1}" for number in range(self.glyph_classes)]
        return Catalogue(names=names, counts=np.full(self.glyph_classes, DRAWINGS), groups=names)

    def _read(self, domain: str) -> LabelledExamples:
        if domain == "omniglot":
            return read_omniglot(self.root, image_size=self.image_size, download=self.download)
        if domain == "mnist":
            return read_mnist(self.root, most=self.mnist_images, image_size=self.image_size, download=self.download)
        if domain == "fashion_mnist":
            return read_fashion_mnist(self.root, most=self.mnist_images, image_size=self.image_size, download=self.download)
        pixels = draw_glyphs(
            num_classes=self.glyph_classes,
            num_scripts=self.glyph_scripts,
            writers=DRAWINGS,
            image_size=self.image_size,
            seed=self.generator_seed,
        )
        return LabelledExamples(catalogue=self._catalogue(domain), x=pixels)


def _joined(parts: list[Catalogue], groups: list[str]) -> Catalogue:
    """One catalogue, every part a group."""
    return Catalogue(
        names=[name for part in parts for name in part.names],
        counts=np.concatenate([part.counts for part in parts]),
        groups=[group for part, group in zip(parts, groups, strict=True) for _ in part.names],
        group_word="domains",
    )
