"""The common settings of all streams of classes: which classes belong to which task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import Classes, Tasks
from metacl_run.core.errors import SettingError, nearest
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.source import Catalogue, LabelledSource
from metacl_run.data.streams.task_assignment import TaskAssignment


@dataclass(frozen=True, kw_only=True)
class ClassTasks:
    """The classes of a source, assigned to tasks."""

    source: LabelledSource
    num_tasks: Tasks | None
    """Tasks in the stream; null: as many as the classes fill, or one for each group."""
    tasks_from: str
    """What a task consists of: whole groups of classes, or single classes, each named by the word of the source."""
    classes_per_task: Classes | None
    """Classes of each task; null: divide all classes as evenly as possible."""
    shuffled: bool
    """Whether the seed decides the order in which classes or groups are assigned; otherwise it is the order of the source."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    def count_tasks(self) -> int:
        catalogue = self.source.catalogue()
        return self.assignment(catalogue).count_tasks(catalogue)

    def assignment(self, catalogue: Catalogue) -> TaskAssignment:
        """How the classes of the source's catalogue become tasks.

        Raises:
            SettingError: `tasks_from` is none of the source's words, or does not go with the number of tasks or classes.
        """
        whole_groups = takes_groups(self.tasks_from, catalogue)
        if whole_groups and self.classes_per_task is not None:
            allowed = f"must be null with tasks_from={self.tasks_from}: a task takes them whole"
            raise SettingError("classes_per_task", self.classes_per_task, allowed)
        if not whole_groups and self.num_tasks is None and self.classes_per_task is None:
            raise SettingError("num_tasks", None, "must be a number where classes_per_task is null")
        return TaskAssignment(
            num_tasks=self.num_tasks,
            classes_per_task=self.classes_per_task,
            whole_groups=whole_groups,
            shuffled=self.shuffled,
        )

    def assign(self, catalogue: Catalogue, seed: int) -> list[np.ndarray]:
        """[T] arrays of the classes of each task for one seed, in random order."""
        return self.assignment(catalogue).assign(catalogue, generator(Purpose.ASSIGN, seed))


def takes_groups(tasks_from: str, catalogue: Catalogue) -> bool:
    """Whether a task takes whole groups of the catalogue's. Raises SettingError where the word is none of the catalogue's."""
    words = (catalogue.group_word, catalogue.class_word)
    if tasks_from not in words:
        raise SettingError("tasks_from", tasks_from, f"must be one of {', '.join(words)}.{nearest(tasks_from, words)}")
    return tasks_from == catalogue.group_word


def check_shift(shift: str, source: LabelledSource) -> None:
    """Refuses a shift that the source does not know. Raises SettingError."""
    if shift not in source.shifts:
        raise SettingError("shift", shift, f"must be one of {', '.join(source.shifts)}.{nearest(shift, source.shifts)}")
