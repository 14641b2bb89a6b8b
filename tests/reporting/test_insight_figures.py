"""Figures of what was seen inside a learner: there only when recorded, and showing the recorded numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import yaml
from rich.console import Console

from metacl_run.reporting import figures, report, terminal
from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.figures.interference import alignment_and_change
from metacl_run.reporting.figures.stability_gap import after_switches
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_insight import add, cosine, with_insight
from tests.support.stored_runs import UNITS

INSIGHT = {"interference", "gradient_alignment", "feature_drift", "learned_rates"}


def test_figures_and_report_have_it_when_it_was_recorded_and_only_then(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3, replicates=2)
    assert not {path.stem for path in figures.draw(StoredRun(run_dir))} & INSIGHT
    assert "Which tasks interfere" not in report.write(StoredRun(run_dir)).read_text()
    with_insight(run_dir, tasks=[0, 1, 2])
    assert {path.stem for path in figures.draw(StoredRun(run_dir))} >= INSIGHT
    page = report.write(StoredRun(run_dir)).read_text()
    for figure in figures_of(StoredRun(run_dir)):
        assert figure.text.explanation.split(".")[0] in page.replace("&#39;", "'")
    assert len(re.findall("<figure>", page)) == len(figures_of(StoredRun(run_dir)))


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"tasks": 31, "layers": 30}, INSIGHT),
        ({"tasks": 2, "layers": 1, "rates": False}, INSIGHT - {"learned_rates"}),
        ({"tasks": 4, "boundaries": 1, "status": "interrupted", "stop": 41}, {"gradient_alignment", "learned_rates"}),
        ({"tasks": 4, "boundaries": 2, "replicates": 2, "status": "diverged", "stop": 93}, INSIGHT),
    ],
)
def test_runs_long_short_and_broken_off(
    make_run: Callable[..., Path], settings: dict[str, Any], names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", [figure for figure in figures.FIGURES if figure.name in INSIGHT])
    looks = {key: settings.pop(key) for key in ("layers", "boundaries", "rates") if key in settings}
    run_dir = make_run(**settings)
    count = min(settings["tasks"], 30)
    run = with_insight(run_dir, tasks=np.linspace(0, settings["tasks"] - 1, count).round().astype(int).tolist(), **looks)
    assert {path.stem for path in figures.draw(StoredRun(run_dir))} == names
    assert run.num_tasks <= 30 or any("30 of 31 tasks" in figure.text.caption for figure in figures_of(run))


def test_interference_pairs_the_gradients_met_with_what_became_of_them(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=4, replicates=2), tasks=[0, 1, 2, 3])
    matrix = run.matrix.mean(axis=0)
    met, became, *_ = alignment_and_change(run)
    for learned in (1, 2, 3):  # its gradients were met when `learned` tasks had been learned
        for earlier in range(learned):
            assert met[learned - 1, earlier] == pytest.approx(0.5 - 0.2 * (learned - earlier) + 0.01 * learned)
            change = matrix[learned + 1, earlier] - matrix[learned, earlier]
            assert became[learned - 1, earlier] == pytest.approx(change)
    assert np.isnan(met[0, 1:]).all()
    assert np.isnan(became[0, 1:]).all()
    caption = text_of(run, "interference").caption
    assert f"task 4 with task 1, cosine -0.07; accuracy on task 1 then changed by {became[2, 0]:+.2f}" in caption
    left, right = axes_of(run, "interference")[:2]
    for axes, values in ((left, met), (right, became)):
        shown = [text.get_text().replace("\N{MINUS SIGN}", "-").replace(".", "0.") for text in axes.texts]
        assert [float(text) for text in shown] == pytest.approx(values[np.isfinite(values)].round(2).tolist())


def test_of_errors_a_fall_is_the_gain(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3, score="mse"), tasks=[0, 1, 2])
    matrix = run.matrix[0]
    assert alignment_and_change(run).changes[0, 0] == pytest.approx(matrix[1, 0] - matrix[2, 0])
    text = text_of(run, "interference")
    assert f"mean squared error on task 1 then changed by {matrix[3, 0] - matrix[2, 0]:+.3g}" in text.caption
    axes = axes_of(run, "interference")
    assert axes[1].get_title(loc="left") == "fall of error while it was learned"


def test_of_a_long_stream_rows_and_columns_are_the_compared_tasks(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=6), tasks=[0, 2, 5])
    matrix = run.matrix[0]
    met, became, *_ = alignment_and_change(run)
    np.testing.assert_allclose(became[1], [matrix[6, 0] - matrix[5, 0], matrix[6, 2] - matrix[5, 2]])
    np.testing.assert_allclose(met[:, 0], [cosine(2, 0, 2, 0), cosine(5, 0, 5, 0)])


def test_alignment_shows_the_first_and_the_last_boundary(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3, replicates=2), tasks=[0, 1, 2])
    first, last = axes_of(run, "gradient_alignment")[:2]
    pairs_of = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    for axes, row in ((first, 1), (last, 3)):
        expected = [0.5 - 0.2 * abs(a - b) + 0.01 * row for a, b in pairs_of]
        assert axes.get_title(loc="left") == f"after task {row}: mean {np.mean(expected):+.2f}"
        assert [float(text.get_text()) for text in axes.texts] == pytest.approx(expected)
        assert np.isnan(np.diagonal(axes.images[0].get_array().filled(np.nan))).all()


def test_a_gradient_without_direction_leaves_its_cells_empty(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", [figure for figure in figures.FIGURES if figure.name in INSIGHT])
    run_dir = make_run(tasks=2)
    nothing = [[[None, None], [None, 1.0]]]
    for row in (1, 2):
        record = {"kind": "insight", "unit": row * UNITS, "task": row - 1, "row": row, "wall_s": 1.0}
        add(run_dir, record | {"alignment": {"tasks": [0, 1], "on": "the loss", "cosine": nothing}})
    assert {path.stem for path in figures.draw(StoredRun(run_dir))} == {"interference", "gradient_alignment"}


def test_drift_is_the_mean_over_tasks_and_seeds_a_line_a_layer(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3, replicates=3), tasks=[0, 1, 2])
    (axes,) = axes_of(run, "feature_drift")
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in lines] == [[2 * UNITS, 3 * UNITS]] * 3
    assert [line.get_ydata()[-1] for line in lines] == pytest.approx([0.89, 0.79, 0.69])


def test_rates_are_a_plot_a_layer(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3, replicates=2), tasks=[0, 1, 2], layers=5)
    axes = axes_of(run, "learned_rates")
    assert [each.get_title(loc="left") for each in axes if each.get_title(loc="left")] == [
        *(f"body.{i}" for i in range(4)),
        "head",
    ]
    median = axes[0].lines[0]
    np.testing.assert_allclose(median.get_ydata(), 0.1 + 0.1 * np.arange(4) + 0.5)
    assert len({each.get_ylim() for each in axes[:5]}) == 1


def test_the_stability_gap_is_measured_from_the_switch_on_what_probes_look_at(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3)
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    dip = {0: 0.8, 8: 0.5, 16: 0.7, 24: 0.75, 32: 0.78, 40: 0.8}
    for record in records:
        if record["kind"] == "eval":
            within = dip[record["unit"] % UNITS or (UNITS if record["unit"] else 0)]
            record["accuracy"] = [[within + 0.1 * (record["row"] is not None), 0.4, 0.1]]  # the whole test set is easier
            if record["row"] is not None:
                record["probe"] = [[within, 0.4, 0.1]]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    config = yaml.safe_load((run_dir / "config.yaml").read_text()) | {"protocol": {"probe_samples": 50}}
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    run = StoredRun(run_dir)
    units, change = after_switches(run)[1]
    assert units.tolist() == [0, 8, 16, 24, 32, 40]
    np.testing.assert_allclose(change, [[0, -0.3, -0.1, -0.05, -0.02, 0]], atol=1e-12)
    np.testing.assert_allclose(after_switches(run)[2][1], np.array(change) / 2, atol=1e-12)  # the mean of two tasks
    (axes,) = axes_of(run, "stability_gap")
    mean = next(line for line in axes.lines if line.get_linewidth() == 1.7)
    np.testing.assert_allclose(mean.get_ydata(), change[0] * 0.75, atol=1e-12)
    by_task = axes_of(run, "accuracy_by_task")[0]
    assert any(line.get_ydata()[-1] == pytest.approx(0.9) and len(line.get_xdata()) > 5 for line in by_task.lines)
    circles = [float(np.asarray(line.get_ydata()).item()) for line in by_task.lines if line.get_marker() == "o"]
    assert circles[0] == pytest.approx(0.9)  # a curve goes through the reported scores, which are on all test samples
    assert "1: glyphs 1\u00a0·\u00a00.90" in {text.get_text() for text in by_task.texts}
    mean = axes_of(run, "mean_accuracy")[0]
    (_, all_tasks) = (line for line in mean.lines if line.get_linewidth() == 1.7)
    assert all_tasks.get_ydata()[-1] == pytest.approx(run.evaluations.scores[0, -1].mean())


def test_without_probes_no_gap_is_drawn_and_the_reader_is_told(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3)
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    kept = [record for record in records if record["kind"] == "train" or record["row"] is not None]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    found = {figure.name: figure.text for figure in figures_of(StoredRun(run_dir))}
    assert "stability_gap" not in found
    assert "protocol.eval_every" in found["accuracy_by_task"].explanation


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (
            {"train_s": 8.0, "evaluate_s": 1.2, "insight_s": 0.8},
            "Probes and evaluation took 12% of the time, insight 8%.",
        ),
        ({"train_s": 3.0, "evaluate_s": 1.0, "insight_s": 0.0}, "Probes and evaluation took 25% of the time."),
        ({"wall_s": 3.0}, None),
    ],
)
def test_the_share_of_time_is_said_on_the_terminal_and_in_the_report(
    timing: dict[str, float], words: str | None, make_run: Callable[..., Path]
) -> None:
    run_dir = make_run()
    summary = json.loads((run_dir / "summary.json").read_text()) | {"timing": timing}
    (run_dir / "summary.json").write_text(json.dumps(summary))
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, file=nowhere, width=200)
        terminal.show(StoredRun(run_dir), console)
    for text in (console.export_text(), report.write(StoredRun(run_dir)).read_text()):
        assert words in text if words else "of the time" not in text


def test_tasks_that_every_seed_orders_in_its_own_way_are_compared_by_name(make_run: Callable[..., Path]) -> None:
    names = [["banking", "home", "travel"], ["travel", "banking", "home"]]
    run = with_insight(make_run(tasks=3, replicates=2, names=names), tasks=[0, 1, 2])
    axes = axes_of(run, "gradient_alignment")[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A: banking", "B: home", "C: travel"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B", "C"]
    by_pair = {
        pair: np.mean([cosine(3, seed, *(of_seed.index(name) for name in pair)) for seed, of_seed in enumerate(names)])
        for pair in (("banking", "home"), ("banking", "travel"), ("home", "travel"))
    }
    numbers = [float(text.get_text().replace("\N{MINUS SIGN}", "-").replace(".", "0.")) for text in axes.texts]
    assert [numbers[place] for place in (0, 1, 3)] == pytest.approx([round(value, 2) for value in by_pair.values()], abs=0.011)
    assert "every seed takes them in a different order" in text_of(run, "gradient_alignment").caption


def test_interference_of_tasks_that_seeds_order_in_their_own_way_is_by_name(make_run: Callable[..., Path]) -> None:
    names = [["banking", "home", "travel"], ["travel", "banking", "home"]]
    run = with_insight(make_run(tasks=3, replicates=2, names=names), tasks=[0, 1, 2])
    pairs, in_order = alignment_and_change(run), sorted(names[0])
    for row, learned in enumerate(in_order):
        for column, earlier in enumerate(in_order):
            places = [(seed, of_seed.index(learned), of_seed.index(earlier)) for seed, of_seed in enumerate(names)]
            there = [place for place in places if place[1] > place[2]]
            assert pairs.used[row, column] == bool(there)
            cosines = [cosine(late, seed, late, early) for seed, late, early in there]
            changes = [run.matrix[seed, late + 1, early] - run.matrix[seed, late, early] for seed, late, early in there]
            expected = [np.mean(values) if there else np.nan for values in (cosines, changes)]
            np.testing.assert_allclose([pairs.cosines[row, column], pairs.changes[row, column]], expected)
    assert np.isfinite(pairs.cosines).sum() == 5  # home is never learned before banking
    left = axes_of(run, "interference")[0]
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "learning A: banking",
        "learning B: home",
        "learning C: travel",
    ]
    caption = text_of(run, "interference").caption
    assert "Least aligned: travel with banking, cosine" in caption
    assert re.search(r"; accuracy on banking then changed by [+-]0\.\d\d\.", caption)
    assert "Tasks by name, with letters, since every seed takes them in a different order" in caption


@pytest.mark.parametrize(("factor", "beyond"), [(0.5, False), (1.7, True)])
def test_colours_of_cosines_mean_the_same_in_every_run(make_run: Callable[..., Path], factor: float, beyond: bool) -> None:
    run = with_insight(make_run(tasks=4), tasks=[0, 1, 2, 3])
    for cosines in run.insight.cosines.values():
        cosines *= factor
    for name, place in (("interference", 0), ("gradient_alignment", 0), ("gradient_alignment", 1)):
        (image,) = axes_of(run, name)[place].images
        assert image.get_clim() == (-0.5, 0.5)
        assert "Colours of cosines go from \N{MINUS SIGN}0.5 to 0.5" in text_of(run, name).caption
        # From the first cosine to the last the strongest is that of neighbours, (.5 - .2 + .04 - .02) * factor.
        assert ("beyond have the strongest colour" in text_of(run, name).caption) == (beyond and 0.32 * factor > 0.5)


def test_small_changes_look_small(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3, forget=0.01), tasks=[0, 1, 2])
    assert np.nanmax(np.abs(alignment_and_change(run).changes)) < 0.1
    assert axes_of(run, "interference")[1].images[0].get_clim() == (-0.2, 0.2)
    run = with_insight(make_run(tasks=3, forget=0.5), tasks=[0, 1, 2])
    largest = np.nanmax(np.abs(alignment_and_change(run).changes))
    assert 0.2 < largest <= axes_of(run, "interference")[1].images[0].get_clim()[1] < largest + 0.05


def test_cells_without_a_pair_are_hatched(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=4), tasks=[0, 1, 2, 3])
    for name, expected in (
        ("interference", {(0, 1), (0, 2), (1, 2)}),  # rows: tasks 2 to 4; columns: 1 to 3
        ("gradient_alignment", {(0, 0), (1, 1), (2, 2), (3, 3)}),
    ):
        axes = axes_of(run, name)[0]
        (hatched,) = (cells for cells in axes.collections if cells.get_hatch())
        cells = set()
        for path in hatched.get_paths():
            (left, low), (right, high) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            assert high - low == 1
            cells |= {(round(low + 0.5), column) for column in range(round(left + 0.5), round(right + 0.5))}
        assert cells == expected
    assert "Hatched: no such pair" in text_of(run, "interference").caption


def test_a_run_that_stopped_says_which_tasks_its_gradients_are_of(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=4, status="interrupted", stop=93), tasks=[0, 1, 2, 3], boundaries=2)
    assert text_of(run, "gradient_alignment").title.endswith("after the first task and task 2")


def test_layers_have_another_hue_than_tasks(make_run: Callable[..., Path]) -> None:
    run = with_insight(make_run(tasks=3), tasks=[0, 1, 2], layers=5)
    (axes,) = axes_of(run, "feature_drift")
    colours = [matplotlib.colors.to_rgb(line.get_color()) for line in axes.lines if line.get_marker() == "o"]
    assert len(set(colours)) == 5
    assert all(green == max(red, green, blue) for red, green, blue in colours)
    brightness = [sum(colour) for colour in colours]
    assert brightness == sorted(brightness)
