"""A component of the user's own whose code changes between two commands: said, refused, or begun anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import metacl_run as mr
from metacl_run.config.compose import single_experiment
from metacl_run.config.load import Experiment
from metacl_run.core.errors import UserError
from metacl_run.experiment import run
from metacl_run.runtime.own_code import own_code
from tests.support.runs import stop_after
from tests.support.settings import SMALL_STREAM

CODE = '''
from dataclasses import dataclass
from metacl_run.algorithms.online.er import Replay

@dataclass(frozen=True, kw_only=True)
class Mine(Replay):
    """Replay under another name. Factor {factor}."""
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "options" / "algo").mkdir(parents=True)
    (tmp_path / "options" / "algo" / "mine.yaml").write_text("# Mine.\ndefaults: [er]\n_target_: mine_of_the_test.Mine\n")
    (tmp_path / "mine_of_the_test.py").write_text(CODE.format(factor=1))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("metacl_run.reporting.figures.draw", lambda _: [])
    monkeypatch.setattr("metacl_run.reporting.report.write", lambda _: None)
    return tmp_path


def composed(folder: Path, *words: str) -> Experiment:
    """As a new process composes it."""
    sys.modules.pop("mine_of_the_test", None)
    settings = ["algo=mine", *SMALL_STREAM, f"output_dir={folder / 'runs'}", "progress=none", "figures.style=none", *words]
    return single_experiment(settings, str(folder / "options"))


def change(folder: Path) -> None:
    (folder / "mine_of_the_test.py").write_text(CODE.format(factor=20))


def test_a_run_keeps_the_code_that_is_not_of_the_package(folder: Path) -> None:
    built = composed(folder)
    assert run(built) == 0
    kept = json.loads((built.directory / "own_code.json").read_text())
    assert kept == {"mine_of_the_test": CODE.format(factor=1)}
    assert own_code([mr.UserError("none")]) == {}


def test_what_a_module_imports_from_its_folder_belongs_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = CODE.format(factor=1) + "from helper_of_the_test import half\nimport json\n"
    (folder / "mine_of_the_test.py").write_text(code)
    (folder / "helper_of_the_test.py").write_text("def half(x):\n    return x / 2\n")
    monkeypatch.delitem(sys.modules, "helper_of_the_test", raising=False)
    assert set(own_code([composed(folder).algo])) == {"mine_of_the_test", "helper_of_the_test"}


IMPORTS = {
    "from helper_of_the_test import DECAY\n": {"helper_of_the_test"},
    "from helper_of_the_test import *\n": {"helper_of_the_test"},
    "def late():\n    from helper_of_the_test import DECAY\n": {"helper_of_the_test"},
    "def late():\n    import package_of_the_test.inner\n": {"package_of_the_test", "package_of_the_test.inner"},
    "from package_of_the_test import inner\n": {"package_of_the_test", "package_of_the_test.inner", "helper_of_the_test"},
    "import json, yaml\nfrom math import pi\nfrom numpy import e\nfrom installed_of_the_test import TAU\n": set(),
}


@pytest.mark.parametrize("line", IMPORTS)
def test_a_module_belongs_to_it_of_which_only_a_constant_is_imported(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = folder / "venv" / "site-packages"
    for package in (installed, folder / "package_of_the_test"):
        package.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(installed))
    (installed / "installed_of_the_test.py").write_text("TAU = 6.28\n")
    (folder / "helper_of_the_test.py").write_text("DECAY = 0.5\n")
    (folder / "package_of_the_test" / "__init__.py").write_text("RATE = 0.1\n")
    (folder / "package_of_the_test" / "inner.py").write_text(
        "from . import RATE\nfrom .missing_of_the_test import X\n"
        if "late" in line
        else "from helper_of_the_test import DECAY\n"
    )
    for name in ("helper_of_the_test", "package_of_the_test", "package_of_the_test.inner", "installed_of_the_test"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / "mine_of_the_test.py").write_text(CODE.format(factor=1) + line)
    assert set(own_code([composed(folder).algo])) == {"mine_of_the_test", *IMPORTS[line]}


def test_a_run_whose_imported_constant_changed_is_shown_with_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine_of_the_test.py").write_text(CODE.format(factor=1) + "from helper_of_the_test import DECAY\n")
    (folder / "helper_of_the_test.py").write_text("DECAY = 0.5\n")
    monkeypatch.delitem(sys.modules, "helper_of_the_test", raising=False)
    assert run(composed(folder)) == 0
    assert run(composed(folder)) == 0
    assert "was changed" not in capsys.readouterr().err
    (folder / "helper_of_the_test.py").write_text("DECAY = 0.25\n")
    sys.modules.pop("helper_of_the_test")
    assert run(composed(folder)) == 0
    assert "computed before helper_of_the_test was changed" in capsys.readouterr().err


def test_a_learner_of_changed_code_is_opened_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    built = composed(folder)
    assert run(built) == 0
    mr.load(built.directory).learner()
    assert "was changed since" not in caplog.text
    change(folder)
    sys.modules.pop("mine_of_the_test")
    mr.load(built.directory).learner()
    assert f"{built.directory}: mine_of_the_test was changed since; what the run learned is used with" in caplog.text


WITHOUT_A_LOSS = """
    def observe(self, *parts):
        state, metrics = super().observe(*parts)
        return state, {'cost': metrics['loss']}
"""


def test_a_method_without_a_loss_is_refused_by_its_name(folder: Path) -> None:
    (folder / "mine_of_the_test.py").write_text(CODE.format(factor=1) + WITHOUT_A_LOSS)
    with pytest.raises(UserError, match=r'algo: the metrics of Mine have no "loss"; they have cost'):
        run(composed(folder))


def test_a_finished_run_is_shown_with_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(composed(folder)) == 0
    assert run(composed(folder)) == 0
    assert "mine_of_the_test was changed" not in capsys.readouterr().err
    change(folder)
    assert run(composed(folder)) == 0
    assert "computed before mine_of_the_test was changed; rerun=true computes it" in capsys.readouterr().err
    assert run(composed(folder, "rerun=true")) == 0
    capsys.readouterr()
    assert run(composed(folder)) == 0
    assert "mine_of_the_test was changed" not in capsys.readouterr().err


def test_an_unfinished_run_does_not_go_on_with_other_code(folder: Path) -> None:
    built = composed(folder)
    stop_after(built, 3)
    begun = (built.directory / "checkpoint.pt").read_bytes()
    change(folder)
    with pytest.raises(UserError, match=r"mine_of_the_test was changed since this run began.* rerun=true begins anew"):
        run(composed(folder))
    assert (built.directory / "checkpoint.pt").read_bytes() == begun
    assert run(composed(folder, "rerun=true")) == 0
    records = [json.loads(line) for line in (built.directory / "metrics.jsonl").read_text().splitlines()]
    assert [record["unit"] for record in records].count(0) == 1
    assert "Factor 20" in (built.directory / "own_code.json").read_text()
