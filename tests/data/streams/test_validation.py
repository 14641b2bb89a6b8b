"""What is held out for validation: worked by hand, and of every shipped stream, example by example."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metacl_run.config.options import data_for
from metacl_run.core.errors import DataError
from metacl_run.core.types import Samples
from metacl_run.data.images.image_samples import HeldOutImageSamples, SplitImageSamples
from metacl_run.data.images.shift import image_shift
from metacl_run.data.sources.source import FunctionSource, LabelledExamples, SplitExamples, SplitSource
from metacl_run.data.streams import validation
from metacl_run.data.streams.class_samples import SplitClassSamples
from metacl_run.data.streams.shifted_samples import ShiftedSamples
from metacl_run.data.streams.stream import SamplePool
from metacl_run.data.streams.validation import ValidationConcepts, ValidationSamples, count_held_out
from tests.support.text_files import write_texts

SMALLER: dict[type, dict[str, Any]] = {
    SplitClassSamples: {"train_per_task": 60, "test_per_task": 60},
    SplitImageSamples: {"train_per_task": 60, "test_per_task": 60, "image_size": 8},
    ShiftedSamples: {"num_tasks": 4, "train_per_task": 60, "test_per_task": 50, "shift": "permute", "image_size": 8},
    HeldOutImageSamples: {"image_size": 14},
}
"""By the class of a stream: settings that make it small and let images be told apart under every order of their pixels."""


class OriginsOnly(SamplePool):
    """One seed and two tasks, whose samples show examples by these numbers."""

    def __init__(self, tasks: Sequence[Sequence[int]]) -> None:
        self.task_names, self.samples_per_task, self.masks = [["a", "b"]], len(tasks[0]), None
        self._origins = np.concatenate(tasks)

    def to(self, device: torch.device) -> OriginsOnly:
        raise AssertionError("not needed")

    def origins(self, replicate: int) -> np.ndarray:
        return self._origins

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        raise AssertionError("not needed")

    def test(self, task: int, limit: int | None) -> list[Samples]:
        raise AssertionError("test data")


def divide(tasks: Sequence[Sequence[int]], ranks: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The samples to learn from and to evaluate on where the examples, by number, come in the random order `ranks`."""

    class FixedOrder:
        def permutation(self, count: int) -> np.ndarray:
            assert count == len(ranks)
            return np.array(ranks)

    monkeypatch.setattr(validation, "generator", lambda purpose, seed: FixedOrder())
    learned, evaluated = validation._divided(OriginsOnly(tasks), 0, 7)
    return [samples.tolist() for samples in learned], [samples.tolist() for samples in evaluated]


def test_a_fifth_and_at_least_one() -> None:
    assert [count_held_out(count) for count in (2, 5, 9, 10, 400)] == [1, 1, 1, 2, 80]


def test_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = [range(5), range(5, 10)]  # samples and examples have the same numbers; examples 3 and 5 have the lowest ranks
    parts = divide(apart, [9, 4, 6, 0, 8, 1, 2, 7, 5, 3], monkeypatch)
    assert parts == ([[0, 1, 2, 4], [6, 7, 8, 9]], [[3], [5]])
    # Two of ten. Example 5 comes first and is held out of both tasks. Example 6 is held out of the first task and learned from
    # in the second, which holds out example 12 before it: the first task is not evaluated on it.
    shared = [range(10), range(5, 15)]
    ranks = [3, 4, 5, 6, 7, 0, 2, 8, 9, 10, 11, 12, 1, 13, 14]
    learned, evaluated = divide(shared, ranks, monkeypatch)
    assert learned == [[0, 1, 2, 3, 4, 7, 8, 9], [11, 12, 13, 14, 15, 16, 18, 19]]
    assert evaluated == [[5], [10, 17]]


def test_a_task_that_is_left_nothing_to_be_evaluated_on_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = [5, 6, 7, 8, 1, 0, 2, 3, 4]  # the first task holds out example 4, which the second learns from
    with pytest.raises(DataError, match=r"^protocol\.eval_split=validation: with seed 7 every example held out of task 1 is"):
        divide([range(5), range(4, 9)], ranks, monkeypatch)


# ------------------------------------------------------------------------------------------------- shipped sample streams


def marked(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Images [count, *shape] that can be told apart under any order of their pixels.

    The image's number has three digits to the base 60, a pixel for each, in ranges that do not overlap; the rest is 0.
    """
    pixels = np.zeros((count, int(np.prod(shape))), np.uint8)
    for digit in range(3):
        pixels[:, digit] = 60 * (digit + 1) + np.arange(count) // 60**digit % 60
    return pixels.reshape(count, *shape)


def numbers(x: torch.Tensor) -> list[int]:
    """The numbers of `marked` images."""
    digits = (x.flatten(1) * 255).round().long().sort(1).values[:, -3:]
    return ((digits - torch.tensor([60, 120, 180])) * torch.tensor([1, 60, 3600])).sum(1).tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten classes of six images; beside the folder another for test, with two of each."""
    for number in range(80):
        place = tmp_path / ("images" if number < 60 else "test") / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(place / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def marked_stream(
    make: Callable[..., Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], Any]:
    """A shipped stream, made small, whose source reads `marked` images in place of its own images or texts."""

    def build(name: str, protocol: str) -> Any:
        own = {"root": str(folder), "test_examples": 1} if "image_folder" in name else {}
        if "train_test_images" in name:
            own = {"root": str(folder.parent), "train_folder": folder.name, "test_folder": "test"}
        if "text_file" in name:
            own = {"file": write_texts(tmp_path / "texts.csv", classes=30, texts=60)}
        stream = make(name, protocol, **own)
        changes = {**SMALLER.get(type(stream), {"image_size": 14}), "normalize": "none"}
        settings = {field.name for part in (stream, stream.source) for field in dataclasses.fields(part)}
        stream = make(name, protocol, **own, **{key: value for key, value in changes.items() if key in settings})
        source = stream.source
        if isinstance(source, SplitSource):
            train, test = source.parts()
            labels = np.concatenate([np.repeat(np.arange(len(part.counts)), part.counts) for part in (train, test)])
            x = marked(len(labels), source.example_shape)
            content: Any = SplitExamples(x=x, y=labels, num_train=int(train.counts.sum()))
            monkeypatch.setattr(type(source), "read_parts", lambda self: content)
        else:
            catalogue = source.catalogue()
            content = LabelledExamples(catalogue=catalogue, x=marked(int(catalogue.counts.sum()), source.example_shape))
            monkeypatch.setattr(type(source), "read", lambda self: content)
        return stream

    return build


SKILLS = {"planar_skills", "metaworld", "metaworld_cw10"}
"""Scored by acting: what they evaluate on are placements, and no examples."""


@pytest.mark.parametrize("name", [name for name in data_for("online") if name not in SKILLS])
def test_no_example_is_both_learned_from_and_evaluated_on_and_none_is_of_test(
    name: str, marked_stream: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_stream = marked_stream(name, "online")
    stream = ValidationSamples(inner=whole_stream)
    whole, pool = whole_stream.load([3, 5]), stream.load([3, 5])
    num_tasks, per_task, whole_per_task = len(whole.task_names[0]), stream.count_samples(), whole.samples_per_task
    most = count_held_out(whole_per_task)
    assert pool.samples_per_task == per_task == whole_per_task - most
    assert (pool.task_names, stream.count_tasks()) == (whole.task_names, num_tasks)
    assert stream.count_outputs() == whole_stream.count_outputs()
    tests = [whole.test(task, None) for task in range(num_tasks)]
    monkeypatch.setattr(type(whole), "test", lambda *_: pytest.fail("test data"))
    for replicate in range(2):
        train = pool.gather(replicate, np.arange(num_tasks * per_task))
        evaluated = [pool.test(task, None)[replicate] for task in range(num_tasks)]
        in_training_part = set(numbers(whole.gather(replicate, np.arange(num_tasks * whole_per_task)).x))
        in_test_part = {number for task in tests for number in numbers(task[replicate].x)}
        learned_from, evaluated_on = set(numbers(train.x)), {number for task in evaluated for number in numbers(task.x)}
        assert len(in_test_part) >= num_tasks
        assert not learned_from & evaluated_on
        assert not (learned_from | evaluated_on) & in_test_part
        assert learned_from | evaluated_on <= in_training_part
        assert train.task.tolist() == np.repeat(np.arange(num_tasks), per_task).tolist()
        for task, samples in enumerate(evaluated):
            assert (samples.task == task).all()
            assert 0 < len(samples.y) <= most
            if not isinstance(whole_stream, ShiftedSamples):  # whose tasks share examples
                assert len(samples.y) == most
            if whole.masks is not None:
                assert whole.masks[task, samples.y].all()
            part = pool.test(task, 3)[replicate]
            assert torch.equal(part.x, samples.x[:3])
            assert torch.equal(part.y, samples.y[:3])
    alone = stream.load([5])
    assert torch.equal(alone.gather(0, np.arange(per_task)).x, pool.gather(1, np.arange(per_task)).x)
    assert torch.equal(alone.test(num_tasks - 1, None)[0].x, pool.test(num_tasks - 1, None)[1].x)


def test_tasks_that_share_most_examples_keep_most_of_what_is_held_out(make: Callable[..., Any]) -> None:
    pool = ValidationSamples(inner=make("rotated_digits", image_size=8)).load([0])  # 400 of 1000 for each of ten tasks
    sizes = [len(pool.test(task, None)[0].y) for task in range(10)]
    assert min(sizes) >= 50
    assert max(sizes) <= 80


def test_held_out_examples_are_seen_under_the_shift_of_their_task(make: Callable[..., Any]) -> None:
    stream = make("rotated_digits", num_tasks=3, train_per_task=50, image_size=14)
    pool, examples = ValidationSamples(inner=stream).load([4]), stream.source.read_parts()
    shift = image_shift("rotate", seeds=[4], num_tasks=3, image_size=14)
    for task in range(3):
        samples = pool.test(task, 5)[0]
        origins = pool.inner.origins(0)[pool.evaluated[0][task][:5]]
        expected = shift.apply(torch.from_numpy(examples.x[origins]).float() / 255, torch.full((len(origins),), task))
        torch.testing.assert_close(samples.x, expected, atol=0.51 / 255, rtol=0)
        assert samples.y.tolist() == examples.y[origins].tolist()


# ------------------------------------------------------------------------------------------------ shipped concept streams


@pytest.mark.parametrize("name", data_for("meta_continual"))
def test_the_last_meta_train_concepts_are_held_out_and_those_of_meta_test_are_out_of_reach(
    name: str, make: Callable[..., Any], marked_stream: Callable[[str, str], Any]
) -> None:
    """The same as if the meta-test concepts had never been there."""
    inner = make(name) if name == "incremental_sine" else marked_stream(name, "meta_continual")
    total, whole = inner.count_concepts("meta_train"), inner.load([0])
    stream = ValidationConcepts(inner=inner, least=2)
    left, held_out = stream.count_concepts("meta_train"), stream.count_concepts("meta_test")
    assert (held_out, left) == (max(2, total // 5), total - max(2, total // 5))
    if isinstance(inner.source, FunctionSource):
        cut = dataclasses.replace(whole, x=whole.x[:total], y=whole.y[:total], meta_train=left)
    else:
        examples = whole.examples[: whole.starts[total]]
        cut = dataclasses.replace(whole, examples=examples, starts=whole.starts[:total], meta_train=left)
    pool = stream.load([0])
    assert pool.place_matters == whole.place_matters
    for split, count in (("meta_train", left), ("meta_test", held_out)):
        concepts = np.array([0, count // 2, count - 1])
        index = concepts, np.array([0, 2, sum(inner.count_examples()) - 1]), np.array([2, 0, 1])
        for expected, actual in zip(cut.gather(split, *index), pool.gather(split, *index), strict=True):
            assert torch.equal(expected, actual)
    with pytest.raises(AssertionError, match="a held-out concept in meta-training"):
        pool.gather("meta_train", np.array([left]), np.array([0]), np.array([0]))


def test_as_many_concepts_are_held_out_as_the_longest_sequence_takes(make: Callable[..., Any]) -> None:
    inner = make("split_glyphs", "meta_continual")  # 300 for meta-training
    counts = {least: ValidationConcepts(inner=inner, least=least).count_concepts("meta_test") for least in (1, 60, 61, 250)}
    assert counts == {1: 60, 60: 60, 61: 61, 250: 250}
