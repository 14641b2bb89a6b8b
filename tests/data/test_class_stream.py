"""Streams of classes: what is dealt, labelled, masked and refused, on sources whose images carry their own number."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.config.load import fill
from metacl_run.core.errors import ConfigError, SettingError, prefix_field_errors
from metacl_run.data.sources.catalogue import Catalogue, Images
from metacl_run.data.streams.base import SampleStream
from metacl_run.data.streams.class_stream import ClassStream
from metacl_run.data.streams.class_tables import Outputs, draw_evenly
from metacl_run.data.streams.dealing import Dealing
from metacl_run.data.streams.image_data import ImageData
from metacl_run.models.base import Network

SIDE = 8


def numbered(count: int, channels: int = 1) -> np.ndarray:
    """[count, channels, SIDE, SIDE] uint8 images; the first two pixels are the image's number."""
    pixels = np.zeros((count, channels, SIDE, SIDE), np.uint8)
    pixels[..., 0, 0], pixels[..., 0, 1] = (part[:, None] for part in divmod(np.arange(count), 256))
    return pixels


def numbers(x: torch.Tensor) -> np.ndarray:
    """The numbers of images [..., channels, SIDE, SIDE] in [0, 1]."""
    high, low = ((x[..., 0, 0, place] * 255).round().long() for place in (0, 1))
    return (256 * high + low).numpy()


@dataclass(frozen=True, kw_only=True)
class Toy(ClassStream):
    """Seven classes of 12 to 18 training and 4 to 10 test images, which lie in no order within a half."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, SIDE, SIDE

    def halves(self) -> tuple[Catalogue, Catalogue]:
        names = [f"class {number}" for number in range(7)]
        train, test = (Catalogue(names=names, counts=first + np.arange(7), groups=names) for first in (12, 4))
        return train, test

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        labels = [rng.permutation(np.repeat(np.arange(7), half.counts)) for half in self.halves()]
        return numbered(sum(map(len, labels))), np.concatenate(labels)


TRAIN = sum(range(12, 19))
"""Images in the toy's training half."""
SETTINGS: dict[str, Any] = {
    **{"num_tasks": 3, "classes_per_task": 2, "shuffled": True, "scenario": "class", "image_size": SIDE},
    **{"train_per_task": None, "test_per_task": None},
}


def toy(**changes: Any) -> Toy:
    return fill(Toy, {**SETTINGS, **changes}, "data")


def shown(stream: SampleStream, replicate: int, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and labels of a task's training images, in the order they come."""
    count = stream.samples_per_task
    samples = stream.gather(replicate, np.arange(task * count, (task + 1) * count))
    assert (samples.task == task).all()
    return numbers(samples.x), samples.y.numpy()


def examined(stream: SampleStream, replicate: int, task: int) -> tuple[np.ndarray, np.ndarray]:
    samples = stream.test(task, None)[replicate]
    assert (samples.task == task).all()
    return numbers(samples.x), samples.y.numpy()


# --------------------------------------------------------------------------------------------------------------- drawing


def test_pools_give_in_turn_what_they_have() -> None:
    pools = [np.arange(3), 10 + np.arange(9), 20 + np.arange(1), 30 + np.arange(9)]
    for count, allowed in ((None, [3, 9, 1, 9]), (4, [1, 1, 1, 1]), (10, [3, 3, 1, 3]), (16, [3, 6, 1, 6])):
        rows, origin = draw_evenly(pools, count, np.random.default_rng(3))
        assert np.bincount(origin, minlength=4).tolist() == allowed
        assert len(set(rows.tolist())) == len(rows)
        assert (rows // 10 == origin).all()
    uneven = [np.bincount(draw_evenly(pools, 9, np.random.default_rng(seed))[1], minlength=4) for seed in range(60)]
    assert {tuple(each) for each in uneven} == {(3, 2, 1, 3), (3, 3, 1, 2), (2, 3, 1, 3)}  # the seed says who gets one less


def test_the_order_and_the_choice_are_random() -> None:
    pools = [np.arange(40), 40 + np.arange(40)]
    first, second = (draw_evenly(pools, 20, np.random.default_rng(seed))[0] for seed in range(2))
    assert set(first) != set(second)
    origins = np.stack([draw_evenly(pools, None, np.random.default_rng(seed))[1] for seed in range(400)])
    assert np.abs(origins.mean(0) - 0.5).max() < 0.12  # five standard deviations: no place belongs to a class
    assert abs((origins[:, 1:] == origins[:, :-1]).mean() - 39 / 79) < 0.02  # nor do the classes take turns


# --------------------------------------------------------------------------------------------------------------- outputs


def test_outputs_by_hand() -> None:
    sizes, most = [2, 3, 1], [3, 3, 2]
    domain, classes, task = (Outputs(scenario=scenario, most=most, total=6) for scenario in ("domain", "class", "task"))
    assert [each.count() for each in (domain, classes, task)] == [3, 6, 8]
    assert [each.first(sizes).tolist() for each in (domain, classes, task)] == [[0, 0, 0], [0, 2, 5], [0, 3, 6]]
    assert domain.masks() is classes.masks() is None
    assert task.masks().int().tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
@pytest.mark.parametrize("shuffled", [True, False])
def test_labels_are_those_of_the_dealt_classes(scenario: str, shuffled: bool) -> None:
    data, seeds = toy(scenario=scenario, shuffled=shuffled), [0, 1, 2]
    data.check_samples()
    stream, classes = data.load_samples(seeds), data.read()[1]
    assert stream.samples_per_task == data.count_samples() == 12 + 13  # of the two smallest classes
    dealt = []
    for replicate in range(3):
        for task in range(3):
            meant: dict[int, int] = {}
            for find, half in ((shown, False), (examined, True)):
                rows, labels = find(stream, replicate, task)
                assert len(set(rows.tolist())) == len(rows)
                assert ((rows >= TRAIN) == half).all()  # the source's halves stay what they are
                assert set(labels) == ({0, 1} if scenario == "domain" else {2 * task, 2 * task + 1})
                for row, label in zip(rows, labels, strict=True):
                    assert meant.setdefault(int(label), int(classes[row])) == classes[row]
            assert list(np.bincount(classes[examined(stream, replicate, task)[0]])[list(meant.values())]) == [
                4 + meant[label] for label in meant
            ]
            drawn = np.bincount(shown(stream, replicate, task)[1])[list(meant)]
            assert drawn.sum() == 25
            assert abs(drawn[0] - drawn[1]) <= 1
            dealt.append([meant[label] for label in sorted(meant)])
        assert len(set(itertools.chain(*dealt[-3:]))) == 6
    if shuffled:
        assert dealt[:3] != dealt[3:6]
    else:
        assert dealt == [[0, 1], [2, 3], [4, 5]] * 3
        assert stream.task_names[0] == ["class 0 + class 1", "class 2 + class 3", "class 4 + class 5"]
    assert data.count_outputs() == (2 if scenario == "domain" else 6)
    if scenario == "task":
        assert stream.masks.shape == (3, 6)
    else:
        assert stream.masks is None


def test_a_replicate_is_what_its_seed_loads_alone() -> None:
    data = toy(train_per_task=9, test_per_task=5)
    together = data.load_samples([4, 7])
    for replicate, seed in enumerate((4, 7)):
        alone = data.load_samples([seed])
        assert alone.task_names == [together.task_names[replicate]]
        for task in range(3):
            for find in (shown, examined):
                for a, b in zip(find(together, replicate, task), find(alone, 0, task), strict=True):
                    np.testing.assert_array_equal(a, b)
            assert len(examined(alone, 0, task)[0]) == 5
    assert not np.array_equal(shown(together, 0, 0)[0], shown(together, 1, 0)[0])


def test_all_classes_as_evenly_as_can_be_and_as_many_tasks_as_fill() -> None:
    data = toy(classes_per_task=None, scenario="task")
    stream = data.load_samples([0])
    assert [len(set(examined(stream, 0, task)[1])) for task in range(3)] == [3, 2, 2]
    assert stream.masks.sum(1).tolist() == [3, 2, 2]
    assert data.count_samples() == 12 + 13  # of a task of two; a task of three gives as many
    assert np.bincount(shown(stream, 0, 0)[1]).tolist() in ([9, 8, 8], [8, 9, 8], [8, 8, 9])
    assert toy(num_tasks=None, classes_per_task=3).count_tasks() == 2


@pytest.mark.parametrize("limit", [None, 3])
def test_masked_outputs_cannot_win(limit: int | None) -> None:
    data = toy(scenario="task")
    stream = data.load_samples([0])
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, 6))
    params = {name: 100 * value.detach() for name, value in module.named_parameters()}
    free, masked = Network(module, 6), Network(module, 6, masks=stream.masks)
    strayed = 0
    for task in range(3):
        x, _, tasks = stream.test(task, limit)[0]
        strayed += int((free(params, x, tasks).argmax(-1) // 2 != task).sum())
        assert (masked(params, x, tasks).argmax(-1) // 2 == task).all()
        assert masked(params, x, tasks).softmax(-1)[:, stream.masks[task]].sum(-1).allclose(torch.ones(len(x)))
    assert strayed > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 0}, "num_tasks=0: must be at least 1, or null"),
        ({"num_tasks": None, "classes_per_task": None}, "num_tasks=null: must be given where classes_per_task is null"),
        ({"num_tasks": 4}, "num_tasks=4: must be at most 3: there are 7 classes, and classes_per_task=2"),
        ({"classes_per_task": 8}, "classes_per_task=8: must be at most the 7 classes"),
        ({"train_per_task": 26}, r"train_per_task=26: must be null, or 2 \(the classes of a task\) to 25 "),
        ({"train_per_task": 1}, "train_per_task=1: must be null, or 2 "),
        ({"test_per_task": 10}, "test_per_task=10: must be null, or 2 .* to 9 "),
        ({"image_size": 7}, "image_size=7: must be at least 8"),
        ({"scenario": "tasks"}, "scenario=tasks: must be one of domain, class, task"),
        ({"classes_per_task": 1, "scenario": "task"}, "scenario=task: must be class where a task may have one class"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"), prefix_field_errors("data"):
        toy(**changes).check_samples()


# ------------------------------------------------------------------------------------------- few-shot sources as a stream


@dataclass(frozen=True, kw_only=True)
class ToyImages(ImageData):
    """Four groups of 1, 2, 2 and 4 classes with 6, 7, .. 14 images; dealt whole to two tasks."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, SIDE, SIDE

    def catalogue(self) -> Catalogue:
        groups = [group for group, size in zip("abcd", (1, 2, 2, 4), strict=True) for _ in range(size)]
        return Catalogue(names=[f"class {number}" for number in range(9)], counts=6 + np.arange(9), groups=groups)

    def dealing(self) -> Dealing:
        return Dealing(num_tasks=2, classes_per_task=None, whole_groups=True, shuffled=True)

    def read(self) -> Images:
        return Images(catalogue=self.catalogue(), pixels=numbered(90))


def toy_images(**changes: Any) -> ToyImages:
    settings: dict[str, Any] = {
        **{"ways": 2, "shots": 1, "queries": 1, "validation_classes": 0, "test_classes": 1, "rotations": False},
        **{
            "test_rotations": False,
            "shift": "none",
            "image_size": SIDE,
            "test_images": 2,
            "scenario": "class",
            "meta_test_classes": 0.3,
        },
    }
    return fill(ToyImages, {**settings, **changes}, "data")


@pytest.mark.parametrize("scenario", ["domain", "class", "task"])
def test_images_of_groups_become_a_stream(scenario: str) -> None:
    data, seeds = toy_images(scenario=scenario), range(12)
    data.check_samples()
    stream, classes = data.load_samples(seeds), np.repeat(np.arange(9), 6 + np.arange(9))
    assert data.count_samples() == stream.samples_per_task == 4 + (5 + 6)  # groups a and b, two images of each class for test
    assert data.count_outputs() == {"domain": 6, "class": 9, "task": 12}[scenario]
    sizes, kept = set(), []
    for replicate in range(len(seeds)):
        seen: list[int] = []
        for task in range(2):
            rows, labels = shown(stream, replicate, task)
            held, truth = examined(stream, replicate, task)
            assert not set(rows) & set(held)
            assert len(set(rows)) == 15
            learned = dict(zip(labels.tolist(), classes[rows].tolist(), strict=True))
            assert (
                dict(zip(truth.tolist(), classes[held].tolist(), strict=True)) == learned
            )  # the same classes, the same labels
            assert (np.bincount(truth)[list(learned)] == 2).all()
            assert [learned[label] for label in labels] == classes[rows].tolist()
            first = {"domain": 0, "class": len(seen), "task": 6 * task}[scenario]
            assert sorted(learned) == list(range(first, first + len(learned)))
            if scenario == "task":
                assert stream.masks[task, sorted(learned)].all()
                assert stream.masks[task].sum() == 6  # the largest task of any seed: groups d and b or c
            seen += learned.values()
            kept += held.tolist()
        sizes.add(len(learned))
        assert sorted(seen) == list(range(9))
    assert sizes == {3, 4, 5, 6}
    assert len(set(kept)) > 60  # every seed keeps other images


@pytest.mark.parametrize("shift", ["invert", "permute"])
def test_a_replicate_of_images_is_what_its_seed_loads_alone(make: Callable[..., Any], shift: str) -> None:
    data = make("split_glyphs", num_classes=24, num_scripts=4, num_tasks=2, images_per_class=7, shift=shift)
    together = data.load_samples([3, 9])
    if shift == "permute":
        assert not torch.equal(together.order[0, 1], together.order[1, 1])
    for replicate, seed in enumerate((3, 9)):
        alone, index = data.load_samples([seed]), np.arange(2 * 12 * 2)
        for a, b in zip(together.gather(replicate, index), alone.gather(0, index), strict=True):
            assert torch.equal(a, b)
        for task in range(2):
            for a, b in zip(together.test(task, None)[replicate], alone.test(task, None)[0], strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("shift", ["permute", "rotate"])
def test_the_shift_of_a_task_is_seen(make: Callable[..., Any], shift: str) -> None:
    small = {"num_classes": 12, "num_scripts": 2, "num_tasks": 2, "images_per_class": 8, "test_images": 3, "image_size": 12}
    plain, moved = (make("split_glyphs", **small, shift=kind).load_samples([0]) for kind in ("none", shift))
    for task in range(2):
        index = np.arange(30 * task, 30 * (task + 1))
        for a, b in ((plain.gather(0, index), moved.gather(0, index)), (plain.test(task, None)[0], moved.test(task, None)[0])):
            assert torch.equal(a.y, b.y)
            if task == 0:
                torch.testing.assert_close(b.x, a.x)
            elif shift == "rotate":  # two tasks: the second is turned by 90 degrees
                torch.testing.assert_close(b.x, a.x.rot90(1, (2, 3)), atol=0.01, rtol=0)
            else:
                assert not torch.equal(a.x, b.x)
                torch.testing.assert_close(a.x.flatten(1).sort().values, b.x.flatten(1).sort().values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_images": 6}, "test_images=6: must be less than the 6 images of class class 0"),
        ({"scenario": "domian"}, "scenario=domian: must be one of domain, class, task"),
    ],
)
def test_images_that_cannot_be_kept(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.{message}"), prefix_field_errors("data"):
        toy_images(**changes).check_samples()


def test_every_class_of_the_largest_task_needs_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_images(test_images=5).check_samples()  # groups a and b are left 1 + 2 + 3 images, and d with another has 6 classes
    few = Catalogue(names=[str(number) for number in range(9)], counts=np.full(9, 6), groups=list("abbccdddd"))
    monkeypatch.setattr(ToyImages, "catalogue", lambda self: few)
    with pytest.raises(SettingError, match=r"test_images=5: leaves 3 images .* to every task, and one may have 6 classes"):
        toy_images(test_images=5).check_samples()
