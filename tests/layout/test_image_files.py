"""Files of figures: an SVG names the fonts that a reader may have in place of its own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from metacl_run.layout.image_files import save
from metacl_run.layout.style import PAPER_RC, RC
from metacl_run.layout.styled_figure import StyledFigure

WORDS = "font-family: 'DejaVu Sans'; <STIXGeneral>"
"""A label that looks like a style."""


@pytest.mark.parametrize(
    ("rc", "families"),
    [
        (PAPER_RC, "STIXGeneral, 'Times New Roman', Times, serif"),
        (RC, "'DejaVu Sans', Verdana, sans-serif"),
    ],
)
def test_an_svg_names_fonts_in_place_of_its_own(rc: dict[str, object], families: str, tmp_path: Path) -> None:
    with matplotlib.rc_context(rc):
        figure = StyledFigure(rc)
        figure.text(0.1, 0.5, WORDS)
    (path,) = save(figure, tmp_path / "figure", ("svg",))
    texts = [element for element in ElementTree.fromstring(path.read_text()).iter() if element.tag.endswith("}text")]
    assert [text.text for text in texts] == [WORDS]
    styles = dict(part.strip().split(": ", 1) for part in texts[0].attrib["style"].split(";"))
    assert styles["font-family"] == families
