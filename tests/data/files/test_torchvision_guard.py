"""torchvision can be imported where its C++ library cannot be loaded, and is imported only where it is needed."""

from __future__ import annotations

from pathlib import Path

from metacl_run.data import sources
from metacl_run.data.files.torchvision_guard import torchvision_module
from tests.support.commands import run_command


def test_torchvision_can_be_imported() -> None:
    assert hasattr(torchvision_module("datasets"), "Omniglot")


def test_sources_do_not_import_torchvision(tmp_path: Path) -> None:
    folder = Path(sources.__path__[0])
    modules = ", ".join(f"metacl_run.data.sources.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")
    program = f"import {modules}; import sys; print('torchvision' in sys.modules)"
    assert run_command(cwd=tmp_path, program=program).stdout == "False\n"
