"""A stream whose tasks are different data sets, brought to one shape, so that tasks really differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from metacl_run.core.bounds import Classes, Examples, Seed
from metacl_run.core.errors import nearest, require_all
from metacl_run.data.files.glyph_drawing import draw_glyphs
from metacl_run.data.files.mnist_files import mnist_catalogue, read_mnist
from metacl_run.data.files.omniglot_files import DRAWINGS, omniglot_catalogue, read_omniglot
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams.dealing import Dealing
from metacl_run.data.streams.image_data import ImageData

KNOWN = ("glyphs", "omniglot", "mnist")


@dataclass(frozen=True, kw_only=True)
class Domains(ImageData):
    """One task for each domain, in the order given; the run's seeds decide which classes are held out."""

    domains: list[str]
    """The tasks, of: glyphs (generated characters), omniglot, mnist."""
    glyph_classes: Classes
    """Characters that are generated."""
    glyph_scripts: Classes
    """Invented scripts that they belong to."""
    generator_seed: Seed
    """Decides what the scripts look like."""
    mnist_images: Annotated[Examples, Ge(2)]
    """Images of each digit that are used; MNIST has thousands."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds Omniglot and MNIST."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = next((domain for domain in self.domains if domain not in KNOWN), None)
        allowed = f"{unknown} is not one of {', '.join(KNOWN)}.{nearest(unknown or '', KNOWN)}"
        enough = f"must be at least glyph_scripts={self.glyph_scripts}"
        require_all(
            (len(self.domains) >= 1, "domains", self.domains, f"must name at least one of {', '.join(KNOWN)}"),
            (unknown is None, "domains", self.domains, allowed),
            (len(set(self.domains)) == len(self.domains), "domains", self.domains, "must all differ"),
            (self.glyph_classes >= self.glyph_scripts, "glyph_classes", self.glyph_classes, enough),
        )

    def catalogue(self) -> Catalogue:
        return _joined([self._catalogue(domain) for domain in self.domains], self.domains)

    def dealing(self) -> Dealing:
        return Dealing(num_tasks=len(self.domains), classes_per_task=None, whole_groups=True, shuffled=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, self.image_size, self.image_size

    def read(self) -> Images:
        parts = [self._read(domain) for domain in self.domains]
        catalogue = _joined([part.catalogue for part in parts], self.domains)
        return Images(catalogue=catalogue, pixels=np.concatenate([part.pixels for part in parts]))

    def _catalogue(self, domain: str) -> Catalogue:
        if domain == "omniglot":
            return omniglot_catalogue()
        if domain == "mnist":
            return mnist_catalogue(self.mnist_images)
        names = [f"glyph {number + 1}" for number in range(self.glyph_classes)]
        return Catalogue(names=names, counts=np.full(self.glyph_classes, DRAWINGS), groups=names)

    def _read(self, domain: str) -> Images:
        if domain == "omniglot":
            return read_omniglot(self.root, image_size=self.image_size, download=self.download)
        if domain == "mnist":
            return read_mnist(self.root, most=self.mnist_images, image_size=self.image_size, download=self.download)
        pixels = draw_glyphs(
            num_classes=self.glyph_classes,
            num_scripts=self.glyph_scripts,
            hands=DRAWINGS,
            image_size=self.image_size,
            seed=self.generator_seed,
        )
        return Images(catalogue=self._catalogue(domain), pixels=pixels)


def _joined(parts: list[Catalogue], groups: list[str]) -> Catalogue:
    """One catalogue, each part a group."""
    return Catalogue(
        names=[name for part in parts for name in part.names],
        counts=np.concatenate([part.counts for part in parts]),
        groups=[group for part, group in zip(parts, groups, strict=True) for _ in part.names],
    )
