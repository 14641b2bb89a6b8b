"""A folder of images by class: what is read of it, what is passed over with a note, what is refused, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metacl_run.core.errors import ConfigError, DataError, SettingError
from metacl_run.data.sources.image_folder import ImageFolder
from tests.support.image_folders import GOOD, SETTINGS, equal_images, images_under, noise_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight classes of 3 to 10 images; class c has the colour (30 * c, 0, 255 - 30 * c); sizes and formats differ."""
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


SMALL: dict[str, Any] = {"ways": 2, "image_size": 16, "num_tasks": 2, "test_classes": 0.5}


def source(root: Path) -> ImageFolder:
    return ImageFolder(root=str(root), channels=1, image_size=8, encoder="pixels")


# ---------------------------------------------------------------------------------------------------- what is read


def test_classes_may_differ_in_number_and_size_of_images(make: Callable[..., Any], folder: Path) -> None:
    stream = make("split_image_folder", root=str(folder), **SMALL)
    stream.check(examples_per_class=3, replay_classes=None, split="test")
    pool = stream.load([0, 1])
    assert pool.examples.shape == (52, 3, 16, 16)
    assert pool.counts.tolist() == list(range(3, 11))
    generators = [np.random.default_rng(seed) for seed in (0, 1)]
    episode = pool.sample(np.array([[0, 1] * 20] * 2), "train", shots=1, queries=2, rngs=generators)
    assert tuple(episode.support_x.shape[-3:]) == stream.input_shape
    support_classes, query_classes = ((x[..., 0, 8, 8] * 255 / 30).round() for x in (episode.support_x, episode.query_x))
    assert (support_classes[..., 0] != support_classes[..., 1]).all()
    assert (query_classes == support_classes.repeat_interleave(2, -1)).all()


def test_grey_images_and_classes_per_task(make: Callable[..., Any], folder: Path) -> None:
    changes = {**SMALL, "num_tasks": None, "classes_per_task": 3, "channels": 1, "test_classes": 1}
    stream = make("split_image_folder", root=str(folder), **changes)
    assert stream.count_tasks() == 2
    assert stream.input_shape == (1, 16, 16)
    pool = stream.load([0])
    assert pool.members["train"].sizes[0, :2].tolist() == [2, 2]
    assert pool.task_names == [["task 1", "task 2"]]


def test_a_link_to_images_elsewhere_is_followed(tmp_path: Path) -> None:
    root, elsewhere = equal_images(tmp_path / "images", GOOD), tmp_path / "elsewhere"
    (root / "class3").rename(elsewhere)
    (root / "class3").symlink_to(elsewhere)
    (root / "class2" / "image0.png").unlink()
    (root / "class2" / "image0.png").symlink_to(elsewhere / "image0.png")
    assert len(source(root).read().x) == 12


def test_files_of_the_system_are_passed_over(tmp_path: Path) -> None:
    root = equal_images(tmp_path / "images", GOOD)
    for path in (root / "class0" / "._image0.png", root / "._class0", root / ".hidden" / "1.png", root / "__MACOSX" / "1.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\26\7 no image")
    examples = source(root).read()
    assert examples.catalogue.groups == [f"class{number}" for number in range(4)]
    assert (examples.x == examples.x[0]).all()
    assert not examples.notes


def test_files_that_are_not_read_are_noted(tmp_path: Path) -> None:
    root = noise_images(tmp_path / "images", [3, 3])
    for name in ("class0/a.webp", "class0/b.WEBP", "class1/c.bmp", "class1/README", "beside.png", "labels.csv"):
        (root / name).write_bytes(b"")
    (root / "class1" / "more").mkdir()
    assert source(root).read().notes == [
        f"{root}: left out by the ending: 4 files in class folders (2 .webp, 1 without one, 1 .bmp); .png .jpg .jpeg are read",
        f"{root}: not looked into: 1 folder within class folders",
        f"{root}: left out, since no class has them: 1 image beside the class folders",
    ]


def test_a_name_that_is_no_utf8_can_be_printed(tmp_path: Path) -> None:
    root = equal_images(tmp_path / "images", GOOD)
    odd = Path(os.fsdecode(os.fsencode(root / "caf") + b"\xe9"))
    (root / "class3").rename(odd)
    assert source(root).read().catalogue.groups == ["caf\\udce9", "class0", "class1", "class2"]
    (odd / "image1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"caf\\udce9/image1.png: this image cannot be decoded"):
        source(root).read()


# ------------------------------------------------------------------------------------------------- what is refused


def test_a_root_without_classes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder: data.root .*split_glyphs"):
        source(tmp_path / "nowhere").catalogue()
    with pytest.raises(DataError, match="has no sub-folders"):
        source(tmp_path).catalogue()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "class7: this class has 0 images: the folder is empty"),
        (["a.bmp", "b.BMP", "c.gif"], "endings that are read (.png .jpg .jpeg); it holds others: 2 .bmp, 1 .gif."),
        (["train/"], "0 images, but 1 sub-folder: data.root must be the folder that holds one folder of images"),
        (["._1.png", ".DS_Store"], "class7: this class has 0 images: the folder is empty"),
    ],
)
def test_a_class_without_images_is_named(make: Callable[..., Any], tmp_path: Path, files: list[str], message: str) -> None:
    root = equal_images(tmp_path / "images", GOOD)
    (root / "class7").mkdir()
    for file in files:
        path = root / "class7" / file
        path.mkdir() if file.endswith("/") else path.write_bytes(GOOD)
    for protocol in SETTINGS:
        with pytest.raises(DataError) as caught:
            images_under(protocol, make, root, channels=1)
        assert message in str(caught.value)


def test_a_class_that_is_a_broken_link_is_named(tmp_path: Path) -> None:
    root = equal_images(tmp_path / "images", GOOD)
    (root / "class9").symlink_to("elsewhere")
    with pytest.raises(DataError, match=r"class9: cannot be read \(a link to what is not there\)\."):
        source(root).catalogue()


@pytest.mark.parametrize("place", ["images", "images/class1"])
def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    root, closed = equal_images(tmp_path / "images", GOOD), tmp_path / place
    listdir, scandir = os.listdir, os.scandir

    def refuse(path: Any, otherwise: Callable[[Any], Any]) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return otherwise(path)

    monkeypatch.setattr(os, "listdir", lambda path=".": refuse(path, listdir))
    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path, scandir))
    with pytest.raises(DataError) as caught:
        source(root).catalogue()
    assert f"{closed}: cannot be read (Permission denied)." in str(caught.value)


def test_a_class_with_too_few_images_is_named(make: Callable[..., Any], folder: Path) -> None:
    stream = make("split_image_folder", root=str(folder), **{**SMALL, "shots": 3})
    message = r"shots=3: .*takes up to 4 examples of a class, but class .*class0 has 3$"
    with pytest.raises(SettingError, match=message):
        stream.check(examples_per_class=4, replay_classes=None, split="test")
    message = r"test_examples=3: must be less than the 3 examples of class .*class0"
    for protocol, needs in (("online", ()), ("meta_continual", (2,))):
        stream = make("image_folder", protocol, root=str(folder), test_examples=3)
        with pytest.raises(SettingError, match=message):
            stream.check(*needs)


def test_images_have_one_channel_or_three(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"data\.channels=2: must be one of 1, 3"):
        make("split_image_folder", channels=2)


# -------------------------------------------------------------------------------------------------------- the cache


def test_the_cache_serves_again_and_notices_changes(folder: Path, cache: Path) -> None:
    images = source(folder)
    first = images.read().x
    (entry,) = cache.glob("images/*.npy")
    assert np.array_equal(images.read().x, first)
    Image.new("RGB", (8, 8)).save(folder / "class0" / "0.png")
    assert not images.read().x[0].any()
    assert len(list(cache.glob("images/*.npy"))) == 2
    content = entry.read_bytes()
    for path in cache.glob("images/*.npy"):
        path.write_bytes(content[:500])  # cut short
    assert not images.read().x[0].any()


def test_a_cache_that_cannot_be_written_is_passed_over(folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert source(folder).read().x.shape == (52, 1, 8, 8)
