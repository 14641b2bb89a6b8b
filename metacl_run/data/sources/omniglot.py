"""Omniglot: 1623 handwritten characters of 50 alphabets, as one task or dealt to many."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from metacl_run.core.bounds import Tasks
from metacl_run.data.files.omniglot_files import omniglot_catalogue, read_omniglot
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams.base import FewShotData, SampleData, seen_by
from metacl_run.data.streams.dealing import Dealing
from metacl_run.data.streams.image_data import ImageData


@dataclass(frozen=True, kw_only=True)
class Omniglot(ImageData):
    """Both halves together; which characters are held out is decided by the run's seeds."""

    num_tasks: Tasks = seen_by(FewShotData, SampleData)
    """Tasks in the stream."""
    tasks_from: Literal["alphabets", "characters"] = seen_by(FewShotData, SampleData)
    """What is shuffled and dealt to the tasks: whole alphabets or single characters."""
    root: str = dataclasses.field(metadata={"identity": False})
    """Folder that holds the archives or folders, directly or in `omniglot` or `omniglot-py`."""
    download: bool = dataclasses.field(metadata={"identity": False})
    """Whether to download what is not there."""

    def catalogue(self) -> Catalogue:
        return omniglot_catalogue()

    def dealing(self) -> Dealing:
        whole = self.tasks_from == "alphabets"
        return Dealing(num_tasks=self.num_tasks, classes_per_task=None, whole_groups=whole, shuffled=True)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, self.image_size, self.image_size

    def read(self) -> Images:
        return read_omniglot(self.root, image_size=self.image_size, download=self.download)
