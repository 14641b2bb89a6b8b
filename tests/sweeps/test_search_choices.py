"""What a search refuses to choose among: test data, however they are written, and the same settings twice."""

from __future__ import annotations

from typing import Any

import pytest

from metacl_run.cli import command
from metacl_run.config.compose import split
from metacl_run.core.errors import ConfigError
from metacl_run.sweeps.search import Search, SearchSettings, prepare
from metacl_run.sweeps.space import space
from tests.support.settings import TINY

SETTINGS = {"trials": 3, "metric": None, "direction": None, "sampler": "tpe", "pruner": None, "seed": 0}
NO_TEST_DATA = r"^protocol\.eval_split: cannot be searched; a search never sees test data$"


def prepared(*overrides: str) -> Search:
    settings: dict[str, Any] = SETTINGS
    run = [*TINY, "data.validation_classes=4", "progress=none", "algo.inner_lr=interval(0.1,0.5)", *overrides]
    return prepare(SearchSettings(**settings), split(run), None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("++protocol.eval_split=test,validation", NO_TEST_DATA),
        ("+protocol.eval_split=validation,test", NO_TEST_DATA),
        ("++protocol.eval_split=choice(test,validation)", NO_TEST_DATA),
        ("protocol.eval_split=choice('test')", NO_TEST_DATA),
        ("++protocol.eval_split='test'", r"^\+\+protocol\.eval_split='test': a search never sees test data\. Leave it out"),
        (
            "protocol.eval_split=[validation]",
            r"^protocol\.eval_split=\[validation\]: a search never sees test data\.",
        ),
    ],
)
def test_test_data_are_refused_however_they_are_written(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared(line)


@pytest.mark.parametrize("value", ["validation", "'validation'", '"validation"'])
@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_validation_data_may_be_named(prefix: str, value: str) -> None:
    search = prepared(f"{prefix}protocol.eval_split={value}")
    assert [line for line in search.fixed if "eval_split" in line] == ["protocol.eval_split=validation"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["algo.inner_steps=1,1,3"], r"^algo\.inner_steps=1,1,3: has 1 more than once; the choices of a search must differ$"),
        (["algo=maml,anil,'maml'"], r"^algo=maml,anil,'maml': has 'maml' more than once"),
        (["algo.inner_steps=choice(2,2)"], r"^algo\.inner_steps=choice\(2,2\): has 2 more than once"),
        (
            ["algo.inner_steps=1,2", "++algo.inner_steps=3,4"],
            r"^\+\+algo\.inner_steps=3,4: algo\.inner_steps=1,2 searches it already; give all its values at once$",
        ),
    ],
)
def test_what_is_there_twice_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(split(lines).run)


def test_choices_that_only_look_alike_are_choices() -> None:
    _, dimensions = space(split(["a.b=1,10,true,'1'", "a.c=[1],[1,1]"]).run)
    assert [len(dimension.choices) for dimension in dimensions] == [4, 2]


def test_a_command_with_a_repeated_choice_starts_nothing(tmp_path: Any) -> None:
    pytest.importorskip("optuna")
    run = [*TINY, "data.validation_classes=4", f"output_dir={tmp_path}", "algo.inner_steps=1,1,3", "search.trials=3"]
    with pytest.raises(ConfigError, match="has 1 more than once"):
        command(run, None, multirun=True)
    assert not list(tmp_path.iterdir())
