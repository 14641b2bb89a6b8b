"""Which rows figures draw, in which colours, and under which names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

from metacl_run.comparison import document
from metacl_run.comparison.compare import compare
from metacl_run.comparison.drawn_rows import MOST_ROWS, algorithm_colours, drawn_rows, looks
from metacl_run.comparison.section_figures import section_figures
from metacl_run.comparison.section_scores import SectionScores


@pytest.fixture
def page(run: Callable[..., Path]) -> list[SectionScores]:
    """Two sections: ten settings of er above ewc and sgd, and the three in another order on other data."""
    for place in range(10):
        run(f"er{place}", 0.9 - 0.01 * place, algo="er", algo__replay=place)
    run("ewc", 0.3, algo="ewc")
    run("sgd", 0.2, algo="sgd")
    for algo, level in (("sgd", 0.9), ("ewc", 0.5), ("er", 0.4)):
        runs = run(f"{algo}_5", level, algo=algo, data__shots=5)
    return list(compare([runs.parent]).sections)


def test_the_best_row_of_every_algorithm_is_drawn(page: list[SectionScores]) -> None:
    assert drawn_rows(page[0]) == [*(f"er algo.replay={place}" for place in range(MOST_ROWS - 2)), "ewc", "sgd"]
    among = ["er algo.replay=9", "sgd"]
    assert drawn_rows(page[0], among) == among
    (accuracy, _), problems = section_figures(page[0])
    assert list(accuracy.curves) == drawn_rows(page[0])
    assert problems == []


def test_an_algorithm_has_one_colour_on_the_page_and_every_row_its_own_look(page: list[SectionScores]) -> None:
    colours = algorithm_colours(page)
    assert len(set(colours.values())) == 3
    first, second = (looks(scores, drawn_rows(scores), colours) for scores in page)
    for algo in ("ewc", "sgd"):
        assert first[algo] == second[algo]
        assert first[algo].colour == colours[algo]
    assert second["er"] == first["er algo.replay=0"]
    assert len(set(first.values())) == len(first)
    assert {look.colour for label, look in first.items() if label.startswith("er")} & {colours["ewc"], colours["sgd"]} == set()
    (curves, _), _ = section_figures(page[1], colours)
    (axes,) = curves.draw().axes
    lines = [
        line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3 and line.get_zorder() == 3
    ]
    assert [to_hex(line.get_color()) for line in lines] == [to_hex(colours[algo]) for algo in ("sgd", "ewc", "er")]


def test_rows_of_a_single_algorithm_have_colours_of_their_own(page: list[SectionScores]) -> None:
    rows = [label for label in page[0].labels if label.startswith("er")][:MOST_ROWS]
    assert len({look.colour for look in looks(page[0], rows, algorithm_colours(page)).values()}) == MOST_ROWS


def test_a_figure_for_a_paper_has_all_names_without_the_prefix(page: list[SectionScores]) -> None:
    (accuracy, _), _ = section_figures(page[0])
    figure = accuracy.draw_for_paper()
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    texts = list(axes.texts) if legend is None else legend.get_texts()
    assert sorted(text.get_text() for text in texts) == sorted(
        [*(f"er replay={place}" for place in range(MOST_ROWS - 2)), "ewc", "sgd"]
    )
    assert all(figure.bbox.y0 <= (box := text.get_window_extent()).y0 and box.y1 <= figure.bbox.y1 for text in texts)


def test_a_page_says_a_thing_once(page: list[SectionScores], run: Callable[..., Path], tmp_path: Path) -> None:
    runs = run("more", 0.5, algo="gem", seeds=[0, 1, 2])
    document.write(compare([runs.parent]), tmp_path / "out", ["html"])
    text = (tmp_path / "out" / "report.html").read_text()
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert len(captions) == 4
    assert not any("Mean over seeds" in caption or "Drawn" in caption for caption in captions)  # which the image says
