"""Images in a folder for training and one for test: what is read, what is refused, and a run that learns from one alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metacl_run as mr
from metacl_run.core.errors import ConfigError, DataError
from metacl_run.data.sources.image_folder import ImageFolder
from metacl_run.data.sources.train_test_images import TrainTestImages
from metacl_run.trained_run import evaluation_of
from tests.support.composing import experiment_of
from tests.support.image_folders import noise_images
from tests.support.pngs import GREY, png

SIDE = 8
TRAIN, TEST = {"bee": 2, "cat": 4, "dog": 3}, {"bee": 1, "cat": 2, "dog": 1}


def write(folder: Path, classes: dict[str, Sequence[int]]) -> None:
    """A folder for every class, with an image of one grey for every entry."""
    for name, greys in classes.items():
        (folder / name).mkdir(parents=True)
        for index, grey in enumerate(greys):
            (folder / name / f"{index}.png").write_bytes(png(np.full((SIDE, SIDE), grey), GREY, 8))


def greys(first: int, counts: dict[str, int]) -> dict[str, Sequence[int]]:
    """Greys that count up from `first`, all different."""
    ends = np.cumsum(list(counts.values())) + first
    return {name: range(end - count, end) for (name, count), end in zip(counts.items(), ends.tolist(), strict=True)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Nine training images, with the greys 10 to 18, and four of test, 100 to 103."""
    write(tmp_path / "images" / "train", greys(10, TRAIN))
    write(tmp_path / "images" / "test", greys(100, TEST))
    return tmp_path / "images"


def source(root: Path, **changes: Any) -> TrainTestImages:
    settings = {"train_folder": "train", "test_folder": "test", "channels": 1, "image_size": SIDE, "encoder": "pixels"}
    return TrainTestImages(root=str(root), **{**settings, **changes})


def refusal(root: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        source(root, **changes).parts()
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------- what is read


def test_both_parts_are_read_class_by_class(root: Path) -> None:
    examples, (train, test) = source(root).read_parts(), source(root).parts()
    assert examples.x.shape == (13, 1, SIDE, SIDE)
    assert (examples.x == examples.x[..., :1, :1]).all()
    assert examples.x[:, 0, 0, 0].tolist() == [*range(10, 19), *range(100, 104)]
    assert examples.y.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 1, 1, 2]
    assert examples.num_train == 9
    assert train.names == test.names == ["bee", "cat", "dog"]
    assert (train.counts.tolist(), test.counts.tolist()) == ([2, 4, 3], [1, 2, 1])


@pytest.mark.parametrize("balance", ["tasks", "none"])
def test_a_stream_learns_from_one_folder_and_is_tested_on_the_other(make: Callable[..., Any], root: Path, balance: str) -> None:
    (root / "test").rename(root / "val")
    own = {"root": str(root), "test_folder": "val", "channels": 3, "image_size": SIDE}
    stream = make("split_train_test_images", "online", **own, num_tasks=3, shuffled=False, balance=balance)
    stream.check()
    pool, pixels = stream.load([0]), np.arange(10, 19) / 255
    lengths = [2, 2, 2] if balance == "tasks" else [2, 4, 3]
    learned: list[float] = []
    for task, length in enumerate(lengths):
        start = sum(lengths[:task])
        learned += pool.gather(0, np.arange(start, start + length)).x[:, 0, 0, 0].tolist()
    tested = [pool.test(task, None)[0].x[:, 0, 0, 0] for task in range(3)]
    scaled = (np.array([100, 101, 102, 103]) / 255 - pixels.mean()) / pixels.std()  # by the training part alone
    assert np.sort(np.concatenate(tested)) == pytest.approx(scaled, rel=1e-4)
    assert set(np.round(np.array(learned) * pixels.std() + pixels.mean(), 5)) <= set(np.round(pixels, 5))
    assert len(set(learned)) == sum(lengths)


def test_what_is_left_out_or_blank_is_noted_by_part(root: Path) -> None:
    for place in ("train/cat/a.webp", "test/dog/b.bmp", "test/labels.csv"):
        (root / place).write_bytes(b"")
    assert source(root).read_parts().notes == [
        f"{root}/train: left out by the ending: 1 file in class folders (1 .webp); .png .jpg .jpeg are read",
        f"{root}/test: left out by the ending: 1 file in class folders (1 .bmp); .png .jpg .jpeg are read",
        "training part: 9 of 9 images are of one colour each: all of bee, cat, dog",
        "test part: 4 of 4 images are of one colour each: all of bee, cat, dog",
    ]


def test_what_a_run_writes_down_of_its_data_covers_both_parts(root: Path) -> None:
    before = source(root).contents()
    of_folders = [
        ImageFolder(root=str(root / part), channels=1, image_size=SIDE, encoder="pixels").contents()
        for part in ("train", "test")
    ]
    assert before == {
        **of_folders[0],
        "test_examples": 4,
        "test_digest": of_folders[1]["digest"],
    }
    (root / "test" / "dog" / "0.png").rename(root / "test" / "dog" / "1.png")
    after = source(root).contents()
    assert {key for key in before if after[key] != before[key]} == {"test_digest"}
    (root / "train" / "cat" / "0.png").unlink()
    assert {key for key in before if source(root).contents()[key] != after[key]} == {"examples", "digest"}


# ------------------------------------------------------------------------------------------------- what is refused


def test_classes_of_one_part_alone_are_named(root: Path) -> None:
    (root / "test" / "bee").rename(root / "test" / "ant")
    differ = "data.test_folder=test: both parts must have the same classes, but"
    assert refusal(root) == f"{differ} only {root}/train has bee, and only {root}/test has ant."
    (root / "test" / "ant").rename(root / "bee")
    assert refusal(root).endswith(f"but only {root}/train has bee.")
    (root / "bee").rename(root / "test" / "bee")
    (root / "train" / "bee").rename(root / "bee")
    assert refusal(root).endswith(f"but only {root}/test has bee.")


@pytest.mark.parametrize(
    ("part", "name", "suggestion"),
    [
        ("test", "val", " data.test_folder=val?"),
        ("test", "Validation", " data.test_folder=Validation?"),
        ("train", "TRAIN", " data.train_folder=TRAIN?"),
        ("train", "train_images", " data.train_folder=train_images?"),
        ("train", "fit", ""),
    ],
)
def test_a_part_that_is_not_there_is_named_beside_those_that_are(root: Path, part: str, name: str, suggestion: str) -> None:
    (root / part).rename(root / name)
    there = ", ".join(sorted([name, *({"train", "test"} - {part})]))
    key = f"data.{part}_folder={part}"
    assert refusal(root) == f"{key}: there is no such folder. {root} has the sub-folders {there}.{suggestion}"


def test_the_test_part_is_never_suggested_for_training(root: Path) -> None:
    (root / "train").rename(root / "training")
    (root / "test").rename(root / "val")
    there = f"there is no such folder. {root} has the sub-folders training, val."
    assert refusal(root).split("\n") == [
        f"data.train_folder=train: {there} data.train_folder=training?",
        f"data.test_folder=test: {there} data.test_folder=val?",
    ]
    assert refusal(root, test_folder="training").endswith("training, val.")


def test_a_root_without_anything_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith(
        f"{tmp_path}/nowhere is not a folder: data.root must be one with a folder of"
    )
    lines = [
        f"data.{part}_folder={part}: there is no such folder. {tmp_path} has no sub-folders." for part in ("train", "test")
    ]
    assert refusal(tmp_path) == "\n".join(lines)


def test_one_folder_is_not_both_parts(root: Path) -> None:
    (root / "val").symlink_to("train")
    for test_folder in ("val", "train", "test/../train"):
        message = f"data.test_folder={test_folder}: is the folder of data.train_folder=train, so that test images"
        assert refusal(root, test_folder=test_folder) == f"{message} would be learned from."


def test_a_part_that_holds_no_classes_is_named(root: Path) -> None:
    (root / "val").mkdir()
    (root / "val" / "1.png").write_bytes(b"")
    assert refusal(root, test_folder="val") == (
        f"data.test_folder=val: {root}/val has no sub-folders; one for each class was expected."
    )
    (root / "train" / "zebra" / "images").mkdir(parents=True)
    assert refusal(root).endswith(
        "data.train_folder must be the folder that holds one folder of images for each class. data.train_folder=train/zebra?"
    )


def test_a_name_that_no_folder_can_have_is_one_message(root: Path) -> None:
    assert "cannot be read (File name too long)." in refusal(root, train_folder="a" * 300)


# ----------------------------------------------------------------------------------------- the option for the other layout


def test_a_divided_folder_is_sent_to_the_option_for_it(make: Callable[..., Any], root: Path) -> None:
    (root / "test").rename(root / "val")
    (root / "test").mkdir()
    (root / "test" / "unlabelled.png").write_bytes(b"")  # as of ImageNet
    with pytest.raises(DataError) as caught:
        make("split_image_folder", "online", root=str(root)).check()
    words = "data=split_train_test_images data.train_folder=train data.test_folder=val"
    assert f"{words} reads both (protocol online); data.root={root}/train reads the first alone." in str(caught.value)
    settings = dict(word.removeprefix("data.").split("=") for word in words.split()[1:])
    assert make("split_train_test_images", "online", root=str(root), **settings).source.parts()[1].counts.tolist() == [1, 2, 1]


def test_classes_called_train_and_test_are_classes(tmp_path: Path) -> None:
    write(tmp_path, {"train": [1, 2], "test": [3]})
    folder = ImageFolder(root=str(tmp_path), channels=1, image_size=SIDE, encoder="pixels")
    assert folder.catalogue().counts.tolist() == [1, 2]
    assert "has no folder val (data.test_folder), and its sub-folders hold images" in refusal(tmp_path, test_folder="val")


def test_a_folder_of_classes_is_sent_to_the_option_for_it(root: Path) -> None:
    message = refusal(root / "train")
    assert message.startswith(
        f"data.root={root}/train: has no folder train (data.train_folder), and its sub-folders hold images"
    )
    assert "data=split_image_folder reads such a folder" in message


# ------------------------------------------------------------------------------------------------------------------ runs


def command(root: Path, *words: str) -> list[str]:
    data = ["data=split_train_test_images", f"data.root={root}", "data.channels=1", "data.image_size=8", "data.num_tasks=1"]
    quiet = ["progress=none", "figures.style=none", "gpu=cpu", "gpu.threads=1", f"output_dir={root.parent / 'runs'}"]
    return ["algo=er", "model=linear", *data, *quiet, "protocol.epochs=3", "algo.batch_size=5", *words]


def test_a_run_learns_from_one_part_and_is_scored_on_the_other(tmp_path: Path) -> None:
    """What is dark in training is bright in test: who has learned is wrong on every test image, and on none that is held out
    of the training part."""
    root = tmp_path / "images"
    write(root / "train", {"dark": range(20, 40), "bright": range(200, 220)})
    write(root / "test", {"dark": range(200, 206), "bright": range(20, 26)})
    on_test = mr.run(command(root))
    assert on_test.metrics["accuracy"].values == (0.0,)
    on_validation = mr.run(command(root, "protocol.eval_split=validation"))
    assert on_validation.metrics["accuracy"].values == (1.0,)
    assert on_validation.run_id != on_test.run_id


def test_an_evaluation_notices_other_test_images(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        noise_images(tmp_path / "images" / part, [count] * 4)
    result = mr.run(command(tmp_path / "images", "debug=true", "data.num_tasks=2"))
    matrix = np.load(result.directory / "accuracy_matrix.npy")
    assert matrix.shape == (1, 3, 2)
    assert set((matrix * 4).ravel().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}  # two test images of each of two classes
    assert evaluation_of(result.directory).data.count_samples() == 12
    (tmp_path / "images" / "test" / "class0" / "0.png").unlink()
    with pytest.raises(ConfigError, match="have changed since it learned"):
        evaluation_of(result.directory)


def test_a_source_of_one_part_alone_shares_an_origin(tmp_path: Path) -> None:
    for part in ("train", "test"):
        noise_images(tmp_path / "images" / part, [3] * 4)
    split = experiment_of(command(tmp_path / "images"))
    alone = ImageFolder(root=str(tmp_path / "images" / "train"), channels=1, image_size=SIDE, encoder="pixels")
    assert split.data.source.origins == {*alone.origins, str(tmp_path / "images" / "test")}
