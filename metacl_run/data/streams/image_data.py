"""What every source of images has in common: the settings of its episodes and tasks, and how they become streams.

Under protocol `online` all classes of a task are learned, from all their images but those kept for test; ways, shots, queries,
held-out classes and rotations play no part. Every task gives as many training images, evenly of its classes, as the smallest
task that a seed can deal has.

A data set of your own is one file with a leaf of `ImageData` (see `image_folder.py`) and one YAML with a value for
every field: say what there is (`catalogue`), how it becomes tasks (`dealing`), what an image is like (`input_shape`),
and read them (`read`).
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, get_args

import numpy as np
import torch
from annotated_types import Ge

from metacl_run.core.bounds import Classes, Examples, NonNegative, Side
from metacl_run.core.errors import SettingError, require, require_all
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams import notes
from metacl_run.data.streams.base import ConceptData, FewShotData, Half, SampleData, Scenario, Split, seen_by
from metacl_run.data.streams.class_pool import ClassPool
from metacl_run.data.streams.class_tables import Halves, Outputs, check_sizes, sample_tables
from metacl_run.data.streams.dealing import Dealing, split_sizes
from metacl_run.data.streams.image_stream import ImageStream, Members
from metacl_run.data.streams.pixel_stream import PixelStream
from metacl_run.data.streams.shift import ShiftKind, make_shift
from metacl_run.data.streams.shifted_stream import shifted_stream


@dataclass(frozen=True, kw_only=True)
class ImageData(FewShotData, SampleData, ConceptData):
    """Settings shared by all image streams."""

    ways: Annotated[Classes, Ge(2)] = seen_by(FewShotData)
    """Classes in an episode."""
    shots: Examples = seen_by(FewShotData)
    """Support images of each class."""
    queries: Examples = seen_by(FewShotData)
    """Query images of each class."""
    validation_classes: NonNegative = seen_by(FewShotData)
    """Classes of each task kept for validation: a number, or a fraction when below 1."""
    test_classes: NonNegative = seen_by(FewShotData)
    """Classes of each task kept for test: a number, or a fraction when below 1."""
    meta_test_classes: NonNegative = seen_by(ConceptData)
    """The last classes, in the order of the files, are for meta-test: a number, or a fraction when below 1."""
    test_images: Examples = seen_by(SampleData, ConceptData)
    """Images of each class kept for test: drawn by the seed under `online`, the last ones under `meta_continual`."""
    scenario: Scenario = seen_by(SampleData)
    """Which outputs the classes have, see `class_tables.Outputs`."""
    rotations: bool = seen_by(FewShotData)
    """Turn each class of a training episode by a random multiple of 90 degrees: four times the classes, as in MAML."""
    test_rotations: bool = seen_by(FewShotData)
    """The same in validation and test episodes."""
    shift: ShiftKind = seen_by(FewShotData, SampleData)
    """A transformation of its own for each task but the first."""
    image_size: Side
    """Side of the square images, in pixels."""

    @abc.abstractmethod
    def catalogue(self) -> Catalogue:
        """What there is, without reading pixels."""

    @abc.abstractmethod
    def dealing(self) -> Dealing:
        """How the classes become tasks."""

    @abc.abstractmethod
    def read(self) -> Images:
        """Reads all images.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("validation_classes", "test_classes", "meta_test_classes")}
        allowed = "must be a number of classes, or a fraction of at least 0 and below 1"
        require_all(*((share < 1 or share == int(share), name, share, allowed) for name, share in shares.items()))

    def count_tasks(self) -> int:
        return self.dealing().count_tasks(self.catalogue())

    # ------------------------------------------------------------------------------------------ protocol `continual_meta`

    def check(self, *, images_per_class: int, replay_classes: int | None, split: Split) -> None:
        catalogue = self.catalogue()
        smallest = self.dealing().smallest_task(catalogue)
        sizes = split_sizes(smallest, validation=self.validation_classes, test=self.test_classes)
        total = f"the smallest task that a seed can deal has {smallest} classes"
        if sizes["train"] < 1:
            allowed = f"leaves no class to train on: {total}, and validation_classes={self.validation_classes:g}"
            raise SettingError("test_classes", f"{self.test_classes:g}", allowed)
        if split != "train" and sizes[split] == 0:
            allowed = f"leaves no class to evaluate on: {total}, and the {split} split was asked for; 0.2 takes a fifth of them"
            raise SettingError(f"{split}_classes", f"{getattr(self, f'{split}_classes'):g}", allowed)
        for part in dict.fromkeys(("train", split)):
            most = f"must be at most {sizes[part]}: {total}, {sizes[part]} of them for {part}"
            require(self.ways <= sizes[part], "ways", self.ways, most)
        if replay_classes is not None:
            most = f"must be at most the {replay_classes} classes of each earlier task that replay keeps"
            require(self.ways <= replay_classes, "ways", self.ways, most)
        fewest = int(np.argmin(catalogue.counts))
        found = f"class {catalogue.names[fewest]} has {catalogue.counts[fewest]} images"
        most = f"with queries={self.queries} an episode takes up to {images_per_class} images of a class, but {found}"
        require(images_per_class <= catalogue.counts[fewest], "shots", self.shots, most)

    def load(self, seeds: Sequence[int]) -> ImageStream:
        images = self.read()
        dealt = [self._deal(images.catalogue, seed) for seed in seeds]
        turned: dict[Split, bool] = {
            "train": self.rotations,
            "validation": self.test_rotations,
            "test": self.test_rotations,
        }
        used = self.dealing().count_classes(images.catalogue)
        return ImageStream(
            notes=[*images.notes, *notes.on_pixels(images), *notes.on_unused_classes(images.catalogue, used)],
            task_names=_task_names(images.catalogue, dealt),
            ways=self.ways,
            pixels=torch.from_numpy(images.pixels),
            counts=images.catalogue.counts,
            members={
                split: Members.of([[self._split(task)[split] for task in tasks] for tasks in dealt], turned=turned[split])
                for split in get_args(Split)
            },
            shift=make_shift(self.shift, seeds=seeds, num_tasks=len(dealt[0]), image_size=self.image_size),
        )

    def _split(self, task: np.ndarray) -> dict[Split, np.ndarray]:
        """Cuts a task's classes, which are in random order, into its splits."""
        sizes = split_sizes(len(task), validation=self.validation_classes, test=self.test_classes)
        train, rest = np.split(task, [sizes["train"]])
        validation, test = np.split(rest, [sizes["validation"]])
        return {"train": train, "validation": validation, "test": test}

    # -------------------------------------------------------------------------------------------------- protocol `online`

    @property
    def new_outputs(self) -> bool:
        return self.scenario == "class"

    def count_outputs(self) -> int:
        return self._outputs(self.catalogue()).count()

    def count_samples(self) -> int:
        catalogue = self.catalogue()
        return min(self.dealing().bounds(catalogue, catalogue.counts - self.test_images)[0])

    def check_samples(self) -> None:
        catalogue = self.catalogue()
        self._check_test_images()
        check_sizes(self.scenario, self.dealing().smallest_task(catalogue))
        left, most = self.count_samples(), max(self._outputs(catalogue).most)
        enough = (
            f"leaves {left} images to learn from to the smallest task, hence to every task, and one may have {most} classes"
        )
        require(left >= most, "test_images", self.test_images, enough)

    def load_samples(self, seeds: Sequence[int]) -> PixelStream:
        images = self.read()
        outputs, ends = self._outputs(images.catalogue), np.cumsum(images.catalogue.counts)

        def halves(index: int, rng: np.random.Generator) -> Halves:
            rows = rng.permutation(np.arange(ends[index] - images.catalogue.counts[index], ends[index]))
            return rows[self.test_images :], rows[: self.test_images]

        dealt = [self._deal(images.catalogue, seed) for seed in seeds]
        train, test = sample_tables(
            dealt,
            seeds=seeds,
            outputs=outputs,
            halves=halves,
            train_per_task=self.count_samples(),
            test_per_task=None,
        )
        available = [[(images.catalogue.counts[task] - self.test_images).sum() for task in tasks] for tasks in dealt]
        used = self.dealing().count_classes(images.catalogue)
        stream = shifted_stream(
            self.shift,
            seeds=seeds,
            task_names=_task_names(images.catalogue, dealt),
            masks=outputs.masks(),
            pixels=torch.from_numpy(images.pixels),
            train=train,
            test=test,
        )
        left_out = [
            *notes.on_unused_classes(images.catalogue, used),
            *notes.on_smallest_task(np.array(available), self.count_samples()),
        ]
        return dataclasses.replace(stream, notes=[*images.notes, *notes.on_pixels(images), *left_out])

    def _outputs(self, catalogue: Catalogue) -> Outputs:
        dealing = self.dealing()
        _, most = dealing.bounds(catalogue, np.ones(len(catalogue.names), np.int64))
        return Outputs(scenario=self.scenario, most=most, total=dealing.count_classes(catalogue))

    # ------------------------------------------------------------------------------------------ protocol `meta_continual`

    def count_concepts(self, half: Half) -> int:
        total, asked = len(self.catalogue().names), self.meta_test_classes
        meta_test = round(asked * total) if asked < 1 else int(asked)
        return meta_test if half == "meta_test" else total - meta_test

    def count_examples(self) -> tuple[int, int]:
        return int(self.catalogue().counts.min()) - self.test_images, self.test_images

    def outputs_for(self, most: int) -> int:
        return most

    def check_concepts(self, together: int) -> None:
        total = len(self.catalogue().names)
        leaves = f"must leave at least one of the {total} classes to each of meta-training and meta-test"
        counts = self.count_concepts("meta_train"), self.count_concepts("meta_test")
        require(min(counts) >= 1, "meta_test_classes", self.meta_test_classes, leaves)
        self._check_test_images()

    def load_concepts(self) -> ClassPool:
        images = self.read()
        counts = images.catalogue.counts
        return ClassPool(
            notes=[*images.notes, *notes.on_pixels(images), *notes.on_smallest_class(counts, sum(self.count_examples()))],
            pixels=torch.from_numpy(images.pixels),
            starts=np.cumsum(counts) - counts,
            meta_train=self.count_concepts("meta_train"),
        )

    # ---------------------------------------------------------------------------------------------------------------- all

    def _check_test_images(self) -> None:
        """Refuses to keep all images of a class for test."""
        catalogue = self.catalogue()
        fewest = int(np.argmin(catalogue.counts))
        least = f"must be less than the {catalogue.counts[fewest]} images of class {catalogue.names[fewest]}"
        require(self.test_images < catalogue.counts[fewest], "test_images", self.test_images, least)

    def _deal(self, catalogue: Catalogue, seed: int) -> list[np.ndarray]:
        return self.dealing().deal(catalogue, generator(Purpose.DEAL, seed))


def _task_names(catalogue: Catalogue, dealt: Sequence[Sequence[np.ndarray]]) -> list[list[str]]:
    return [[_task_name(catalogue, task, number) for number, task in enumerate(tasks)] for tasks in dealt]


def _task_name(catalogue: Catalogue, task: np.ndarray, number: int) -> str:
    """The task's groups where it has some to itself, else its number."""
    groups = list(dict.fromkeys(catalogue.groups[index] for index in np.sort(task)))
    shared = len(task) < sum(group in groups for group in catalogue.groups)
    if shared or len(groups) == len(set(catalogue.groups)) > 1 or len(groups) == len(task):
        return f"task {number + 1}"
    names = [group.replace("_", " ") for group in groups]
    return " + ".join(names) if len(names) <= 2 else f"{names[0]} + {len(names) - 1} more"
