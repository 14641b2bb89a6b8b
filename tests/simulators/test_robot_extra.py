"""What is said where packages of the extra `robot` are missing or do not fit, whether or not they are installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from metacl_run.cli import exit_status
from metacl_run.core.errors import DataError
from metacl_run.simulators import robot_extra
from metacl_run.simulators.robot_extra import GYMNASIUM, METAWORLD, check_packages

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
GOOD = {"metaworld": "3.1.1", "gymnasium": "1.4.0", "mujoco": "3.3.0", "packaging": "26.0"}


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Makes it look as if these packages were installed and no others."""

    def version(package: str) -> str:
        if package not in versions:
            raise PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(robot_extra, "version", version)


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({}, "metaworld, gymnasium, mujoco, packaging not installed"),
        ({**GOOD, "mujoco": "4.0.0"}, "mujoco 4.0.0 is installed, and only 3.3.0 works"),
        (
            {"metaworld": "2.0.0", "gymnasium": "1.4.0", "mujoco": "4.0.0"},
            "packaging not installed; metaworld 2.0.0 is installed, and only 3.1.1 works; mujoco 4.0.0 is installed, and only",
        ),
    ],
)
def test_one_message_says_what_is_wrong_and_what_helps(
    versions: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install(monkeypatch, **versions)
    assert exit_status(["algo=er", "data=metaworld", f"output_dir={tmp_path / 'runs'}"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"metacl-run: data=metaworld: {message}")
    assert lines[0].endswith("pip install 'metacl-run[robot]' brings versions that work. Without them: data=planar_skills")
    assert not (tmp_path / "runs").exists()


def test_versions_that_work_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, **GOOD)
    check_packages("data=metaworld", METAWORLD, "")
    install(monkeypatch, gymnasium="1.4.0", mujoco="4.0.0", packaging="26.0")
    check_packages("data=half_cheetah", GYMNASIUM, "")  # which works with it
    install(monkeypatch, gymnasium="1.4.0", mujoco="4.0.0")
    with pytest.raises(DataError, match="data=half_cheetah: packaging not installed"):
        check_packages("data=half_cheetah", GYMNASIUM, "")


def test_the_extra_brings_the_pins() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    requirements = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["robot"]
    assert f"metaworld=={METAWORLD['metaworld']}" in requirements
    assert f"mujoco=={METAWORLD['mujoco']}" in requirements
    assert any(requirement.startswith("gymnasium[mujoco]") for requirement in requirements)  # brings packaging
