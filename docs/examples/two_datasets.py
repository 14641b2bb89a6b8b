"""Two torch Datasets, a training part and a test part, as a source."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from metacl_run.data.sources.source import Catalogue, SplitExamples, SplitSource

NAMES = [f"corner {number + 1}" for number in range(8)]


def datasets() -> tuple[Dataset, Dataset]:
    """The two parts: put your own here. An item is an example, a tensor of numbers, and its class, a number from 0."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    noise = torch.Generator().manual_seed(0)

    def part(num_per_class: int) -> Dataset:
        y = torch.arange(len(NAMES)).repeat(num_per_class)
        return TensorDataset(corners[y] + 0.4 * torch.randn(len(y), 3, generator=noise), y)

    return part(100), part(25)


@cache
def read() -> tuple[np.ndarray, np.ndarray, int]:
    """All examples [N, ...] float32, their classes [N] int64, and how many of them are the training part."""
    train, test = datasets()
    x, y = zip(*[part[number] for part in (train, test) for number in range(len(part))], strict=True)
    return np.stack([np.asarray(example, np.float32) for example in x]), np.array([int(label) for label in y]), len(train)


@dataclass(frozen=True, kw_only=True)
class TwoDatasets(SplitSource):
    """The two parts of `datasets`. It has no settings; fields would be its settings."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        return read()[0].shape[1:]

    def parts(self) -> tuple[Catalogue, Catalogue]:
        _, y, num_train = read()
        counts = [np.bincount(labels, minlength=len(NAMES)) for labels in (y[:num_train], y[num_train:])]
        train, test = (Catalogue(names=NAMES, counts=own, groups=NAMES) for own in counts)
        return train, test

    def read_parts(self) -> SplitExamples:
        x, y, num_train = read()
        return SplitExamples(x=x, y=y, num_train=num_train)
