"""torchvision can be imported where its C++ library cannot be loaded, and is imported only where it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metacl_run.data import sources
from metacl_run.data.files.torchvision_guard import torchvision_datasets


def test_torchvision_can_be_imported_and_is_not_by_the_sources() -> None:
    assert hasattr(torchvision_datasets(), "Omniglot")
    folder = Path(sources.__file__).parent
    modules = ", ".join(f"metacl_run.data.sources.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__")
    code = f"import {modules}; import sys; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0
