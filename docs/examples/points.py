"""Clouds of 2-dimensional points: a source that is neither images nor files."""

from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import Classes, Examples
from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource


@dataclass(frozen=True, kw_only=True)
class Points(LabelledSource):
    """Clouds of points around centres on a circle."""

    num_classes: Classes
    points_per_class: Examples

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (2,)

    def catalogue(self) -> Catalogue:
        names = [f"cloud {number + 1}" for number in range(self.num_classes)]
        return Catalogue(names=names, counts=np.full(self.num_classes, self.points_per_class), groups=names)

    def read(self) -> LabelledExamples:
        angles = np.linspace(0, 2 * np.pi, self.num_classes, endpoint=False)
        centres = np.stack([np.cos(angles), np.sin(angles)], -1).repeat(self.points_per_class, 0)
        noise = np.random.default_rng(0).normal(0, 0.03, centres.shape)
        return LabelledExamples(catalogue=self.catalogue(), x=(centres + noise).astype(np.float32))
