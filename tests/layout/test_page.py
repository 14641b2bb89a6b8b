"""Figures in a page: every id is unique, and every reference leads to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metacl_run.layout.page import inline_svg

SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg"><metadata>who</metadata><defs><clipPath id="p1"><rect/></clipPath><path id="m"/></defs>
<g clip-path="url(#p1)"><use href="#m"/><text>id="m" url(#p1)</text></g></svg>"""


@pytest.mark.parametrize("name", ["accuracy", "01_split_glyphs", "2", "10_x"])
def test_ids_have_the_name_of_the_file_before_them(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.svg").write_text(SVG)
    page = str(inline_svg(tmp_path / f"{name}.svg", "A <title>"))
    assert re.findall(r'<[^>]* id="([^"]*)"', page) == [f"{name}-p1", f"{name}-m"]
    assert re.findall(r'clip-path="url\(#([^)]*)\)"', page) == [f"{name}-p1"]
    assert re.findall(r'<use href="#([^"]*)"', page) == [f"{name}-m"]
    assert '<text>id="m" url(#p1)</text>' in page
    assert 'aria-label="A &lt;title&gt;"' in page
    assert "<metadata>" not in page
