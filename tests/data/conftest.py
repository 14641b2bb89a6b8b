from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metacl_run.config.streams import build_stream, with_stream
from tests.support.merged_options import merged

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("METACL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make() -> Callable[..., Any]:
    """Builds a shipped stream with some settings changed: `make("split_glyphs", "online", scenario="task")`.

    Without a protocol, it is the first one that the option has a stream for.
    """

    def build(name: str, protocol: str | None = None, **changes: object) -> Any:
        config: Any = OmegaConf.to_container(merged(PROJECT / "configs" / "data" / f"{name}.yaml"), resolve=True)
        kind = protocol or next(iter(config["streams"]))
        return build_stream(with_stream({**config, **changes}, kind), kind, elsewhere=config["streams"])

    return build


@pytest.fixture(scope="session")
def real_data() -> str:
    """The folder of the real data sets; the test is skipped where there is none."""
    for root in (os.environ.get("METACL_DATA"), PROJECT.parent / "shared" / "data"):
        if root and Path(root, "omniglot", "images_background.zip").is_file():
            return str(root)
    pytest.skip("no real data: set METACL_DATA")
