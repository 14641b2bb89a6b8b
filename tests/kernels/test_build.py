"""Compiling, caching and doing without the kernels, each in a process of its own."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metacl_run.kernels import build

has_compiler = pytest.mark.skipif(build.load() is None, reason="no compiled kernels here")

PROBE = """
import torch
from metacl_run.kernels import build
from metacl_run.kernels.norm_relu_pool import norm_relu_pool, reference
x = torch.randn(4, 8, 28, 28, dtype=torch.float64)
scale, offset = torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
torch.testing.assert_close(norm_relu_pool(x, scale, offset, 2), reference(x, scale, offset, 2))
print("compiled" if build.load() else "torch")
"""


def probe(code: str = PROBE, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **variables}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=180)
    assert process.returncode == 0
    return text.strip()


def test_switched_off() -> None:
    assert output(probe(METACL_KERNELS="off")) == "torch"


def test_without_a_compiler(tmp_path: Path) -> None:
    assert output(probe(PATH=str(tmp_path), CXX="no-such-compiler", METACL_CACHE=str(tmp_path / "cache"))) == "torch"


def test_with_a_compiler_that_fails(tmp_path: Path) -> None:
    false = shutil.which("false")
    assert false is not None
    assert output(probe(CXX=false, METACL_CACHE=str(tmp_path))) == "torch"


@pytest.mark.slow
def test_where_nothing_can_be_cached(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert output(probe(METACL_CACHE=str(tmp_path / "file" / "cache"))) == "torch"


HOMELESS = f"""
from pathlib import Path
def home():
    raise RuntimeError("Could not determine home directory.")
Path.home = home
{PROBE}"""


@pytest.mark.slow
def test_without_a_home_folder() -> None:
    assert output(probe(HOMELESS, METACL_CACHE="", XDG_CACHE_HOME="")) == "torch"


@pytest.mark.slow
@has_compiler
def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    both = [probe(METACL_CACHE=str(tmp_path)) for _ in range(2)]
    assert [output(process) for process in both] == ["compiled", "compiled"]
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].endswith(".so")


LOAD = "from metacl_run.kernels import build\nbuild.load()\nprint(build.name())"


@has_compiler
def test_a_torn_library_is_compiled_again_and_ends_no_process(tmp_path: Path) -> None:
    found = build._library()
    assert found is not None
    whole = found[0].read_bytes()
    torn = tmp_path / found[0].name
    torn.write_bytes(whole[:4096])  # to load this would end the process with SIGBUS
    assert output(probe(LOAD, METACL_CACHE=str(tmp_path))) == found[0].stem
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


@has_compiler
def test_a_whole_library_that_does_not_load_is_compiled_once_more_and_then_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiled: list[str] = []

    def compile_garbage(folder: Path, stem: str, *_: object) -> Path:
        compiled.append(stem)
        library = folder / f"{stem}-{hashlib.sha256(b'garbage').hexdigest()[:16]}.so"
        library.write_bytes(b"garbage")
        return library

    monkeypatch.setenv("METACL_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_compiled", compile_garbage)
    for left in (False, True):  # by an earlier process
        if left:
            compile_garbage(tmp_path, compiled[0])
        compiled.clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="metacl_run"):
            assert build._library.__wrapped__() is None
        assert len(compiled) == 1
        assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["no compiled kernels"]
        assert list(tmp_path.iterdir()) == []


@has_compiler
@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc")
def test_one_openmp_runtime_serves_torch_and_the_kernels() -> None:
    code = PROBE + "\nprint(*{l.split()[-1] for l in open('/proc/self/maps') if 'libgomp' in l}, sep='\\n')"
    assert len(output(probe(code)).splitlines()) == 2
