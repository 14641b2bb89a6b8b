"""The figure of a table's costs: which runs are compared, by hand."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from metacl_run.reproduction import table_costs
from metacl_run.reproduction.paper_table import PaperCell, parse
from metacl_run.reproduction.results import Ours, Result
from metacl_run.reproduction.table_costs import columns_with_costs, draw_costs
from metacl_run.storage.run_cost import RunCost
from tests.reproduction.test_paper_tables import NODE

TABLE = parse(NODE)


def result(row: str, column: str, run: str, mean: float | None = 50.0, examples: int | None = 20, seeds: int = 3) -> Result:
    """A cell of a run; one of two seeds has no interval."""
    ends = (None, None) if seeds == 2 else (40.0, 60.0)
    ours = None if mean is None else Ours(mean, *ends, (mean,) * seeds)
    cost = None if mean is None else RunCost(units=2, examples=examples, flops=None, seconds=4.0)
    return Result(row, PaperCell(column=column, metric="accuracy"), "agrees", ours, None, (run,), cost)


RESULTS = [
    result("ER", "rotations", "1", 70.0, 100),
    result("ER", "forgetting", "1", 9.0, 100),  # of the same run
    result("ER", "permutations", "2", 60.0),
    result("SGD", "rotations", "3", 50.0, 10, seeds=2),
    result("SGD", "forgetting", "3", 20.0, 10, seeds=2),
    result("SGD", "permutations", "4", None),  # not completed
    result("GEM", "rotations", "5", 65.0, 1000),
]


def figure_of(results: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(table_costs, "save", lambda figure, stem: figures.append(figure) or [])
    draw_costs(tmp_path, TABLE, results, "full size")
    (figure,) = figures
    figure.draw_without_rendering()
    return figure


def test_a_column_is_compared_where_two_rows_have_a_run_that_begins_with_it() -> None:
    columns = columns_with_costs(RESULTS)
    assert list(columns) == ["rotations"]
    assert [(point.row, point.cost.examples, point.ours.mean) for point in columns["rotations"]] == [
        ("ER", 100, 70.0),
        ("SGD", 10, 50.0),
        ("GEM", 1000, 65.0),
    ]


def test_every_run_is_a_point_in_each_panel_and_a_bar_where_there_is_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = figure_of(RESULTS, tmp_path, monkeypatch)
    assert [axes.get_xlabel() for axes in figure.axes] == ["examples read", "seconds of training"]  # operations are not known
    examples = figure.axes[0]
    points = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in examples.lines]  # type: ignore[arg-type, index]
    assert points == [(100, 70), (10, 50), (1000, 65)]
    bars = [c.get_segments()[0].tolist() for c in examples.collections if isinstance(c, matplotlib.collections.LineCollection)]
    assert bars == [[[100, 40], [100, 60]], [[1000, 40], [1000, 60]]]
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ER", "SGD", "GEM"]


def test_a_row_alone_is_no_comparison_and_an_earlier_figure_goes(tmp_path: Path) -> None:
    assert {path.name for path in draw_costs(tmp_path, TABLE, RESULTS, "full size")} == {"cost.png", "cost.svg"}
    assert draw_costs(tmp_path, TABLE, RESULTS[:3], "full size") == []
    assert list(tmp_path.iterdir()) == []


def test_a_measure_that_one_run_lacks_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = figure_of([*RESULTS, result("MER", "rotations", "6", examples=None)], tmp_path, monkeypatch)
    assert [axes.get_xlabel() for axes in figure.axes] == ["seconds of training"]
