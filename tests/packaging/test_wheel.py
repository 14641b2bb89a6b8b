"""The built package, installed in a new environment and used from another folder: what a checkout hides shows here."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.settings import TINY
from tests.support.stored_runs import build_run

REPOSITORY = Path(__file__).parent.parent.parent
CONFIGS = sorted(path.relative_to(REPOSITORY / "configs").as_posix() for path in (REPOSITORY / "configs").rglob("*.yaml"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel that was built from it, as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that holds the wheel, and borrows the packages it needs from this one."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, symlinks=True)
    programs = home / "bin"
    call(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps", "--no-index", wheel, cwd=home)
    (packages,) = home.glob("lib/python*/site-packages")
    # A folder added by a .pth file is searched last, and .pth files in it (our editable install) are not followed.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    return programs


def call(*command: str | Path, cwd: Path, status: int = 0) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "METACL_RUNS", "METACL_DATA"))
    }
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == status, f"{command}: exit status {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_the_wheel_holds_what_the_program_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    for config in CONFIGS:
        assert f"metacl_run/_configs/{config}" in names
    for path in (REPOSITORY / "metacl_run").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(REPOSITORY).as_posix() in names
    assert {
        "metacl_run/reporting/report.html.j2",
        "metacl_run/layout/page.css",
        "metacl_run/comparison/comparison_page.html.j2",
        "metacl_run/kernels/norm_relu_pool.cpp",
    } <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "metacl_run"
    }  # the package and its metadata; no tests, no runs
    assert "License-Expression: MIT" in text


def test_the_source_archive_holds_what_a_packager_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CONTRIBUTING.md",
        "configs/config.yaml",
        "tests/test_imports.py",
        "results/README.md",
        "docs/install.md",
        *("Dockerfile", ".dockerignore", "environment.yml", ".ci/run", ".github/workflows/ci.yml"),
        *("scripts/run.sh", "scripts/test.sh", "scripts/smoke.sh"),
    } <= names
    assert not any(name.startswith((".venv/", ".git/", "runs/", "data/")) for name in names)


def test_an_installed_run_from_another_folder_completes(installed: Path, tmp_path: Path) -> None:
    where = "import metacl_run, metacl_run.config.components as c; print(metacl_run.__file__); print(c.config_dir())"
    for line in call(installed / "python", "-c", where, cwd=tmp_path).splitlines():
        assert Path(line).is_relative_to(installed.parent), line  # not this checkout

    call(installed / "metacl-run", *TINY, "progress=plain", "figures.style=screen", cwd=tmp_path)

    (summary,) = (tmp_path / "runs").glob("split_glyphs/maml/*/summary.json")
    assert json.loads(summary.read_text())["status"] == "completed"
    for name in ("config.yaml", "metrics.jsonl", "accuracy_matrix.npy", "report.html"):
        assert (summary.parent / name).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]  # and it leaves nothing else here


def test_installed_a_mistake_is_told_and_help_helps(installed: Path, tmp_path: Path) -> None:
    call(installed / "metacl-run", "algo=mamll", cwd=tmp_path, status=1)
    assert "data=split_omniglot " in call(installed / "metacl-run", "list", cwd=tmp_path)
    assert "_target_: metacl_run.algorithms.continual_meta.reptile.Reptile" in call(
        installed / "python", "-m", "metacl_run", "algo=reptile", "--cfg", "job", cwd=tmp_path
    )
    assert not list(tmp_path.iterdir())


def test_installed_runs_are_compared(installed: Path, tmp_path: Path) -> None:
    build_run(tmp_path / "runs" / "one", replicates=2)
    assert "--metric NAME" in call(installed / "metacl-report", "--help", cwd=tmp_path)
    assert "1 configuration" in call(installed / "metacl-report", "runs", cwd=tmp_path)
    assert "<svg role=" in (tmp_path / "report" / "report.html").read_text()
    assert "PATH" in call(installed / "python", "-m", "metacl_run.comparison", "--help", cwd=tmp_path)


def test_a_component_of_the_users_own_works_beside_the_installed_package(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "my_methods.py").write_text(
        "from dataclasses import dataclass\n"
        "from metacl_run.algorithms.continual_meta.protonet import ProtoNet\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(ProtoNet):\n"
        "    pass\n"
    )
    protonet = (REPOSITORY / "configs" / "algo" / "protonet.yaml").read_text()
    (tmp_path / "my_configs" / "algo").mkdir(parents=True)
    mine = protonet.replace("metacl_run.algorithms.continual_meta.protonet.ProtoNet", "my_methods.Mine")
    (tmp_path / "my_configs" / "algo" / "mine.yaml").write_text(mine)

    call(
        installed / "python",
        "-m",
        "metacl_run",
        "--config-dir",
        "my_configs",
        "algo=mine",
        *TINY,
        "progress=plain",
        cwd=tmp_path,
    )

    (summary,) = (tmp_path / "runs").glob("split_glyphs/mine/*/summary.json")
    assert json.loads(summary.read_text())["algo"] == "mine"
