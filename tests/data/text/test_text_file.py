"""Texts of a user's own file: what is read, how it is divided, and what is refused with file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metacl_run.core.errors import ConfigError, DataError
from metacl_run.data.sources.text_file import TextFile
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.text_features import encoded
from metacl_run.data.text.text_table import Columns, read_table
from tests.support.text_files import write_texts

COLUMNS: dict[str, Any] = {"text": "text", "label": "label", "task": None, "split": None}
ROWS = [("yes, please", "agree"), ('she said "no"', "refuse"), ("ja\nbitte", "agree"), ("nein", "refuse")]


def source(file: object, **changes: Any) -> TextFile:
    return TextFile(**{"encoder": "hashed", "file": str(file), "test_part": 0.2, **COLUMNS, **changes})


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_csv(separator: str) -> str:
    quoted = ['"' + text.replace('"', '""') + '"' for text, _ in ROWS]
    rows = [separator.join([label, text]) for text, (_, label) in zip(quoted, ROWS, strict=True)]
    return "\ufeff" + "\r\n".join([separator.join(["label", "text"]), *rows, "", ""])


def as_json() -> str:
    return "\n".join(json.dumps({"text": text, "label": label, "other": [1]}) for text, label in ROWS) + "\n\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("ending", "content"), [("csv", as_csv(",")), ("tsv", as_csv("\t")), ("jsonl", as_json())])
def test_formats(tmp_path: Path, ending: str, content: str, packed: bool) -> None:
    data = content.encode()
    path = written(tmp_path / f"a.{ending}{'.gz' if packed else ''}", gzip.compress(data, mtime=0) if packed else data)
    table = read_table(path, Columns(**COLUMNS))
    assert [(text.replace("\r", ""), table.labels[y]) for text, y in zip(table.texts, table.y, strict=True)] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\nhi,x\n\xe9t\xe9,x\n", r"line 3: is not UTF-8 \(byte 1 of the line, 0xe9\)"),
        ("a.csv", "text,label\nhi,x\nyes, please,x\n", r"line 3: has 3 columns, the header has 2\."),
        ("a.csv", "text,label\nhi\n", r"line 2: has 1 columns, the header has 2\."),
        ("a.csv", "txt,label\nhi,x\n", r"data\.text=text: there is no such column, but txt, label\. Did you mean txt\?"),
        ("a.csv", "text,label,label\nhi,x,x\n", r"has 2 columns that are called label"),
        ("a.csv", "text,label\nhi,x\n  ,x\n", r"line 3: the text is empty\."),
        ("a.csv", "text,label\nhi,x\nho,\n", r"line 3: the label is empty\."),
        ("a.csv", 'text,label\nhi,x\n"ho,x\nhu,x\n', r"line 3: cannot be divided into columns .*Is a quote not closed\?"),
        ("a.csv", "", r"has no rows\."),
        ("a.csv", "text,label\n", r"has no rows\."),
        ("a.csv", b"text,label\n" + b"a" * (2**20 + 1), r"line 2: has more than 1048576 bytes"),
        ("a.csv", "text,label\nhi,x\nho,x\nhu,y\n", r"1 of 2 classes has no text to learn from: y\. Every class needs"),
        ("a.jsonl", '{"text": "hi", "label": "x"}\n{"text": \n', r"line 2: is not JSON"),
        ("a.jsonl", "[1]\n", r"line 1: is a list, where an object was expected"),
        ("a.jsonl", '{"text": null, "label": "x"}\n', r"line 1: text is null; a string was expected"),
        ("a.jsonl", '{"text": "hi", "lable": "x"}\n', r"line 1: data\.label=label: .*but text, lable\. Did you mean lable\?"),
        ("a.csv.gz", b"text,label\n", r"cannot be read \(Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"text,label\nhi,x\n" * 99, mtime=0)[:-9], r"cannot be read \(Compressed file ended before"),
    ],
)
def test_bad_files_are_one_message_with_the_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        source(path).parts()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_half_a_surrogate_pair_in_a_name_is_a_question_mark(tmp_path: Path) -> None:
    rows = ['{"text": "a \\ud83d", "label": "b \\ud83d", "task": "c \\ude00", "split": "train"}'] * 2
    table = read_table(written(tmp_path / "a.jsonl", "\n".join(rows)), Columns(**{**COLUMNS, "task": "task", "split": "split"}))
    assert (table.labels, table.tasks) == (["b ?"], ["c ?"])
    assert encoded(encoder_of("hashed"), table.texts).any()


def test_a_missing_file_and_an_unknown_ending() -> None:
    with pytest.raises(DataError, match=r"^data\.file=nowhere\.csv: there is no such file\. .*: metacl-run data=intents$"):
        source("nowhere.csv").parts()


def test_settings_that_do_not_go_together(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"^data\.file=a\.cvs: must end in one of \.csv, .*Did you mean \.csv\?"):
        make("text_file", file="a.cvs")
    with pytest.raises(ConfigError, match=r"^data\.label=text: columns for text, label, task and split must all differ"):
        make("text_file", file="a.csv", label="text")


def test_test_texts_are_the_same_for_every_seed_and_of_every_class(tmp_path: Path, make: Callable[..., Any]) -> None:
    file = write_texts(tmp_path / "a.csv", classes=6, texts=10)
    read, (train, test) = source(file).read_split_texts(), source(file).parts()
    assert (train.counts.tolist(), test.counts.tolist()) == ([8] * 6, [2] * 6)
    assert sorted(read.texts) == sorted(f"text {number} of class {index}" for index in range(6) for number in range(10))
    assert all(f"class {label}" in text for text, label in zip(read.texts, read.y, strict=True))
    pool = make("text_file", "online", file=file).load([0, 1])
    tested = [sorted(map(tuple, samples.x.tolist())) for samples in pool.test(0, None)]
    assert tested[0] == tested[1]
    assert len(set(tested[0])) == 12


def test_a_column_says_which_texts_are_for_test(tmp_path: Path) -> None:
    rows = ["hi,a,train", "ho,a,TEST", "hu,b,Train", "hi,b,test", "he,b,dev", "Hu ,a,dev", "hu,a,test"]
    path = written(tmp_path / "a.csv", "\n".join(["text,label,part", *rows]))
    read = source(path, split="part").read_split_texts()
    assert (read.texts, read.num_train, read.y.tolist()) == (["hi", "hu", "ho", "hi", "hu"], 2, [0, 1, 0, 1, 0])
    assert read.notes == [
        f"{path}: 2 of 3 test texts are also training texts",
        f"{path}: 2 texts left out by the column part (2 dev); train and test are read",
    ]


def test_a_column_says_which_task_a_class_belongs_to(tmp_path: Path, make: Callable[..., Any]) -> None:
    rows = [f"text {number} of {label},{label},{task}" for task, label in ["ax", "by", "az"] for number in range(5)]
    path = written(tmp_path / "a.csv", "\n".join(["text,label,topic", *rows]))
    stream = make("split_text_file", "online", file=str(path), task="topic", tasks_from="tasks", num_tasks=None, shuffled=False)
    assert stream.count_tasks() == 2
    assert stream.load([0]).samples_per_task == 4  # task b has one class of four training texts
    written(path, path.read_text() + "\none more,x,b")
    message = r"line 17: label x is of task b, but in line 2 of task a\. A class belongs to one task"
    with pytest.raises(DataError, match=message):
        source(path, task="topic").parts()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = Path(write_texts(tmp_path / "a.csv", classes=2, texts=4))
    assert source(file).parts()[0].counts.sum() == 6
    write_texts(file, classes=3, texts=4)
    assert source(file).parts()[0].counts.sum() == 9


def test_the_file_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_texts(tmp_path / "a.csv", classes=2, texts=4)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(source("a.csv").parts()[1].counts, [1, 1])
