"""Options of one's own by --config-dir: what may be wrong with a module or a YAML file is one message that names it."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from metacl_run import experiment
from metacl_run.cli import exit_status
from metacl_run.config.compose import single_experiment
from metacl_run.config.user_folder import check_folder
from metacl_run.core.errors import ConfigError

FOLDERS = ["Müller", "日本", "a=b", "a,b", "a(b", "a[b", "a{b", "it's", "a#b&c;d", "~!", "$x", "a b", "+@%:*", "${x}", "a\\b"]
IMPORTS = {
    "raise RuntimeError('boom')": "RuntimeError: boom",
    "1 / 0": "ZeroDivisionError: division by zero",
    "{}['key']": "KeyError: 'key'",
    "import json\njson.nope": "AttributeError: ",
    "nope": "NameError: name 'nope' is not defined",
    "raise OSError(13, 'no entry')": "PermissionError: ",
    "def f(): f()\nf()": "RecursionError: ",
    "raise SystemExit(7)": "SystemExit: 7",
    "raise ValueError('a value')": "ValueError: a value",
    "raise TypeError('a type')": "TypeError: a type",
    "import nowhere_to_be_found": "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    "from json import nope": "ImportError: cannot import name 'nope'",
    "def f(:": "SyntaxError: ",
    "raise Exception": "Exception: it says nothing",
}


def option(folder: Path, content: str, name: str = "mine") -> None:
    (folder / "algo").mkdir(parents=True, exist_ok=True)
    (folder / "algo" / f"{name}.yaml").write_text(content, encoding="utf-8")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's that `algo=mine` names, still empty."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"own_{abs(hash(str(tmp_path)))}"
    option(tmp_path, f"defaults: [maml, _self_]\n_target_: {name}.Mine\n")
    return tmp_path / f"{name}.py"


@pytest.mark.parametrize("code", IMPORTS)
def test_a_module_that_cannot_be_imported_is_named(code: str, module: Path) -> None:
    module.write_text(f"# a method of my own\n{code}\n")
    with pytest.raises(ConfigError) as caught:
        single_experiment(["algo=mine"], str(module.parent))
    said = str(caught.value)
    assert said.startswith(f"algo._target_={module.stem}.Mine: importing {module.stem} failed: {IMPORTS[code]}")
    assert module.name in said
    assert "\n" not in said


CLASS = """from dataclasses import dataclass
from metacl_run.algorithms.continual_meta.maml import Maml

@dataclass(frozen=True, kw_only=True)
class Mine(Maml):
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    extra: 'Nope'", "algo: the types of Mine cannot be read: NameError: name 'Nope' is not defined"),
        ("    inner_steps: 'tuple[int, int]'", "algo.inner_steps=1: has the type tuple[int, int]; settings are "),
        ("    def __post_init__(self):\n        raise KeyError('rate')", "algo: Mine cannot be made: KeyError: 'rate'"),
        ("    def __post_init__(self):\n        raise SystemExit(3)", "algo: Mine cannot be made: SystemExit: 3"),
        (
            "    def num_outputs(self, ways):\n        return 1 / 0",
            "algo=mine model=conv4_small data=split_glyphs: checking them",
        ),
    ],
)
def test_a_class_that_cannot_be_made_is_named(body: str, message: str, module: Path) -> None:
    module.write_text(CLASS + body + "\n")
    with pytest.raises(ConfigError) as caught:
        single_experiment(["algo=mine"], str(module.parent))
    assert message in str(caught.value)


NORMED = """from dataclasses import dataclass
from torch import nn
from metacl_run.models.network import Model
from metacl_run.models.running_norm import RunningBatchNorm

class Module(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), LAYER(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Identity() if outputs is None else nn.Linear(4, outputs)

    def forward(self, x):
        return self.head(self.body(x))

@dataclass(frozen=True, kw_only=True)
class Normed(Model):
    def build(self, input_shape, num_outputs):
        return Module(input_shape[0], num_outputs)
"""


def test_batch_norm_in_a_module_of_ones_own_has_a_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the message names in full; with it, the same module is accepted. Where no average helps, none is named."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "model").mkdir()
    layer = "metacl_run.models.running_norm.RunningBatchNorm"
    for name, used in (("own_batch_normed", "nn.BatchNorm2d"), ("own_running_normed", layer.rpartition(".")[2])):
        (tmp_path / f"{name}.py").write_text(NORMED.replace("LAYER", used))
        (tmp_path / "model" / f"{name}.yaml").write_text(f"_target_: {name}.Normed\n")
    with pytest.raises(ConfigError) as caught:
        single_experiment(["algo=er", "model=own_batch_normed"], str(tmp_path))
    assert f"a test batch would give its task away. Use {layer} in its place, model.norm=running where" in str(caught.value)
    single_experiment(["algo=er", "model=own_running_normed"], str(tmp_path))
    with pytest.raises(ConfigError, match=r"^model: Normed has batch norm.* Use model=oml_small, "):
        single_experiment(["algo=oml", "model=own_batch_normed"], str(tmp_path))
    with pytest.raises(ConfigError, match=r"^model: Conv4 has batch norm.* Use model\.norm=running where"):
        single_experiment(["algo=er", "model=conv4_small", "data=split_glyphs"], None)


LAUGHS = "a: &a [0,0,0,0,0,0,0,0,0]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in ("ab", "bc", "cd", "de", "ef")
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"defaults:\n  - maml\n# caf\xe9\n", "mine.yaml: must be written in UTF-8"),
        ("inner_lr: 0.1\n".encode("utf-16"), "mine.yaml: must be written in UTF-8"),
        (LAUGHS.encode(), "by its anchors"),
        (b"a: &a [*a]\n", "by its anchors"),
        (b"a: " + b"[" * 60 + b"]" * 60, "nested more than 50 levels deep"),
        (b"a: " + b"0" * 2**20, "larger than the 1 MB"),
        (b"defaults: [mine]\n", "mine"),
        (b"inner_lr: [\n", "mine.yaml"),
        (b"- 1\n", "algo: has no _target_"),
        (b"", "algo: has no _target_"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "mine.yaml").write_bytes(content)
    assert exit_status(["--config-dir", str(tmp_path), "algo=mine"]) == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    os.mkfifo(tmp_path / "algo" / "mine.yaml")
    with pytest.raises(ConfigError, match=r"mine\.yaml: is not a file"):
        check_folder(str(tmp_path))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    option(tmp_path / name, "defaults: [maml, _self_]\ninner_lr: 0.3\n")
    assert single_experiment(["algo=mine"], str(tmp_path / name)).algo.inner_lr == 0.3


def test_the_recorded_command_runs_when_it_is_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option(tmp_path / "it's mine", "defaults: [maml, _self_]\ninner_lr: 0.3\n")
    monkeypatch.chdir(tmp_path)
    built = single_experiment(["algo=mine", "output_dir=größe"], "it's mine")
    program, *words = shlex.split(built.command)
    assert program == "metacl-run"
    started = []
    monkeypatch.setattr(experiment, "run", lambda built, ranks: started.append(built) or 0)
    assert exit_status(words) == 0
    assert (started[0].run_id, started[0].directory) == (built.run_id, built.directory)
    monkeypatch.chdir("/")
    assert exit_status([word for word in words if not word.startswith("output_dir")]) == 0
    assert json.dumps(started[1].resolved["algo"]) == json.dumps(built.resolved["algo"])
