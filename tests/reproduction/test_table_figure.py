"""The figure of a table: its bars and axes by hand, and that it says what it draws and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.reproduction import table_figure
from metacl_run.reproduction.paper_table import PaperCell, PaperTable, parse
from metacl_run.reproduction.results import Ours, Result
from metacl_run.reproduction.table_figure import caption
from metacl_run.reproduction.table_ranges import papers_bar, ranges
from tests.reproduction.test_paper_tables import NODE
from tests.reproduction.test_tables_of_ours import OURS


def table(node: dict[str, Any] = NODE, **changes: Any) -> PaperTable:
    return parse({**node, **changes})


def result(row: str, column: str, *ours: float, half: float = 1.0, verdict: Any = "not run", **cell: Any) -> Result:
    """A cell with one of ours for every value, and an interval around their mean; without values there is none."""
    mean = math.fsum(ours) / len(ours) if ours else 0.0
    ends = (None, None) if len(ours) == 2 else (mean - half, mean + half)
    measured = Ours(mean, *ends, ours) if ours else None
    return Result(row, PaperCell(column=column, **{"metric": "accuracy", **cell}), verdict, measured, None, ())


def drawn(read: PaperTable, results: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(table_figure, "save", lambda figure, stem: figures.append(figure) or [])
    table_figure.draw(tmp_path, read, results, "full size")
    (figure,) = figures
    figure.draw_without_rendering()
    return figure


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("changes", "cell", "expected"),
    [
        ({}, {}, (2.7764451 * 0.7 / 5**0.5, True)),  # t of 4 degrees of freedom
        ({}, {"published_seeds": 3}, (4.3026527 * 0.7 / 3**0.5, True)),
        ({}, {"published_seeds": 2}, (0.7, False)),
        ({"spread_is": "ci95"}, {}, (0.7, True)),
        ({"spread_is": "not over seeds"}, {}, (0.7, False)),
        ({}, {"spread": None}, None),
    ],
)
def test_the_papers_bar_is_an_interval_where_one_follows(changes: Any, cell: Any, expected: Any) -> None:
    of_paper = PaperCell(**{"column": "RA", "metric": "accuracy", "published": 77.4, "spread": 0.7, **cell})
    bar = papers_bar(table(**changes), of_paper)
    assert bar == (None if expected is None else pytest.approx(expected))


def test_columns_of_one_quantity_share_an_axis_where_all_can_be_read_on_it() -> None:
    read = table(OURS, unit="mse")
    cheetah = [
        result("MAML", "seen, before", 0.5, 0.5, 0.5, half=0.1, metric="before_mse"),
        result("MAML", "seen, after", 0.2, 0.2, 0.2, half=0.1, metric="mse"),
    ]
    assert ranges(read, cheetah) == {"seen, before": pytest.approx((0.1, 0.6)), "seen, after": pytest.approx((0.1, 0.6))}
    clinc = [
        result("A", "hashed, 1-shot", 70, 70, 70),
        result("A", "hashed, 5-shot", 40, 40, 40),
        result("A", "wordllama, 1-shot", 74, 74, 74),
        result("A", "wordllama, 5-shot", 43, 43, 43),
        result("A", "hashed, BTI", -30, -30, -30, metric="bti"),
    ]
    assert ranges(table(OURS), clinc) == {
        "hashed, 1-shot": (69, 75),
        "wordllama, 1-shot": (69, 75),
        "hashed, 5-shot": (39, 44),
        "wordllama, 5-shot": (39, 44),
        "hashed, BTI": (-31, -29),
    }


def test_an_axis_holds_possible_values_and_none_that_hides_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = table(unit="mse", spread=None, spread_is="not over seeds", published_seeds=1)
    results = [
        result("MAML", "5 steps", 2099.6, 2099.6, 2099.6, half=5212.6, metric="mse", published=0.38),
        result("Oracle", "5 steps", 0.5, 0.5, 0.5, half=0.9, metric="mse", published=2.23),
    ]
    assert ranges(read, results) == {"5 steps": (0.0, 2.23)}
    axes = panels(drawn(read, results, tmp_path, monkeypatch))["5 steps"]
    low, high = axes.get_xlim()
    assert low == pytest.approx(-0.06 * 2.23)
    assert high == pytest.approx(1.06 * 2.23)
    assert [line.get_marker() for line in axes.lines if line.get_marker() == ">"] == [">"]
    assert written(axes) == ["mean 2,100"]
    assert "An arrow: beyond the axis" in caption(read, results, outside=True)
    near = [result(row, "near", 1.0, 1.0, 1.0, half=0.5, metric="mse") for row in "ABC"]
    far = [result("A", "far", 50.0, 50.0, 50.0, half=1.0, metric="mse")]  # all of a column: it has an axis of its own
    assert ranges(table(OURS, unit="mse"), near + far) == {"near": (0.5, 1.5), "far": (49.0, 51.0)}
    assert [written(axes) for axes in panels(drawn(table(OURS, unit="mse"), near + far, tmp_path, monkeypatch)).values()] == [
        [],
        [],
    ]
    accuracies = [result("A", "RA", 99.5, 99.5, 99.5, half=2.0), result("B", "RA", 1.0, 1.0, 1.0, half=3.0)]
    assert ranges(table(OURS), accuracies) == {"RA": (0.0, 100.0)}


def test_a_word_for_what_is_missing_stands_once_beside_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        *(result("MER", f"{column} a class", 70, 71, 72, published=71.0, spread=0.5) for column in (1, 3, 5)),
        *(result("MOF", f"{column} a class", verdict="not offered", published=69.0) for column in (1, 3, 5)),
        result("GSS", "1 a class", verdict="diverged", published=68.0),
        result("GSS", "3 a class", 66, 67, 68, published=68.0),
    ]
    figure = drawn(table(), results, tmp_path, monkeypatch)
    by_column = panels(figure)
    assert {column: written(axes) for column, axes in by_column.items()} == {
        "1 a class": ["diverged"],
        "3 a class": [],
        "5 a class": ["not offered"],
    }
    for axes in by_column.values():
        for text in axes.texts:
            box = text.get_window_extent()
            assert box.x0 > axes.get_window_extent().x1
            assert box.x1 < figure.bbox.x1
            assert not any(box.overlaps(other.get_window_extent()) for other in by_column.values())


def test_four_columns_stand_two_by_two_with_their_metric_and_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"seen, before": "before_mse", "seen, after": "mse", "unseen, before": "before_mse", "unseen, after": "mse"}
    results = [result("MAML", column, 0.3, 0.4, 0.5, half=0.1, metric=metric) for column, metric in columns.items()]
    by_column = panels(drawn(table(OURS, unit="mse"), results, tmp_path, monkeypatch))
    places = [axes.get_position().bounds[:2] for axes in by_column.values()]
    assert len({x for x, _ in places}) == len({round(y, 6) for _, y in places}) == 2
    assert [axes.get_xlabel() for axes in by_column.values()] == [
        "mean squared error before adapting",
        "mean squared error",
    ] * 2
    assert len({axes.get_xlim() for axes in by_column.values()}) == 1
    percent = panels(drawn(table(OURS), [result("A", "RA", 70, 71, 72, metric="bti")], tmp_path, monkeypatch))
    assert percent["RA"].get_xlabel() == "BTI, percent"


@pytest.mark.parametrize(("low", "high"), [(91.1, 94.8), (44.2, 57.3), (0.31, 0.62), (-24.2, -4.1)])
def test_ticks_are_at_multiples_of_1_2_or_5(low: float, high: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    middle = (low + high) / 2
    results = [result("A", "RA", middle, middle, middle, half=(high - low) / 2, metric="bti")]
    (axes,) = panels(drawn(table(OURS), results, tmp_path, monkeypatch)).values()
    ticks = axes.xaxis.get_majorticklocs()
    step = round((ticks[1] - ticks[0]) * 10.0 ** -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9), 6)
    assert step in (1, 2, 5)


def test_the_caption_says_what_is_drawn_and_nothing_else() -> None:
    of_seeds = result("A", "RA", 70, 71, 72)
    of_one = result("A", "RA", 70)
    of_two = result("A", "RA", 70, 72)
    assert caption(table(OURS), [of_seeds], outside=False) == "Blue: ours with its 95% interval over seeds."
    assert caption(table(OURS), [of_one], outside=False) == (
        "Blue: ours with its 95% interval over what it was tested on (of one seed)."
    )
    assert caption(table(OURS), [of_two], outside=False) == "Blue: ours. Of two seeds, both are small dots."
    words = "Words at the right: why a row has no number of ours."
    assert caption(table(OURS), [result("A", "RA")], outside=False) == words
    published = {"published": 71.0, "spread": 0.7}
    assert caption(table(), [result("A", "RA", **published)], outside=False) == (
        "Orange: the paper's with its 95% interval over seeds, t·s/√n of the standard deviation over 5 seeds that it prints. "
        f"{words}"
    )
    episodes = table(spread="95% interval over test episodes", spread_is="not over seeds", published_seeds=1)
    assert caption(episodes, [result("A", "RA", **published)], outside=False) == (
        "Orange: the paper's. Dotted: what the paper prints, 95% interval over test episodes; "
        f"no interval over seeds follows from it. {words}"
    )
    assert caption(table(), [result("A", "RA", published=71.0)], outside=False) == f"Orange: the paper's. {words}"


def test_the_papers_bar_is_drawn_as_an_interval_or_dotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spread_is, half, style in (("std", 2.7764451 * 0.7 / 5**0.5, "solid"), ("not over seeds", 0.7, "dotted")):
        cell = result("A", "RA", published=71.0, spread=0.7)
        (axes,) = panels(drawn(table(spread_is=spread_is), [cell], tmp_path, monkeypatch)).values()
        (bar,) = axes.collections
        ((start, stop),) = bar.get_segments()  # type: ignore[attr-defined]
        assert (start[0], stop[0]) == pytest.approx((71 - half, 71 + half))
        dashes = bar.get_linestyle()[0][1]
        assert (dashes is None) == (style == "solid"), matplotlib.__version__
