"""Few-shot episodes of classes that a list divides into training, validation and test classes, as in papers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import numpy as np

from metacl_run.core.bounds import Tasks
from metacl_run.core.errors import SettingError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.files.class_lists import path_of_lists, read_class_lists
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.streams.class_episodes import ClassEpisodeStream, TaskClasses
from metacl_run.data.streams.class_tasks import takes_groups
from metacl_run.data.streams.stream import Split
from metacl_run.data.streams.task_assignment import TaskAssignment


@dataclass(frozen=True, kw_only=True)
class ListedClassStream(ClassEpisodeStream):
    """The test classes are the same for every seed. With several tasks, the seed divides the classes of every split among them,
    as evenly as possible."""

    class_lists: str
    """The name of a shipped list, or a file (`data/files/class_lists.py`)."""
    num_tasks: Tasks
    """Tasks in the stream."""
    tasks_from: str
    """What a task consists of: whole groups of classes, or single classes, each named by the word of the source."""

    def __post_init__(self) -> None:
        super().__post_init__()
        path_of_lists(self.class_lists)

    def count_tasks(self) -> int:
        return self.num_tasks

    def check_splits(self, catalogue: Catalogue, split: Split) -> list[dict[Split, int]]:
        parts = self._parts(catalogue)
        empty = next((name for name in dict.fromkeys(("train", split)) if not len(parts[name][0])), None)
        if empty is not None:
            raise SettingError("class_lists", self.class_lists, f"lists no {empty} classes, and the {split} split is evaluated")
        assignment = self._assignment(catalogue)
        return [{name: assignment.smallest_task(part) if len(places) else 0 for name, (places, part) in parts.items()}]

    def deal(self, catalogue: Catalogue, seed: int) -> list[TaskClasses]:
        rng, assignment = generator(Purpose.ASSIGN, seed), self._assignment(catalogue)
        tasks: list[TaskClasses] = [{} for _ in range(self.num_tasks)]
        for split, (places, part) in self._parts(catalogue).items():
            owners = assignment.assign(part, rng) if len(places) else [np.array([], np.int64)] * self.num_tasks
            for task, classes in zip(tasks, owners, strict=True):
                task[split] = places[classes]
        return tasks

    def _assignment(self, catalogue: Catalogue) -> TaskAssignment:
        whole_groups = takes_groups(self.tasks_from, catalogue)
        return TaskAssignment(num_tasks=self.num_tasks, classes_per_task=None, whole_groups=whole_groups, shuffled=True)

    def _parts(self, catalogue: Catalogue) -> dict[Split, tuple[np.ndarray, Catalogue]]:
        """The classes of each split as places in the catalogue, and a catalogue of them alone."""
        members = read_class_lists(self.class_lists).members(catalogue)
        return {
            cast("Split", split): (np.array(places, np.int64), _only(catalogue, places)) for split, places in members.items()
        }


@dataclass(frozen=True, kw_only=True)
class ListedClassEpisodes(ListedClassStream):
    """Episodes of any labelled examples, of classes that a list divides into splits."""

    def variants(self, split: Split) -> None:
        return None


def _only(catalogue: Catalogue, places: list[int]) -> Catalogue:
    names, groups = ([values[place] for place in places] for values in (catalogue.names, catalogue.groups))
    return dataclasses.replace(catalogue, names=names, counts=catalogue.counts[places], groups=groups)
