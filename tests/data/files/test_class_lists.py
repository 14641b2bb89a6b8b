"""Lists of classes: what is shipped, what a user's file may be, and what is refused."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.files.class_lists import read_class_lists, shipped_lists
from metacl_run.data.images.cifar_files import CIFAR100
from metacl_run.data.images.omniglot_files import omniglot_catalogue
from metacl_run.data.sources.source import Catalogue

SIZES = {
    "cifar_fs": (64, 16, 20),
    "fc100": (60, 20, 20),
    "omniglot_vinyals": (1028, 172, 423),
    "mini_imagenet": (64, 16, 20),
    "tiered_imagenet": (351, 97, 160),
}
"""Classes for training, validation and test, as the papers count them."""
FRUIT = Catalogue(names=["apple", "pear", "bear", "bee"], counts=np.full(4, 3), groups=["fruit", "fruit", "animal", "animal"])


def test_what_is_shipped_has_the_published_sizes_and_no_class_twice() -> None:
    assert shipped_lists() == sorted(SIZES)
    for name, sizes in SIZES.items():
        lists = read_class_lists(name)
        listed = [label for split in lists.names.values() for label in split]
        assert len(set(listed)) == len(listed)
        if "imagenet" in name:
            assert tuple(map(len, lists.names.values())) == sizes
            assert all(label[0] == "n" and label[1:].isdigit() and len(label) == 9 for label in listed)
            continue
        catalogue = omniglot_catalogue() if name == "omniglot_vinyals" else CIFAR100.parts()[0]
        members = lists.members(catalogue)
        assert tuple(map(len, members.values())) == sizes
        assert sorted(place for split in members.values() for place in split) == list(range(len(catalogue.names)))


def test_the_names_of_cifar100_are_those_of_its_files(real_data: str) -> None:
    with tarfile.open(Path(real_data, "cifar-100-python.tar.gz")) as archive:
        meta = pickle.load(archive.extractfile("cifar-100-python/meta"), encoding="latin1")  # type: ignore[arg-type]
    assert meta["fine_label_names"] == CIFAR100.classes
    train, _ = CIFAR100.parts()
    assert {train.groups.count(group) for group in train.groups} == {5}
    assert len(set(train.groups)) == 20


def test_no_superclass_of_fc100_is_in_two_splits() -> None:
    train, _ = CIFAR100.parts()
    groups = [{train.groups[place] for place in split} for split in read_class_lists("fc100").members(train).values()]
    assert list(map(len, groups)) == [12, 4, 4]
    assert len(set.union(*groups)) == 20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lists.yaml", "train: [fruit]\nval: [bear]\ntest: [bee]\n"),
        ("lists.json", '{"train": ["pear", "apple"], "validation": ["bear"], "test": ["bee"]}'),
        ("lists.CSV", "split,class\ntrain,fruit\nval,bear\ntest,bee\n"),
    ],
)
def test_a_file_names_classes_or_whole_groups(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    members = read_class_lists(str(tmp_path / name)).members(FRUIT)
    assert members == {"train": [0, 1], "validation": [2], "test": [3]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cifar_sf", None, r"must be one of cifar_fs, fc100, .*\.csv\. Did you mean cifar_fs"),
        ("nowhere.yaml", None, r"nowhere.yaml: cannot be read \(No such file"),
        ("lists.yaml", "[apple]", "must have lists of names by the keys train, validation, test"),
        ("lists.yaml", "train: [appel]", "appel is no class of the data. Did you mean apple"),
        ("lists.yaml", "train: [fruit]\ntest: [pear]", "pear is listed twice"),
        ("lists.yaml", "val: [bear]\nvalidation: [bee]", "has both val and validation, which are one split"),
        ("lists.csv", "class,split\nbear,val\nbee,validation\n", "has both val and validation, which are one split"),
        (
            "lists.yaml",
            "train: [bear]\ntrain: [bee]",
            r"list of classes \(the key train is there 2 times; put its names",
        ),
        ("lists.json", '{"val": ["bear"], "val": ["bee"]}', r"is not a list of classes \(the key val is there 2 times"),
        ("lists.yaml", "trian: [fruit]", "trian is not one of train, validation, test. Did you mean train"),
        ("lists.yaml", "train: fruit", "train must be a list of names of classes"),
        ("lists.yaml", "train: [fruit", "is not a list of classes"),
        (
            "lists.csv",
            "name,split\napple,train\n",
            r"is not a list of classes \(a CSV file needs the columns class and split\)",
        ),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match=message):
        read_class_lists(str(path) if path.suffix else name).members(FRUIT)
