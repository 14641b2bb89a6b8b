"""What is held out for validation: worked by hand, and of every shipped stream and pool, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metacl_run.config.options import options_that_are
from metacl_run.core.errors import DataError
from metacl_run.core.types import Samples
from metacl_run.data.sources.base import Images
from metacl_run.data.streams.function_concepts import FunctionConceptPool
from metacl_run.data.streams import validation
from metacl_run.data.streams.base import ConceptStream, SampleStream, SamplePool
from metacl_run.data.streams.class_concepts import ClassConceptPool
from metacl_run.data.streams.class_samples import ClassStream
from metacl_run.data.streams.image_data import ImageData
from metacl_run.data.images.shift import make_shift
from metacl_run.data.streams.shifted_samples import LabelledImages, ShiftedImages
from metacl_run.data.streams.validation import ValidationConcepts, ValidationSamples, held_out

SMALLER: dict[type, dict[str, Any]] = {
    ClassStream: {"train_per_task": 60, "test_per_task": 60, "image_size": 8},
    ShiftedImages: {"num_tasks": 4, "train_per_task": 60, "test_per_task": 50, "shift": "permute", "image_size": 8},
    ImageData: {"image_size": 14},
}
"""By what an option is: settings that make it small, and leave an image's pixels to be told from each other."""


class Stub(SamplePool):
    """Two tasks; only the images are asked for."""

    def __init__(self, tasks: Sequence[Sequence[int]]) -> None:
        self.task_names, self.samples_per_task, self.masks = [["a", "b"]], len(tasks[0]), None
        self._images = np.concatenate(tasks)

    def to(self, device: torch.device) -> Stub:
        return self

    def images(self, replicate: int) -> np.ndarray:
        return self._images

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        raise NotImplementedError

    def test(self, task: int, limit: int | None) -> list[Samples]:
        raise AssertionError("test data")


def divided(tasks: Sequence[Sequence[int]], ranks: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What is learned from and judged on where the images, by number, come in the random order `ranks`."""

    class Drawn:
        def permutation(self, count: int) -> np.ndarray:
            assert count == len(ranks)
            return np.array(ranks)

    monkeypatch.setattr(validation, "generator", lambda purpose, seed: Drawn())
    learned, judged_on = validation._divided(Stub(tasks), 0, 7)
    return learned.tolist(), [each.tolist() for each in judged_on]


def test_a_fifth_and_at_least_one() -> None:
    assert [held_out(count) for count in (2, 5, 9, 10, 400)] == [1, 1, 1, 2, 80]


def test_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = [range(5), range(5, 10)]  # numbers and images are the same; the lowest ranks are image 3's and image 5's
    found = divided(apart, [9, 4, 6, 0, 8, 1, 2, 7, 5, 3], monkeypatch)
    assert found == ([[0, 1, 2, 4], [6, 7, 8, 9]], [[3], [5]])
    # Of ten, two. Image 5 comes first and is held out of both tasks. Image 6 is held out of the first and learned from in the
    # second, which holds out image 12 before it: the first task is not judged on it.
    shared = [range(10), range(5, 15)]
    ranks = [3, 4, 5, 6, 7, 0, 2, 8, 9, 10, 11, 12, 1, 13, 14]
    learned, judged_on = divided(shared, ranks, monkeypatch)
    assert learned == [[0, 1, 2, 3, 4, 7, 8, 9], [11, 12, 13, 14, 15, 16, 18, 19]]
    assert judged_on == [[5], [10, 17]]


def test_a_task_that_nothing_is_left_for_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = [5, 6, 7, 8, 1, 0, 2, 3, 4]  # the first holds out image 4, which the second learns from
    with pytest.raises(DataError, match=r"^protocol\.eval_split=validation: with seed 7 every image held out of task 1 is"):
        divided([range(5), range(4, 9)], ranks, monkeypatch)


# ------------------------------------------------------------------------------------------------------ shipped streams


def marked(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Images [count, *shape] that can be told from each other under any order of their pixels: three digits to the base 60,
    each in a range of its own, the rest 0."""
    pixels = np.zeros((count, int(np.prod(shape))), np.uint8)
    for digit in range(3):
        pixels[:, digit] = 60 * (digit + 1) + np.arange(count) // 60**digit % 60
    return pixels.reshape(count, *shape)


def told(x: torch.Tensor) -> list[int]:
    """The numbers of `marked` images."""
    digits = (x.flatten(1) * 255).round().long().sort(1).values[:, -3:]
    return ((digits - torch.tensor([60, 120, 180])) * torch.tensor([1, 60, 3600])).sum(1).tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten classes of six images."""
    for number in range(60):
        place = tmp_path / "images" / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(place / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def marked_data(make: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A shipped option, made small, that reads `marked` images in place of its own."""

    def build(name: str) -> Any:
        data = make(name, **({"root": str(folder)} if "image_folder" in name else {}))
        changes = next(settings for kind, settings in SMALLER.items() if isinstance(data, kind))
        own = {"root": str(folder), "test_examples": 1} if "image_folder" in name else {}
        data = make(name, **changes, **own)
        if isinstance(data, ClassStream):
            labels = np.concatenate([np.repeat(np.arange(len(half.counts)), half.counts) for half in data.halves()])
            content: Any = marked(len(labels), data.input_shape), labels
        elif isinstance(data, ShiftedImages):
            train, test = data.sizes()
            pixels, labels = marked(train + test, data.input_shape), np.arange(train + test) % 10
            content = LabelledImages(pixels[:train], labels[:train], pixels[train:], labels[train:])
        else:
            catalogue = data.catalogue()
            content = Images(catalogue=catalogue, pixels=marked(int(catalogue.counts.sum()), data.input_shape))
        monkeypatch.setattr(type(data), "read", lambda self: content)
        return data

    return build


@pytest.mark.parametrize("name", options_that_are("data", SampleStream))
def test_no_image_is_both_learned_from_and_judged_on_and_none_is_of_test(
    name: str, marked_data: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = marked_data(name)
    seen = ValidationSamples(inner=data)
    whole, stream = data.load([3, 5]), seen.load([3, 5])
    tasks, each = len(whole.task_names[0]), seen.count_samples()
    assert stream.samples_per_task == each == whole.samples_per_task - held_out(whole.samples_per_task)
    assert (stream.task_names, seen.count_tasks(), seen.count_outputs()) == (whole.task_names, tasks, data.count_outputs())
    tests = [whole.test(task, None) for task in range(tasks)]
    monkeypatch.setattr(type(whole), "test", lambda *_: pytest.fail("test data"))
    for replicate in range(2):
        learned = stream.gather(replicate, np.arange(tasks * each))
        judged = [stream.test(task, None)[replicate] for task in range(tasks)]
        own = set(told(whole.gather(replicate, np.arange(tasks * whole.samples_per_task)).x))
        of_test = {image for task in tests for image in told(task[replicate].x)}
        images, held = set(told(learned.x)), {image for task in judged for image in told(task.x)}
        assert len(of_test) >= tasks
        assert not images & held
        assert not (images | held) & of_test
        assert images | held <= own
        assert learned.task.tolist() == np.repeat(np.arange(tasks), each).tolist()
        for task, samples in enumerate(judged):
            assert (samples.task == task).all()
            assert 0 < len(samples.y) <= held_out(whole.samples_per_task)
            if not isinstance(data, ShiftedImages):  # whose tasks share images
                assert len(samples.y) == held_out(whole.samples_per_task)
            if whole.masks is not None:
                assert whole.masks[task, samples.y].all()
            part = stream.test(task, 3)[replicate]
            assert torch.equal(part.x, samples.x[:3])
            assert torch.equal(part.y, samples.y[:3])
    alone = seen.load([5])
    assert torch.equal(alone.gather(0, np.arange(each)).x, stream.gather(1, np.arange(each)).x)
    assert torch.equal(alone.test(tasks - 1, None)[0].x, stream.test(tasks - 1, None)[1].x)


def test_tasks_that_share_most_images_keep_most_of_what_is_held_out(make: Callable[..., Any]) -> None:
    stream = ValidationSamples(inner=make("rotated_digits", image_size=8)).load(
        [0]
    )  # 400 of 1000 for each of ten tasks
    sizes = [len(stream.test(task, None)[0].y) for task in range(10)]
    assert min(sizes) >= 50
    assert max(sizes) <= 80


def test_held_out_images_are_seen_under_the_shift_of_their_task(make: Callable[..., Any]) -> None:
    data = make("rotated_digits", num_tasks=3, train_per_task=50, image_size=14)
    stream, images = ValidationSamples(inner=data).load([4]), data.read()
    shift = make_shift("rotate", seeds=[4], num_tasks=3, image_size=14)
    for task in range(3):
        found = stream.test(task, 5)[0]
        sources = stream.inner.images(0)[stream.judged_on[0][task][:5]]
        expected = shift.apply(torch.from_numpy(images.train_x[sources]).float() / 255, torch.full((len(sources),), task))
        torch.testing.assert_close(found.x, expected, atol=0.51 / 255, rtol=0)
        assert found.y.tolist() == images.train_y[sources].tolist()


# -------------------------------------------------------------------------------------------------------- shipped pools


@pytest.mark.parametrize("name", options_that_are("data", ConceptStream))
def test_the_last_meta_train_concepts_are_held_out_and_those_of_meta_test_out_of_reach(
    name: str, make: Callable[..., Any], marked_data: Callable[[str], Any]
) -> None:
    """As if the meta-test concepts had never been there."""
    data = make(name) if name == "incremental_sine" else marked_data(name)
    total, whole = data.count_concepts("meta_train"), data.load([0])
    seen = ValidationConcepts(inner=data, least=2)
    left, held = seen.count_concepts("meta_train"), seen.count_concepts("meta_test")
    assert (held, left) == (max(2, total // 5), total - max(2, total // 5))
    cut: Any = (
        FunctionConceptPool(x=whole.x[:total], y=whole.y[:total], meta_train=left, together=whole.together)
        if isinstance(whole, FunctionConceptPool)
        else ClassConceptPool(pixels=whole.pixels[: whole.starts[total]], starts=whole.starts[:total], meta_train=left)
    )
    pool = seen.load([0])
    assert pool.place_matters == whole.place_matters
    for half, count in (("meta_train", left), ("meta_test", held)):
        concepts = np.array([0, count // 2, count - 1])
        index = concepts, np.array([0, 2, sum(data.count_examples()) - 1]), np.array([2, 0, 1])
        for expected, found in zip(cut.gather(half, *index), pool.gather(half, *index), strict=True):
            assert torch.equal(expected, found)
    with pytest.raises(AssertionError, match="a held-out concept in meta-training"):
        pool.gather("meta_train", np.array([left]), np.array([0]), np.array([0]))


def test_as_many_are_held_out_as_the_longest_sequence_takes(make: Callable[..., Any]) -> None:
    data = make("split_glyphs")  # 300 for meta-training
    found = {least: ValidationConcepts(inner=data, least=least).count_concepts("meta_test") for least in (1, 60, 61, 250)}
    assert found == {1: 60, 60: 60, 61: 61, 250: 250}
