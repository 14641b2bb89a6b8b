"""Lists of the classes that are for meta-training, validation and test: those of papers, and the user's own.

A list is a YAML or JSON file, or a CSV file with a row for each class:

    train: [apple, bear]            class,split
    validation: [bee]               apple,train
    test: [bowl, bus]               bee,validation

A name is that of a class or of a group of classes, all of which it stands for. `val` is read as `validation`; a file has one
of the two, and no key twice.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metacl_run.core.errors import SettingError, nearest, require, shown
from metacl_run.core.files import read_at_most
from metacl_run.data.sources.source import Catalogue

SHIPPED = Path(__file__).parents[1] / "class_lists"
SPLITS = ("train", "validation", "test")
ENDINGS = (".yaml", ".yml", ".json", ".csv")
MOST_BYTES = 2**24
FIELD = "class_lists"
"""The setting that names a list."""


class _NoKeyTwice(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that comes again, of which YAML and JSON would keep the last value alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            raise yaml.YAMLError(f"the key {shown(twice[0])} is there {keys[twice[0]]} times; put its names under one")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


@dataclass(frozen=True, kw_only=True)
class ClassLists:
    """The names that one file lists.

    Attributes:
        setting: what the user wrote, a name or a file.
        names: by split, of `SPLITS`.
    """

    setting: str
    names: Mapping[str, Sequence[str]]

    def members(self, catalogue: Catalogue) -> dict[str, list[int]]:
        """The classes of each split, as places in the catalogue, in its order.

        Raises:
            SettingError: a name is not in the catalogue, or a class is listed twice.
        """
        places: dict[str, list[int]] = {}
        for place, labels in enumerate(zip(catalogue.names, catalogue.groups, strict=True)):
            for label in dict.fromkeys(labels):
                places.setdefault(label, []).append(place)
        members = {
            split: [place for name in names for place in self._places(name, places)] for split, names in self.names.items()
        }
        listed = [place for split in members.values() for place in split]
        twice = next((place for place, count in Counter(listed).items() if count > 1), None)
        require(twice is None, FIELD, self.setting, f"{catalogue.names[twice or 0]} is listed twice")
        return {split: sorted(of_split) for split, of_split in members.items()}

    def _places(self, name: str, places: Mapping[str, list[int]]) -> list[int]:
        if name not in places:
            raise SettingError(FIELD, self.setting, f"{name} is no class of the data.{nearest(name, places)}")
        return places[name]


def shipped_lists() -> list[str]:
    """The names of the lists that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def path_of_lists(setting: str) -> Path:
    """Where a list is read from, which need not be there.

    Raises:
        SettingError: it is neither the name of a list that is shipped, nor the name of a file that could be one.
    """
    known, path = shipped_lists(), Path(setting)
    if setting in known:
        return SHIPPED / f"{setting}.yaml"
    files = f"a file that ends in one of {', '.join(ENDINGS)}"
    allowed = f"must be one of {', '.join(known)}, or {files}.{nearest(setting, known)}"
    require(path.suffix.lower() in ENDINGS, FIELD, setting, allowed)
    return path


def read_class_lists(setting: str) -> ClassLists:
    """Reads a list that is shipped, by its name, or a file.

    Raises:
        SettingError: as `path_of_lists`, or what is there is no list.
    """
    path = path_of_lists(setting)
    try:
        text = read_at_most(path, MOST_BYTES).decode("utf-8-sig")
        listed = _from_csv(text) if path.suffix.lower() == ".csv" else yaml.load(text, _NoKeyTwice)
    except OSError as error:
        raise SettingError(FIELD, setting, f"cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, yaml.YAMLError, csv.Error, RecursionError) as error:
        raise SettingError(FIELD, setting, f"is not a list of classes ({str(error).splitlines()[0]})") from None
    return ClassLists(setting=setting, names=_checked(setting, listed))


def _from_csv(text: str) -> dict[str, list[str]]:
    """Names by split, from a CSV file with the columns `class` and `split`."""
    rows = list(csv.DictReader(io.StringIO(text)))
    lists: dict[str, list[str]] = {}
    for row in rows:
        if row.get("class") is None or row.get("split") is None:
            raise csv.Error("a CSV file needs the columns class and split")
        lists.setdefault(row["split"], []).append(row["class"])
    return lists


def _checked(setting: str, listed: Any) -> dict[str, list[str]]:
    """The lists of all three splits, the missing ones empty. Raises SettingError."""
    if not isinstance(listed, Mapping):
        raise SettingError(FIELD, setting, f"must have lists of names by the keys {', '.join(SPLITS)}")
    both = "val" in listed and "validation" in listed
    require(not both, FIELD, setting, "has both val and validation, which are one split. Put their names under one key")
    lists = {("validation" if key == "val" else key): names for key, names in listed.items()}
    for key, names in lists.items():
        require(key in SPLITS, FIELD, setting, f"{key} is not one of {', '.join(SPLITS)}.{nearest(str(key), SPLITS)}")
        words = isinstance(names, list) and all(isinstance(name, str | int) and not isinstance(name, bool) for name in names)
        require(words, FIELD, setting, f"{key} must be a list of names of classes")
    return {split: [str(name) for name in lists.get(split, [])] for split in SPLITS}
