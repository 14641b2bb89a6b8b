"""Dockerfile, environment.yml, hosted CI and version, against pyproject.toml: without a daemon, a solver or a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metacl_run.core.version import __version__

REPOSITORY = Path(__file__).parent.parent.parent
PROJECT = (REPOSITORY / "pyproject.toml").read_text()
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def instructions() -> Iterator[tuple[str, str, str]]:
    """(name of the stage, instruction, its arguments on one line) of the Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage = ""
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            stage = arguments.partition(" AS ")[2]
        yield stage, name, re.sub(r"--mount=\S+\s+", "", arguments).strip()


def of(stage: str, name: str) -> list[str]:
    return [arguments for in_stage, instruction, arguments in instructions() if (in_stage, instruction) == (stage, name)]


def run_in(folder: Path, command: str) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-euc", command], cwd=folder, check=True, env={**os.environ, "PATH": programs}, capture_output=True)


def context(folder: Path) -> Path:
    """Copies what .dockerignore lets into the build; it excludes everything, then names what it lets in."""
    first, *others = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    for name in (line[1:] for line in others if line.startswith("!")):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def test_the_image_installs_the_requirements_of_the_project(tmp_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none; the image has a later one")
    for source in of("requirements", "COPY"):
        shutil.copy(REPOSITORY / source.split()[0], tmp_path)
    for command in of("requirements", "RUN"):
        run_in(tmp_path, command)
    required = tomllib.loads(PROJECT)["project"]["dependencies"]
    assert (tmp_path / "all.txt").read_text().splitlines() == required
    assert (tmp_path / "torch.txt").read_text().splitlines() == [line for line in required if line.startswith("torch")]
    installed = [re.search(r"pip install .*--requirement /build/(\S+)", command) for command in of("", "RUN")]
    assert [match[1] for match in installed if match] == ["torch.txt", "all.txt"]  # torch from its own index, and first


def test_the_image_builds_a_complete_wheel_from_what_enters_it(tmp_path: Path) -> None:
    folder = context(tmp_path / "src")
    _, build = of("wheel", "RUN")
    run_in(folder, build.replace("/wheels", str(tmp_path / "wheels")))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    assert wheel.name == f"metacl_run-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    for source, inside in (("metacl_run", "metacl_run"), ("configs", "metacl_run/_configs")):
        files = [path for path in (REPOSITORY / source).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {f"{inside}/{path.relative_to(REPOSITORY / source).as_posix()}" for path in files} <= names


def test_the_image_runs_the_command_without_root() -> None:
    (entrypoint,), (user,) = of("", "ENTRYPOINT"), of("", "USER")
    assert f"\n{yaml.safe_load(entrypoint)[0]} = " in PROJECT
    assert user == "1000"
    versions = {match[1] for match in re.finditer(r"(?:python:|PYTHON=)(3\.\d+)", (REPOSITORY / "Dockerfile").read_text())}
    assert versions
    assert versions <= set(PYTHONS)


def test_environment_yml_leaves_every_range_to_the_project() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    *packages, pip = environment["dependencies"]
    assert [line.partition(" ")[2] for line in packages if line.startswith("python ")] == requires_python()
    assert {"pip", "cxx-compiler"} <= {line.split()[0] for line in packages}
    assert pip == {"pip": ["--editable ."]}


def requires_python() -> list[str]:
    return re.findall(r'requires-python = "(.*)"', PROJECT)


def test_hosted_ci_calls_what_there_is_for_every_python() -> None:
    workflow: dict[str, Any] = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    jobs = workflow["jobs"]
    assert jobs["checks"]["strategy"]["matrix"]["python"] == PYTHONS
    assert requires_python() == [f">={PYTHONS[0]},<3.{int(PYTHONS[-1].partition('.')[2]) + 1}"]
    assert re.findall(r"Python :: (3\.\d+)", PROJECT) == PYTHONS
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    scripts = {match for command in commands for match in re.findall(r"(?:scripts|\.ci)/[\w.]+", command)}
    assert scripts == {".ci/run", "scripts/smoke.sh"}
    assert all(os.access(REPOSITORY / script, os.X_OK) for script in scripts)


def test_the_version_is_the_same_everywhere() -> None:
    assert 'dynamic = ["version"]' in PROJECT
    assert re.findall(r"^version: (.*)$", (REPOSITORY / "CITATION.cff").read_text(), flags=re.MULTILINE) == [__version__]
    headings = re.findall(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[headings[0] == "Unreleased"] == __version__
