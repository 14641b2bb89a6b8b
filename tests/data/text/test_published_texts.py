"""CLINC150 and BANKING77: the real files where they are there, and files that are not what they should be."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import DataError
from metacl_run.data.text.banking77_files import TRAIN_TEXTS
from metacl_run.data.text.clinc150_files import INTENTS, read_out_of_scope

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def texts_root(real_data: str) -> str:
    if not Path(real_data, "clinc150").is_dir() or not Path(real_data, "banking77").is_dir():
        pytest.skip("no real texts: set METACL_DATA")
    return str(real_data)


def invented() -> dict[str, Any]:
    """A file as CLINC150's, of invented texts."""
    intents = [intent for group in INTENTS.values() for intent in group]
    parts = {"train": 100, "val": 20, "test": 30}
    content = {part: [[f"{part} {n} of {name}", name] for name in intents for n in range(n_)] for part, n_ in parts.items()}
    return {**content, "oos_test": [[f"nothing {number}", "oos"] for number in range(1000)]}


def test_clinc150(make: Make, texts_root: str) -> None:
    source = make("clinc150", root=texts_root).source
    read, content = source.read_split_texts(), json.loads(Path(texts_root, "clinc150", "data_full.json").read_text())
    names = source.parts()[0].names
    pairs = [(text, names[label]) for text, label in zip(read.texts, read.y, strict=True)]
    assert pairs == [tuple(pair) for pair in content["train"] + content["test"]]
    assert read.num_train == 15000
    domains = json.loads(Path(texts_root, "clinc150", "domains.json").read_text())
    assert domains == INTENTS
    assert list(read_out_of_scope(texts_root)) == [text for text, _ in content["oos_test"]]
    assert read.notes == ["CLINC150: 2 of 4500 test texts are also training texts"]


def test_banking77(make: Make, texts_root: str) -> None:
    source = make("banking77", root=texts_root).source
    read, names = source.read_split_texts(), source.parts()[0].names
    with open(Path(texts_root, "banking77", "train.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["text"], row["category"]) for row in rows] == [
        (text, names[label]) for text, label in zip(read.texts[:10003], read.y[:10003], strict=True)
    ]
    assert Counter(row["category"] for row in rows) == TRAIN_TEXTS
    assert json.loads(Path(texts_root, "banking77", "categories.json").read_text()) == names
    assert (len(read.texts), read.num_train) == (13083, 10003)


def test_domains_of_texts_lie_class_by_class(make: Make, texts_root: str) -> None:
    source = make("text_domains", domains=["banking77", "intents"], texts_per_intent=4, root=texts_root).source
    read = source.read_texts()
    counts, names = read.catalogue.counts, read.catalogue.names
    assert len(read.texts) == counts.sum() == 13083 + 120
    assert Counter(read.catalogue.groups) == {"banking77": 77, "intents": 30}
    first = np.cumsum(counts) - counts
    assert read.texts[first[names.index("banking77/card_arrival")]] == "I am still waiting on my card?"
    with (Path(texts_root) / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        expected = next(text for text, intent in csv.reader(file) if intent == "change_pin")
    assert read.texts[first[names.index("banking77/change_pin")]] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("test"), "expected a list of pairs of a text and an intent under 'test'"),
        (lambda content: content["train"].pop(), "expected 100 texts of every intent in 'train', but maybe has 99"),
        (lambda content: content["train"].append(["x", "nothing"]), "'train' has the intent 'nothing', which CLINC150 does"),
        (lambda content: content["test"].append(["", "maybe"]), "expected a list of pairs"),
    ],
)
def test_a_file_that_is_not_clinc150(make: Make, tmp_path: Path, change: Any, message: str) -> None:
    content = invented()
    change(content)
    (tmp_path / "data_full.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        make("clinc150", root=str(tmp_path)).source.read_split_texts()


def test_validation_texts_are_not_read(make: Make, tmp_path: Path) -> None:
    (tmp_path / "data_full.json").write_text(json.dumps(invented()))
    texts = make("clinc150", root=str(tmp_path)).source.read_split_texts().texts
    assert len(texts) == 19500
    assert not any(text.startswith("val") for text in texts)


def test_a_file_that_is_no_json(make: Make, tmp_path: Path) -> None:
    (tmp_path / "data_full.json").write_bytes(b"\xff{")
    with pytest.raises(DataError, match=r"data_full\.json: not JSON"):
        make("clinc150", root=str(tmp_path)).source.read_split_texts()


def test_banking77_that_was_cut_short(make: Make, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / "banking77").mkdir(exist_ok=True)
        (tmp_path / "banking77" / f"{name}.csv").write_text("text,category\nhello,card_arrival\n")
    with pytest.raises(DataError, match=r"train\.csv: expected 153 texts of card_arrival, found 1\. Half-written"):
        make("banking77", root=str(tmp_path)).source.read_split_texts()


@pytest.mark.parametrize(("name", "file"), [("clinc150", "clinc150/data_full.json"), ("banking77", "banking77/test.csv")])
def test_missing_files_are_one_message(make: Make, tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(DataError) as caught:
        make(name, root=str(tmp_path)).source.read_split_texts()
    message = str(caught.value)
    assert f"{tmp_path / file}\n" in message
    assert "It comes from https://github.com/" in message
    assert message.endswith("What runs now without it: metacl-run data=intents")
