"""Names at the ends of lines: all of them are within the figure, however many there are."""

from __future__ import annotations

import matplotlib
import pytest
from matplotlib.figure import Figure

from metacl_run.layout.canvas import Canvas, paper_panels
from metacl_run.layout.end_labels import EndLabel, end_labels, legend_height
from metacl_run.layout.style import PAPER_RC


def drawn(count: int, text: str) -> tuple[Figure, list[str], float]:
    """The names that can be read whole, top to bottom, and the height of the legend."""
    with matplotlib.rc_context(PAPER_RC):
        figure, (axes,) = paper_panels(Canvas())
        axes.plot([0, 1], [0, 1])
        end_labels(axes, 1.0, [EndLabel(place / count, f"{text} {place}", "black") for place in range(count)])
        height = legend_height(axes)
        figure.set_figheight(figure.get_figheight() + height)
        figure.draw_without_rendering()
        legend = axes.get_legend()
        texts = list(axes.texts) if legend is None else legend.get_texts()
        whole = figure.bbox
        readable = [text for text in texts if (box := text.get_window_extent()).y0 >= whole.y0 and box.y1 <= whole.y1]
        readable = [text for text in readable if (box := text.get_window_extent()).x0 >= whole.x0 and box.x1 <= whole.x1]
        return figure, [" ".join(text.get_text().split()) for text in readable], height


@pytest.mark.parametrize(
    ("count", "text"), [(3, "maml"), (8, "maml"), (8, "a_gem memories_per_task=30 replay=256"), (12, "er")]
)
def test_every_name_is_within_the_figure(count: int, text: str) -> None:
    _, names, _ = drawn(count, text)
    assert sorted(names) == sorted(f"{text} {place}" for place in range(count))


def test_a_legend_comes_only_where_labels_do_not_fit_and_is_in_the_order_of_the_ends() -> None:
    assert drawn(3, "maml")[2] == 0
    figure, names, height = drawn(8, "a_gem memories_per_task=30 replay=256")
    assert height > 0
    assert names == [f"a_gem memories_per_task=30 replay=256 {place}" for place in reversed(range(8))]
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y1 <= axes.xaxis.get_tightbbox().y0  # type: ignore[union-attr]
    assert axes.get_window_extent().height / figure.dpi > 1.4
