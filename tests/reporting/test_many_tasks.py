"""Figures, captions and pages of few and of many tasks, of two seeds, and of names that look like markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from metacl_run.layout.style import integer_ticks
from metacl_run.reporting import figures, report
from metacl_run.reporting.axes import round_step
from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.phrases import task_label
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import drawn, text_of


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def scripts(tasks: int) -> list[list[str]]:
    """Names in which other tasks' numbers occur."""
    return [[f"script {(3 * task) % tasks + 1} + script {task + 1}" for task in range(tasks)]]


def test_every_task_is_numbered_whatever_its_name(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=4, names=[["script 5 + script 9", "2", "task 3", "a 4\nb"]]))
    assert [task_label(run, task) for task in range(4)] == ["1: script 5 + script 9", "2: 2", "task 3", "4: a 4 b"]
    shown = [label.get_text() for label in drawn(run, "accuracy_matrix").axes[0].get_yticklabels()]
    assert shown == [
        "before learning",
        "after 1: script 5 + script 9",
        "after 2: 2",
        "after task 3",
        "after 4: a 4 b",
    ]


def test_names_are_text(make_run: Callable[..., Path]) -> None:
    """Dollars are no mathematics, angle brackets no elements, and a script without a font is boxes, not a warning."""
    names = [["$\\frac{$", "<b>$x$ & _y_</b>", "日本 \u0001"]]
    run_dir = make_run(names=names, forget=0.3)
    assert len(figures.draw(StoredRun(run_dir))) == 2 * len(figures_of(StoredRun(run_dir)))
    page = report.write(StoredRun(run_dir)).read_text()
    assert "<b>$x$" not in page
    assert "2: <b>$x$ & _y_</b>" in " ".join(texts(drawn(StoredRun(run_dir), "forgetting")))


def test_a_log_axis_has_plain_numbers(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run())
    run.training.curves["loss"][:] = np.geomspace(1e-3, 10, run.training.curves["loss"].shape[1])
    axes = drawn(run, "training_loss").axes[0]
    axes.figure.canvas.draw()
    labels = {label.get_text() for label in axes.get_yticklabels()}
    assert {"0.001", "0.01", "0.1", "1", "10"} <= labels
    assert not any("$" in label for label in labels)


def test_more_tasks_make_no_larger_figure(make_run: Callable[..., Path]) -> None:
    found: dict[str, list[tuple[float, ...]]] = {}
    for tasks in (30, 60):
        run = StoredRun(make_run(tasks=tasks, forget=0.01))
        for panel in figures_of(run):
            figure = drawn(run, panel.name)
            found.setdefault(panel.name, []).append(tuple(figure.get_size_inches().round(1)))
            assert len(figure.findobj(matplotlib.text.Text)) < 120
            assert len(figure.findobj(matplotlib.patches.Patch)) < 20
    assert len(found) == 6
    for small, large in found.values():
        assert small == large
        assert small[1] < 8


def test_some_of_many_tasks_are_named_with_the_mean(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=27, forget=0.02, replicates=3))
    last = run.matrix[:, -1].mean(axis=0)
    shown = texts(drawn(run, "accuracy_by_task"))
    named = {text.split("\u00a0")[0] for text in shown if "\u00a0·\u00a0" in text}
    assert named == {"mean of 27", "1: glyphs 1", "7: glyphs 7", "14: glyphs 14", "21: glyphs 21", "27: glyphs 27"}
    for task in (0, 6, 13, 20, 26):
        assert f"{task + 1}: glyphs {task + 1}\u00a0·\u00a0{last[task]:.2f}" in shown
    assert f"mean of 27\u00a0·\u00a0{last.mean():.2f}" in shown
    assert "Between the dotted lines: the middle 80%" in text_of(run, "accuracy_by_task").caption
    edges = [line.get_ydata()[-1] for line in drawn(run, "accuracy_by_task").axes[0].lines if line.get_linestyle() == ":"]
    assert edges == pytest.approx(np.quantile(last, [0.1, 0.9]))
    worst = int(np.argmax(np.diagonal(run.matrix.mean(axis=0)[1:]) - last))
    assert f"Rings: most forgotten, {worst + 1}: glyphs {worst + 1} (" in text_of(run, "forgetting").caption
    page = report.write(run).read_text()
    assert "<td>0." not in page.split("<h2>To repeat the run")[0].split("</table></div>")[-1]  # no table of 27 columns
    assert "matrix of 27 tasks is in accuracy_matrix.npy" in page


def test_some_tasks_have_a_small_plot_each(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=7, names=scripts(7)))
    axes = drawn(run, "accuracy_by_task").axes
    assert [each.get_title(loc="left").split(":")[0] for each in axes] == [str(task + 1) for task in range(7)]
    for task, each in enumerate(axes):
        learned, end = run.matrix[0, task + 1, task], run.matrix[0, -1, task]
        assert each.get_title(loc="right") == f"{learned:.2f} → {end:.2f}"
        thick = next(line for line in each.lines if line.get_linewidth() == 1.7)
        assert thick.get_ydata()[-1] == pytest.approx(end)


@pytest.mark.parametrize("tasks", [1, 3, 7, 26])
def test_of_two_seeds_both_are_drawn_and_no_band(make_run: Callable[..., Path], tasks: int) -> None:
    for replicates in (2, 3):
        run = StoredRun(make_run(tasks=tasks, replicates=replicates, forget=0.02))
        for panel in figures_of(run):
            if panel.name in ("accuracy_matrix", "forgetting"):
                continue
            figure = drawn(run, panel.name)
            bands = [each for each in figure.findobj(PolyCollection) if each.get_alpha() == 0.14]
            assert bool(bands) == (replicates == 3), panel.name
            assert ("95%" in panel.text.caption) == (replicates == 3)
            assert ("single seeds" in panel.text.caption) == (replicates == 2)
    run = StoredRun(make_run(tasks=3, replicates=2))
    seeds = [line.get_ydata() for line in drawn(run, "mean_accuracy").axes[0].lines if line.get_linewidth() == 0.6]
    np.testing.assert_allclose(sorted(line[-1] for line in seeds), sorted(np.repeat(run.matrix[:, -1].mean(axis=1), 2)))


def test_nothing_is_drawn_outside_of_what_is_possible(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=2, replicates=3))
    run.evaluations.scores[:] = np.array([0.9, 0.95, 1.0])[:, None, None]
    for band in drawn(run, "accuracy_by_task").findobj(PolyCollection):
        assert band.get_paths()[0].vertices[:, 1].max() <= 1.0


def test_probes_that_never_come_are_said(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    kept = [line for line in (run_dir / "metrics.jsonl").read_text().splitlines() if json.loads(line).get("row", 0) is not None]
    (run_dir / "metrics.jsonl").write_text("\n".join(kept) + "\n")
    run = StoredRun(run_dir)
    run.config["protocol"] = {"eval_every": 50}
    assert (
        "protocol.eval_every=50 is no less than the 40 meta-updates of a task" in text_of(run, "accuracy_by_task").explanation
    )


def test_an_unfinished_run_fills_its_figure(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=4, status="interrupted", stop=90))
    figure = drawn(run, "mean_accuracy")
    assert figure.axes[0].get_xlim() == (0, 90)
    assert "interrupted at 90 of 160 meta-updates" in texts(figure)
    explanation = text_of(run, "mean_accuracy").explanation
    assert "would meet when the last task begins, which this run did not reach" in explanation
    assert "The two lines meet" in text_of(StoredRun(make_run(tasks=4)), "mean_accuracy").explanation


def test_nothing_is_said_of_circles_before_a_task_was_learned(make_run: Callable[..., Path]) -> None:
    text = text_of(StoredRun(make_run(tasks=4, status="diverged", stop=30)), "accuracy_by_task")
    assert "ircle" not in text.caption + text.explanation
    assert "The run ended while the first task was learned." in text.explanation


def test_captions_speak_of_what_is_drawn(make_run: Callable[..., Path]) -> None:
    def caption(**settings: int) -> str:
        return text_of(StoredRun(make_run(**settings)), "training_loss").caption

    assert caption(tasks=3).startswith("Running mean; pale: one point for every meta-update.")
    run_dir = make_run(tasks=3)
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    (run_dir / "metrics.jsonl").write_text("\n".join(line for line in lines if json.loads(line)["unit"] % 4 == 0) + "\n")
    assert text_of(StoredRun(run_dir), "training_loss").caption.startswith("One point for 4 meta-updates, their mean.")


@pytest.mark.parametrize(("count", "step"), [(10, 1), (26, 2), (100, 10), (1000, 100), (1500, 100), (1501, 200)])
def test_steps_are_round(count: int, step: int) -> None:
    assert round_step(count, 15) == step


def test_whole_numbers_have_whole_ticks() -> None:
    axes = Figure().add_subplot()
    axes.set_xlim(1.5, 2.5)
    integer_ticks(axes.xaxis)
    assert [tick for tick in axes.get_xticks() if 1.5 <= tick <= 2.5] == [2.0]


def test_a_page_on_a_narrow_screen_scrolls_its_figures(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    figures.draw(StoredRun(run_dir))
    style = report.write(StoredRun(run_dir)).read_text().split("</style>")[0]
    assert re.search(r"figure svg {[^}]*min-width: 40rem", style)
    assert re.search(r"figure \.sheet {[^}]*overflow-x: auto", style)


def test_on_a_wide_screen_a_figure_stands_beside_its_caption(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    style = report.write(StoredRun(run_dir)).read_text().split("</style>")[0]
    assert "margin: 0 auto" not in re.search(r"figure svg {[^}]*}", style)[0]
    assert re.search(r"@media screen and \(min-width: 75rem\) {\s*figure:has\(figcaption\) { display: grid;", style)
