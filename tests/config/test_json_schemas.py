"""JSON schemas of option files: they accept every file that ships, and mark what a run would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Lt, MaxLen, MinLen
from jsonschema import Draft7Validator
from omegaconf import OmegaConf

from metacl_run.cli import exit_status
from metacl_run.config.components import config_dir
from metacl_run.config.conversion import convert
from metacl_run.config.json_schemas import SCHEMA_GROUPS, of_type, schema
from metacl_run.config.option_files import OptionFiles


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft7Validator]:
    files = OptionFiles()
    schemas = {group: json.loads(json.dumps(schema(group, files))) for group in SCHEMA_GROUPS}
    for content in schemas.values():
        Draft7Validator.check_schema(content)
    return {group: Draft7Validator(content) for group, content in schemas.items()}


def content(group: str, name: str) -> dict[str, Any]:
    loaded = OmegaConf.to_container(OmegaConf.load(config_dir() / group / f"{name}.yaml"), resolve=False)
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


@pytest.mark.parametrize("group", SCHEMA_GROUPS)
def test_every_shipped_file_is_valid(group: str, validators: dict[str, Draft7Validator]) -> None:
    for path in (config_dir() / group).glob("*.yaml"):
        assert not [error.message for error in validators[group].iter_errors(content(group, path.stem))], path


@pytest.mark.parametrize(
    ("group", "name", "change"),
    [
        ("algo", "maml", {"inner_lr": -1}),
        ("algo", "maml", {"inner_lr": "fast"}),
        ("algo", "maml", {"plastic": "body"}),
        ("algo", "maml", {"inner_lrr": 0.1}),
        ("algo", "anil", {"inner_lrr": 0.1}),
        ("algo", "anil", {"inner_steps": -1}),
        ("data", "split_mnist", {"image_size": 4}),
        ("data", "many_permuted_mnist", {"num_tasks": 1.5}),
        ("model", "conv4", {"channels": 2.5}),
        ("protocol", "online", {"eval_split": "train"}),
        ("gpu", "auto", {"precision": "float8"}),
        ("experiment", "omniglot_oml", {"algo": {"inner_lrr": 1}}),
        ("experiment", "omniglot_oml", {"protocol": {"updates": -5}}),
        ("experiment", "omniglot_oml", {"data": {"image_size": "large"}}),
    ],
)
def test_a_wrong_value_is_marked(group: str, name: str, change: dict[str, Any], validators: dict[str, Draft7Validator]) -> None:
    assert not validators[group].is_valid({**content(group, name), **change})


def test_streams_and_missing_settings_are_checked(validators: dict[str, Draft7Validator]) -> None:
    data = content("data", "split_mnist")
    assert not validators["data"].is_valid({**data, "streams": {"online": {**data["streams"]["online"], "scenario": "tasks"}}})
    algo = content("algo", "maml")
    del algo["inner_steps"]
    assert not validators["algo"].is_valid(algo)
    assert validators["algo"].is_valid({"_target_": "my.module.Mine", "anything": 1})
    assert validators["algo"].is_valid({"defaults": ["maml", "_self_"], "inner_lr": "${algo.outer_lr}"})


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[int, Ge(1)] | None,
        Annotated[float, Ge(0), Lt(1)],
        Literal["a", "b"],
        Literal["a"] | None,
        Annotated[list[Annotated[int, Ge(2)]], MaxLen(2)],
        bool,
        Annotated[str, MinLen(1)],
    ],
)
def test_a_schema_accepts_what_a_run_accepts(hint: Any) -> None:
    validator = Draft7Validator(of_type(hint))
    for value in (None, True, 0, 1, 2, 0.5, 1.0, -1, "", "a", "c", [], [1], [2], [2, 3], [2, 3, 4], ["a"]):
        try:
            convert(value, hint)
        except ValueError:
            expected = isinstance(value, float) and value.is_integer() and validator.is_valid(int(value))  # 1.0 is 1 in JSON
        else:
            expected = True
        assert validator.is_valid(value) == expected, value


def test_the_command_writes_them_and_says_how_an_editor_finds_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metacl_run.commands.schemas.SCHEMA_GROUPS", ("gpu",))
    assert exit_status(["schema", str(tmp_path / "schemas")]) == 0
    written = json.loads((tmp_path / "schemas" / "gpu.json").read_text())
    assert "description" in json.dumps(written)
    assert '"**/gpu/*.yaml"' in capsys.readouterr().out
    assert exit_status(["schema=/dev/null/x"]) == 1
    assert "schema=/dev/null/x: cannot be written" in capsys.readouterr().err
