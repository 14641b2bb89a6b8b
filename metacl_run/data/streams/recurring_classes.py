"""Recurring tasks, each of some classes of a domain: the stream of labelled examples for protocol `osaka`.

A domain is a group of the source's classes: a data set, a script. Whenever a task begins, its classes and their places among
the outputs are drawn anew from the domain (Caccia et al. 2020, arXiv 2003.05856, section 5.1).

Differences from the released code:
 1. The examples of a batch are all different; in that code they are drawn with replacement.
 2. The last `validation_examples` of every class are kept for choosing settings; in that code, settings are chosen on the
    reported stream.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from metacl_run.core.bounds import Classes, Examples, ExamplesFromZero, Positive
from metacl_run.core.errors import SettingError, require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.source import Catalogue, LabelledSource, inputs_of
from metacl_run.data.sources.task_shift import NO_SHIFT
from metacl_run.data.streams.episode_pool import ClassEpisodePool, Members
from metacl_run.data.streams.recurring_stream import RecurringPool, RecurringStream, StreamPart, Visits, visited_task
from metacl_run.data.streams.sampling import draw_distinct
from metacl_run.data.streams.task_assignment import count_of_share, items_of


@dataclass(frozen=True, kw_only=True)
class RecurringClasses(RecurringStream):
    """A task consists of `ways` classes of a domain."""

    source: LabelledSource
    ways: Annotated[Classes, Ge(2)]
    """Classes of a task."""
    shots: Examples
    """Examples of each class in a batch, and in the support set of an episode of pre-training."""
    queries: Examples
    """Query examples of each class in an episode of pre-training."""
    pretrain_classes: Positive
    """Classes of the first domain that pre-training sees: a number, or a fraction when below 1. The stream has all classes."""
    validation_examples: ExamplesFromZero
    """Examples of each class kept for validation streams, the last ones."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def outputs(self) -> int:
        return self.ways

    @property
    def batch_size(self) -> int:
        return self.ways * self.shots

    def domains(self) -> list[str]:
        return [name.replace("_", " ") for name in dict.fromkeys(self.source.catalogue().groups)]

    def check(self, *, pretrains: bool, part: StreamPart) -> None:
        catalogue = self.source.catalogue()
        self.chances()
        sizes = {name: len(classes) for name, classes in zip(self.domains(), _members(catalogue), strict=True)}
        fewest = min(sizes, key=lambda name: sizes[name])
        require(self.ways <= sizes[fewest], "ways", self.ways, f"must be at most {sizes[fewest]}, the classes of {fewest}")
        smallest = int(np.argmin(catalogue.counts))
        count, name = int(catalogue.counts[smallest]), catalogue.names[smallest]
        left = count - self.validation_examples
        has = f"class {name} has {count} examples, of which validation_examples={self.validation_examples} are kept"
        if part == "validation":
            most = f"must be at least shots={self.shots} to show a validation stream"
            require(self.validation_examples >= self.shots, "validation_examples", self.validation_examples, most)
        require(self.shots <= left, "shots", self.shots, f"must be at most {left}: {has}")
        if pretrains:
            most = f"must be at most {left - self.shots} beside shots={self.shots}: {has}"
            require(self.queries <= left - self.shots, "queries", self.queries, most)
            first, total = next(iter(sizes.items()))
            learned = count_of_share(self.pretrain_classes, total)
            if not self.ways <= learned <= total:
                allowed = f"gives {learned} of the {total} classes of {first}; must give at least ways={self.ways} of them"
                raise SettingError("pretrain_classes", f"{self.pretrain_classes:g}", allowed)

    def load(self, seeds: Sequence[int], *, steps: int, part: StreamPart) -> RecurringClassPool:
        examples = self.source.read()
        catalogue = examples.catalogue
        members = _members(catalogue)
        visits = Visits.of_seeds(seeds, steps, stay=self.stay, shares=self.chances(), part=part)
        rest = _Part.of(examples.x, catalogue.counts, slice(0, -self.validation_examples or None))
        of_stream = rest
        if part == "validation":
            of_stream = _Part.of(examples.x, catalogue.counts, slice(-self.validation_examples, None))
        return RecurringClassPool(
            notes=examples.notes,
            seeds=list(seeds),
            domain_names=self.domains(),
            visits=visits,
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            examples=of_stream.x,
            counts=of_stream.counts,
            classes=[self._classes(seed, visits, place, members, part) for place, seed in enumerate(seeds)],
            pretraining=self._pretraining(seeds, rest, members[0]),
        )

    def _classes(
        self, seed: int, visits: Visits, replicate: int, members: Sequence[np.ndarray], part: StreamPart
    ) -> np.ndarray:
        """[V, W] the classes of the task of every visit, in the order of their outputs."""
        chosen = []
        for visit, domain in enumerate(visits.domain_of_visits(replicate)):
            uniforms = visited_task(seed, visit, part).random(self.ways)
            chosen.append(members[domain][draw_distinct(uniforms, np.array(len(members[domain])))])
        return np.stack(chosen)

    def _pretraining(self, seeds: Sequence[int], rest: _Part, first: np.ndarray) -> ClassEpisodePool:
        """The pool of episodes of the first domain, of which every seed takes its own classes."""
        learned = count_of_share(self.pretrain_classes, len(first))
        own = [[first[generator(Purpose.ASSIGN, seed).permutation(len(first))[:learned]]] for seed in seeds]
        return ClassEpisodePool(
            task_names=[["pre-training"]] * len(seeds),
            ways=self.ways,
            examples=rest.x,
            counts=rest.counts,
            members={"train": Members.of(own)},
            variants={"train": None},
            shift=NO_SHIFT,
        )


@dataclass(frozen=True)
class _Part:
    """Some of the examples of every class."""

    x: Tensor
    """[N, ...] class by class."""
    counts: np.ndarray
    """[C]."""

    @classmethod
    def of(cls, x: np.ndarray, counts: np.ndarray, which: slice) -> _Part:
        starts = np.cumsum(counts) - counts
        rows = [np.arange(start, start + count)[which] for start, count in zip(starts, counts, strict=True)]
        return cls(torch.from_numpy(x[np.concatenate(rows)]), np.array([len(own) for own in rows]))


def _members(catalogue: Catalogue) -> list[np.ndarray]:
    """[D] the classes of every domain."""
    return items_of(catalogue, whole_groups=True)


@dataclass(frozen=True, kw_only=True)
class RecurringClassPool(RecurringPool):
    """Draws batches by index from examples in memory. W ways, K shots, V visits."""

    notes: Sequence[str]
    seeds: Sequence[int]
    domain_names: list[str]
    visits: Visits
    ways: int
    shots: int
    queries: int
    examples: Tensor
    """[N, ...] what the stream shows, class by class."""
    counts: np.ndarray
    """[C] examples of each class."""
    classes: Sequence[np.ndarray]
    """[R] arrays [V, W], the classes of the task of every visit."""
    pretraining: ClassEpisodePool

    def to(self, device: torch.device) -> RecurringClassPool:
        same = self.examples is self.pretraining.examples
        pretraining = self.pretraining.to(device)
        examples = pretraining.examples if same else self.examples.to(device)
        return dataclasses.replace(self, examples=examples, pretraining=pretraining)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rows = []
        for replicate, seed in enumerate(self.seeds):
            chosen = self.classes[replicate][self.visits.number[replicate, step]]
            uniforms = generator(Purpose.STEP_EXAMPLES, seed, step).random((self.ways, self.shots))
            starts = np.cumsum(self.counts)[chosen] - self.counts[chosen]
            rows.append(starts[:, None] + draw_distinct(uniforms, self.counts[chosen]))
        (index,) = upload([np.stack(rows)], self.examples.device)
        x = inputs_of(self.examples.index_select(0, index.flatten()))
        y = torch.arange(self.ways, device=x.device).repeat_interleave(self.shots)
        return x.view(len(self.seeds), -1, *x.shape[1:]), y.expand(len(self.seeds), -1).contiguous()

    def episodes(self, count: int, rngs: Sequence[np.random.Generator]) -> Episode:
        tasks = np.zeros((len(rngs), count), np.int64)
        return self.pretraining.sample(tasks, "train", shots=self.shots, queries=self.queries, rngs=rngs)
