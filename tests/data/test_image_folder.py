from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metacl_run.core.errors import ConfigError, DataError, SettingError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight classes of 3 to 10 images; class c is the colour (30 * c, 0, 255 - 30 * c); sizes and formats differ."""
    root = tmp_path / "images"
    for number in range(8):
        place = root / f"class{number}"
        place.mkdir(parents=True)
        for index in range(3 + number):
            image = Image.new("RGB", (20 + index, 30), (30 * number, 0, 255 - 30 * number))
            image.save(place / f"{index}.{('png', 'jpg', 'JPEG')[index % 3]}")
        (place / "notes.txt").write_text("not an image")
    (root / ".cache").mkdir()
    return root


SMALL = {"ways": 2, "image_size": 16, "num_tasks": 2, "test_classes": 0.5}


def test_ragged_colour_folders(make: Callable, folder: Path):
    data = make("split_image_folder", root=str(folder), **SMALL)
    data.check(images_per_class=3, replay_classes=None, split="test")
    stream = data.load([0, 1])
    assert stream.pixels.shape == (52, 3, 16, 16)
    assert stream.counts.tolist() == list(range(3, 11))
    generators = [np.random.default_rng(seed) for seed in (0, 1)]
    episode = stream.sample(np.array([[0, 1] * 20] * 2), "train", shots=1, queries=2, rngs=generators)
    assert tuple(episode.support_x.shape[-3:]) == data.input_shape
    classes = (episode.support_x[..., 0, 8, 8] * 255 / 30).round()
    again = (episode.query_x[..., 0, 8, 8] * 255 / 30).round()
    assert (classes[..., 0] != classes[..., 1]).all()
    assert (again == classes.repeat_interleave(2, -1)).all()


def test_grey_and_classes_per_task(make: Callable, folder: Path):
    changes = {**SMALL, "num_tasks": None, "classes_per_task": 3, "channels": 1, "test_classes": 1}
    data = make("split_image_folder", root=str(folder), **changes)
    assert data.count_tasks() == 2
    assert data.input_shape == (1, 16, 16)
    stream = data.load([0])
    assert [stream.num_classes(0, task, "train") for task in range(2)] == [2, 2]
    assert stream.task_names == [["task 1", "task 2"]]


def test_an_image_that_does_not_decode_is_named(make: Callable, folder: Path):
    (folder / "class4" / "1.jpg").write_bytes(b"not a jpeg")
    with pytest.raises(DataError, match=r"class4/1.jpg: this image cannot be decoded"):
        make("image_folder", root=str(folder), image_size=16).load([0])


def test_a_class_with_too_few_images_is_named(make: Callable, folder: Path):
    data = make("split_image_folder", root=str(folder), **{**SMALL, "shots": 3})
    with pytest.raises(SettingError, match=r"shots=3: .*up to 4 images of a class, but class .*class0 has 3 images"):
        data.check(images_per_class=4, replay_classes=None, split="test")


def test_missing_or_empty_folder(make: Callable, tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere is not a folder: data.root .*split_glyphs"):
        make("image_folder", root=str(tmp_path / "nowhere")).count_tasks()
    with pytest.raises(DataError, match="has no sub-folders"):
        make("image_folder", root=str(tmp_path)).count_tasks()


def test_tasks_are_counted_one_way(make: Callable):
    with pytest.raises(ConfigError, match="num_tasks=5: give either this or classes_per_task"):
        make("split_image_folder", classes_per_task=3)
    with pytest.raises(ConfigError, match="channels=2: must be 1 or 3"):
        make("split_image_folder", channels=2)


def test_cache_serves_again_and_notices_changes(make: Callable, folder: Path, cache: Path):
    data = make("image_folder", root=str(folder), image_size=16)
    first = data.read().pixels
    (kept,) = cache.glob("images/*.npy")
    assert np.array_equal(data.read().pixels, first)
    Image.new("RGB", (8, 8)).save(folder / "class0" / "0.png")
    assert not data.read().pixels[0].any()
    assert len(list(cache.glob("images/*.npy"))) == 2
    for entry in cache.glob("images/*.npy"):
        entry.write_bytes(kept.read_bytes()[:500])  # cut short
    assert not data.read().pixels[0].any()


def test_cache_that_cannot_be_written_is_passed_over(make: Callable, folder: Path, cache: Path):
    cache.write_text("a file where the folder should be")
    assert make("image_folder", root=str(folder), image_size=16).read().pixels.shape == (52, 3, 16, 16)
