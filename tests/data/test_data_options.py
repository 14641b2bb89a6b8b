"""Every shipped option of the group `data`: its file says everything there is to set, and what its settings decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metacl_run.config.components import component_class
from tests.support.merged_options import merged

PATHS = sorted((Path(__file__).parents[2] / "configs" / "data").glob("*.yaml"))
SECTIONS = [(path.stem, kind) for path in PATHS for kind in merged(path)["streams"]]
TARGET = "_target_"


def settings_of(target: str) -> set[str]:
    """The fields of a source or stream that a user sets."""
    return {field.name for field in dataclasses.fields(component_class(target, "data"))} - {"source"}


def test_no_setting_of_a_stream_is_one_of_its_source() -> None:
    for name, kind in SECTIONS:
        node = merged(Path(PATHS[0].parent, f"{name}.yaml"))
        assert not settings_of(node[TARGET]) & settings_of(node["streams"][kind][TARGET]), (name, kind)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_setting_stands_in_the_file_with_a_comment(path: Path) -> None:
    node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    if TARGET not in node:  # a variant says what differs
        whole = merged(path)
        known = settings_of(whole[TARGET]).union(*(settings_of(section[TARGET]) for section in whole["streams"].values()))
        assert set(node) - {"defaults"} <= known
        return
    sections = node["streams"]
    assert set(node) - {"defaults"} == settings_of(node[TARGET]) | {TARGET, "streams"}
    for section in sections.values():
        assert set(section) == settings_of(section[TARGET]) | {TARGET}
    no_settings = (TARGET, "#", "defaults:", "- override", *(f"{kind}:" for kind in sections))
    lines = [line for line in path.read_text().splitlines() if not line.strip().startswith(no_settings)]
    assert len(lines) == len(set(node) - {"defaults", TARGET}) + sum(len(section) - 1 for section in sections.values())
    assert all(" # " in line for line in lines)


@pytest.mark.parametrize(("name", "kind"), SECTIONS)
def test_only_places_and_processes_are_left_out_of_the_identity(make: Callable[..., Any], name: str, kind: str) -> None:
    stream = make(name, protocol=kind)
    assert all(field.metadata.get("identity", True) for field in dataclasses.fields(stream))
    identity = {field.name: field.metadata.get("identity", True) for field in dataclasses.fields(stream.source)}
    # of the user's, whose content is the data
    own_files = name.endswith(("image_folder", "train_test_images", "text_file", "_imagenet"))
    places = set() if own_files else {"root", "download", "processes", "timeout"} & set(identity)
    assert {field for field, counts in identity.items() if not counts} == places
