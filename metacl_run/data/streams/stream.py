"""The interfaces of a stream: how a source is divided into the tasks of a protocol; one interface for each protocol.

A stream is settings and a source. Loading it gives a pool: the examples on one device, of which batches are gathered by index.
Neither says anything about what an example is. Shapes: R seeds (replicates), T tasks, E episodes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Episode, Samples
from metacl_run.data.streams.acting import Acting
from metacl_run.data.streams.augmentation import Augmentation
from metacl_run.data.streams.control_episodes import ControlEpisodes
from metacl_run.data.streams.feedback import Feedback
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.data.streams.units import Units
from metacl_run.scoring.objectives import CLASSIFICATION, Objective
from metacl_run.scoring.scores import Score

Rollout = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
"""(policy, inputs that describe rollouts) -> outputs; as `models.network.Rollout`."""
Split = Literal["train", "validation", "test"]


class Stream(abc.ABC):
    """Any stream. A leaf is a frozen keyword-only dataclass with the field `source`; the other fields are its settings."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as the network receives it."""

    @property
    def test_origin(self) -> str | None:
        """`SplitSource.test_origin`, where nothing is learned from the test part of the source, whatever the settings. Default:
        None, the stream itself decides what is held out."""
        return None

    @property
    def output_settings(self) -> Mapping[str, Any]:
        """The settings that decide which class of the source an output stands for. Default: there are none."""
        return {}

    @property
    def objective(self) -> Objective:
        """The loss to learn by, and the score of outputs beside targets. Default: classification."""
        return CLASSIFICATION

    @property
    def score(self) -> Score:
        """The score that the run reports. Default: the objective's; another one where a learner is scored by acting."""
        return self.objective


class Pool(abc.ABC):
    """Any loaded stream."""

    notes: Sequence[str] = ()
    """What the user should know about what was read and what was left out; a run says each note once, with its warnings."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> Pool:
        """The same pool with its tensors on `device`."""


# ------------------------------------------------------------------------------------------ protocol `continual_meta`


class EpisodesToAct(NamedTuple):
    """Episodes, and where a learner then acts."""

    episodes: Episode
    """[R, K, ...]."""
    acting: Acting
    """Its K tasks are those of the episodes."""


class ModelControl(NamedTuple):
    """Bodies to be moved by a controller that plans with a model."""

    episodes: ControlEpisodes
    """B = T * E bodies, task by task."""
    units: Units
    """[R, ...]."""
    num_episodes: int
    """E, of every task."""
    num_steps: int
    """Of an episode."""
    horizon: int
    """Steps that are planned ahead."""
    candidates: int
    """Plans that are compared."""


class EpisodePool(Pool):
    """The loaded tasks of R seeds, of which episodes are drawn."""

    task_names: list[list[str]]
    """[R][T]; the names differ between seeds where the seed decides what a task is."""

    @property
    def feedback(self) -> Feedback | None:
        """Where examples come one after another in time, the queries after the support: how a prediction becomes a part of the
        next input, for tensors with a leading [R]. A run then also says how well a learner predicts from its own predictions,
        and how it recovers after a switch, if there are `switches`. Default: None, they do not."""
        return None

    @abc.abstractmethod
    def to(self, device: torch.device) -> EpisodePool:
        """The same pool with its tensors on `device`."""

    def with_ways(self, ways: int) -> EpisodePool:
        """The same pool, whose episodes have so many classes. Default: itself, where they have none."""
        return self

    @abc.abstractmethod
    def sample(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        classes: np.ndarray | None = None,
        batches: tuple[int, int] | None = None,
    ) -> Episode:
        """Draws episodes.

        Args:
            tasks: [R, E] int, the task of every episode.
            split: the split of the task's classes; of functions that are drawn afresh each time, which draws.
            shots, queries: examples per class in the support and the query set (queries may be 0), all different.
            rngs: [R] generators; a seed's episodes depend on its own generator only.
            classes: [R, E] int, how many leading classes of the task may be drawn (a bounded replay buffer); None: all.
            batches: (inner steps, batch size): fill `Episode.batches` with draws without replacement from the support,
                reshuffled when exhausted; None: leave it empty.

        Returns:
            An Episode with leading axes [R, E] on the pool's device. Support and query lie class by class: labels
            0, 0, .., 1, 1, .. Targets of a regression are float32.
        """

    def switches(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        batches: tuple[int, int] | None = None,
    ) -> tuple[Episode, Episode] | None:
        """Draws two episodes of each of some tasks, the second under other dynamics than the first; arguments as for `sample`.
        None where one of the tasks has no others. Default: None."""
        return None

    def to_act(
        self,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        batches: tuple[int, int] | None = None,
    ) -> EpisodesToAct | None:
        """Returns episodes in which a learner acts once it has adapted to them, the same at every call. Default: None, outputs
        are compared with targets and no more.

        Args:
            split, shots, queries, batches: as for `sample`.
            rngs: [R] generators for batches.
        """
        return None

    def control(self, split: Split, rngs: Sequence[Sequence[np.random.Generator]]) -> ModelControl | None:
        """Returns bodies to be moved by a controller that plans with the learner as its model, the same at every call. Default:
        None, there are none.

        Args:
            split: the split of their dynamics.
            rngs: [R][T] generators; a seed's bodies depend on its own only.
        """
        return None


class EpisodeStream(Stream):
    """A stream for protocol `continual_meta`."""

    reports_before: ClassVar[bool] = False
    """Whether a run also reports the score before adaptation: where an output means the same in every episode."""

    ways: int
    """Classes of an episode; 1 where there are none."""
    shots: int
    """Support examples of each class."""
    queries: int
    """Query examples of each class."""

    @property
    def outputs(self) -> int:
        """Outputs that the network needs. Default: one for each class."""
        return self.ways

    @property
    def rollout(self) -> Rollout | None:
        """Where the network is a policy, what comes of acting as inputs describe it. Default: None, it predicts."""
        return None

    @property
    def network_shape(self) -> tuple[int, ...]:
        """Shape of what the network sees at once. Default: an example."""
        return self.input_shape

    @abc.abstractmethod
    def count_tasks(self) -> int:
        """Number of tasks in the stream; may list files, reads no example."""

    @abc.abstractmethod
    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Args:
            examples_per_class: most examples of one class that an episode will need (support and query together).
            replay_classes: classes in the replay buffer of each earlier task, or None; always None for a regression.
            split: the split that will be evaluated.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load(self, seeds: Sequence[int]) -> EpisodePool:
        """Reads the examples and assigns classes to tasks; seed i decides the tasks, splits and shifts of replicate i.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """


# ------------------------------------------------------------------------------------------------- protocol `online`

Scenario = Literal["domain", "class", "task"]
"""What changes from task to task and what is known (van de Ven and Tolias 2019, arXiv 1904.07734): domain-incremental, the
inputs change and the outputs stay; class-incremental, new outputs come; task-incremental, new outputs come and the task is
known, so that the outputs of other tasks are masked in training and at test."""


class SamplePool(Pool):
    """The loaded stream of R seeds and T tasks: N training samples a task, in the order in which they come.

    The training samples of a seed are numbered from 0 in that order, task after task: `lengths` says which belong to which.
    """

    task_names: list[list[str]]
    """[R][T]."""
    samples_per_task: int
    """N; of the longest task where they differ."""
    masks: Tensor | None
    """[T, outputs] bool, the outputs of each task where the task is known (task-incremental); None: all outputs always."""
    classes: OutputClasses | None = None
    """What the outputs stand for; None where they are no classes, or have no names."""
    out_of_scope: Tensor | None = None
    """[K, *input shape] test examples that belong to no class; None where the data have none."""
    acting: Acting | None = None
    """How a learner is scored by acting; None: its outputs are compared with targets."""
    augmentation: Augmentation | None = None
    """How training samples are altered at random whenever a learner observes them; None: not at all."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> SamplePool:
        """The same pool with its tensors on `device`."""

    @property
    def lengths(self) -> TaskLengths:
        """Training samples of each task, the same for all seeds. Default: all have N."""
        return TaskLengths.equal(len(self.task_names[0]), self.samples_per_task)

    @abc.abstractmethod
    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        """Gathers training samples of one replicate by number, with the axes of `index`."""

    def labels(self, replicate: int, index: np.ndarray) -> np.ndarray:
        """[N] the classes of training samples of one replicate, by number [N]. Default: as `gather` has them."""
        return np.asarray(self.gather(replicate, index).y.cpu().numpy())

    def origins(self, replicate: int) -> np.ndarray:
        """[samples] int, the example of the source that each training sample shows: equal where several tasks show one example,
        each under its own shift. Default: all differ."""
        return np.arange(self.lengths.total)

    @abc.abstractmethod
    def test(self, task: int, limit: int | None) -> list[Samples]:
        """[R] the test samples of a task, or the first `limit` of them, in an order that is random within the task.

        Replicates whose test samples are the same share one object.
        """

    def count_test(self) -> np.ndarray:
        """[R, T] int, how many test samples each task has. Default: gathers and counts them."""
        return np.stack([[len(own.y) for own in self.test(task, None)] for task in range(len(self.task_names[0]))], 1)

    def quote(self, replicate: int, index: np.ndarray) -> list[str] | None:
        """[N] training samples of one replicate, by number [N], as texts for a reader. Default: None, they are no texts."""
        return None

    def quote_test(self, replicate: int, task: int, places: np.ndarray) -> list[str] | None:
        """[N] test samples of a task in the same way, by their places [N] in `test`."""
        return None


class SampleStream(Stream):
    """A stream for protocol `online`."""

    @abc.abstractmethod
    def count_tasks(self) -> int:
        """Number of tasks in the stream; may list files, reads no example."""

    @abc.abstractmethod
    def count_outputs(self) -> int:
        """Outputs that the network needs for all tasks together."""

    @property
    def has_blurred_borders(self) -> bool:
        """Whether some training samples come with other tasks than the one they are tested in. Default: none."""
        return False

    @property
    def new_outputs(self) -> bool:
        """Whether every task brings outputs of its own and the task is not known (class-incremental): the score of a task that
        is not learned yet then says nothing, since its outputs are untrained. Default: the tasks share their outputs."""
        return False

    @property
    def task_is_known(self) -> bool:
        """Whether the learner knows at evaluation which task a sample belongs to. Default: it does not."""
        return False

    @property
    def labels_recur(self) -> bool:
        """Whether all tasks have the same labels, each for samples of its own."""
        return not (self.new_outputs or self.task_is_known)

    def input_scale(self) -> InputScale | None:
        """How inputs are scaled before a network sees them, as the pool's are; reads the examples. Default: None, they are
        not."""
        return None

    @abc.abstractmethod
    def count_samples(self) -> int:
        """Training samples of every task; of the shortest where they differ."""

    def sample_lengths(self) -> TaskLengths:
        """Training samples of each task. Default: all have `count_samples`."""
        return TaskLengths.equal(self.count_tasks(), self.count_samples())

    @abc.abstractmethod
    def check(self) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load(self, seeds: Sequence[int]) -> SamplePool:
        """Reads the examples; seed i decides the tasks, samples, their order and shifts of replicate i.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """
