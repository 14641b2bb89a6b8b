"""Figures for a paper: a column's width, no text below 7 points, real letters; and figures in axes of the caller's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from metacl_run.core.errors import UserError
from metacl_run.layout.style import shades
from metacl_run.reporting import figures, paper_figures, report
from metacl_run.reporting.figures import FIGURES, draw_into, figures_of, names
from metacl_run.reporting.report_stamp import is_drawn
from metacl_run.storage.stored_run import StoredRun
from tests.support.stored_acting import with_paths, with_recovery, with_task_vectors
from tests.support.stored_insight import with_insight
from tests.support.stored_runs import build_run
from tests.support.stored_sequences import build_sequences
from tests.support.stored_streams import build_stream


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


@pytest.fixture
def all_runs(make_run: Callable[..., Path], tmp_path: Path) -> list[StoredRun]:
    """Runs that together have every figure, with names that are too long for a column."""
    long = [[f"a long name of an alphabet {number}" for number in range(4)]]
    return [
        with_insight(make_run(tasks=4, names=long * 2, replicates=2), tasks=[0, 1, 2, 3]),
        StoredRun(build_sequences(tmp_path / "sequences", gate=True, replicates=3)),
        with_paths(build_run(tmp_path / "acting", tasks=4, names=long, score="success")),
        with_recovery(build_run(tmp_path / "dynamics", tasks=2, replicates=2, score="mse")),
        build_stream(tmp_path / "stream", domains=long[0]),
        with_task_vectors(build_run(tmp_path / "contexts", tasks=4, names=long, replicates=1)),
        with_metrics(build_run(tmp_path / "metrics", tasks=4, names=long, replicates=1)),
    ]


def with_metrics(run_dir: Path) -> StoredRun:
    """A run with metrics of the method's own, of long names."""
    run = StoredRun(run_dir)
    training = run.training
    own = {f"{'a long name of a metric ' * 3}{number}": training.curves["loss"] for number in range(5)}
    vars(run)["training"] = training._replace(curves={**training.curves, **own})
    return run


def test_every_figure_fits_its_column(all_runs: list[StoredRun]) -> None:
    names = set()
    for run in all_runs:
        for figure in figures_of(run):
            paper = figure.draw_for_paper()
            names.add(figure.name)
            assert paper.get_figwidth() in (3.25, 6.75)
            assert min(text.get_fontsize() for text in texts(paper)) >= 7
            paper.canvas.draw()
            box = paper.get_tightbbox()
            assert box.x0 > -0.02, figure.name
            assert box.x1 < paper.get_figwidth() + 0.02, figure.name
            assert all(axes.get_position().width > 0.15 for axes in paper.axes if figure.canvas.columns == 1), figure.name
            assert not {figure.text.title, figure.text.caption, figure.subtitle} & {text.get_text() for text in texts(paper)}
    assert names == {figure.name for figure in FIGURES}


@pytest.fixture
def two_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all figures, the first two of a run with several tasks."""
    monkeypatch.setattr(figures, "FIGURES", tuple(f for f in FIGURES if f.name in ("accuracy_by_task", "mean_accuracy")))


@pytest.mark.usefixtures("two_figures")
def test_files_for_a_paper_have_letters_and_repeat(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=3))
    paths = paper_figures.draw(run)
    first = [path.read_bytes() for path in paths]
    assert first == [path.read_bytes() for path in paper_figures.draw(run)]
    assert {path.relative_to(run.directory / "figures" / "paper").name for path in paths} == {
        *(f"{name}.{suffix}" for name in names(run) for suffix in ("pdf", "svg")),
        "figures.tex",
    }
    for path in paths:
        if path.suffix == ".pdf":
            assert b"/Type3" not in path.read_bytes()
            assert b"/FontFile2" in path.read_bytes()  # TrueType, embedded
        elif path.suffix == ".svg":
            assert ">meta-updates<" in path.read_text()
    latex = paths[-1].read_text()
    assert re.findall(r"includegraphics\{(.*?)\.pdf\}", latex) == names(run)
    assert all(figure.text.title in latex for figure in figures_of(run))


@pytest.mark.usefixtures("two_figures")
def test_the_stamp_knows_the_style_and_figures_for_a_paper_are_kept_up_to_date(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=2))
    figures.draw(run)
    report.write(run)
    assert is_drawn(run.directory)
    assert not is_drawn(run.directory, "paper")
    lost = paper_figures.draw(run)[0]
    report.write(run)
    assert is_drawn(run.directory)
    assert is_drawn(run.directory, "paper")
    lost.unlink()
    assert not is_drawn(run.directory)


def test_a_figure_in_axes_of_ones_own_has_the_callers_letters(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=3))
    with matplotlib.rc_context({"font.size": 13.0, "xtick.labelsize": 11.0, "ytick.labelsize": 11.0}):
        before = dict(matplotlib.rcParams)
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        assert draw_into(run, "mean_accuracy", left) is figure
        draw_into(run, "accuracy_matrix", [right], style="paper")
        assert dict(matplotlib.rcParams) == before
    assert left.xaxis.label.get_fontsize() == 13
    assert left.spines["top"].get_visible()
    assert right.xaxis.label.get_fontsize() == 8
    assert not right.spines["top"].get_visible()
    ends = [line.get_ydata()[-1] for line in left.lines if len(line.get_xdata()) == len(run.evaluations.units)]
    assert ends == pytest.approx([run.summary["metrics"]["accuracy"]["mean"]] * 2)


def test_several_panels_take_as_many_axes_or_an_empty_figure(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=8))
    (whole,) = Figure(figsize=(6.75, 3), layout="constrained").subfigures(1, 1, squeeze=False).ravel()
    draw_into(run, "accuracy_by_task", whole)
    assert len(whole.axes) == 8
    grid = Figure().subplots(2, 4)
    draw_into(run, "accuracy_by_task", grid)
    assert all(axes.get_title(loc="left") for axes in grid.ravel())
    for axes, words in ((grid[0], "has 8 panels.*got 4"), (whole, "has axes already"), ("grid", "must be matplotlib Axes")):
        with pytest.raises(UserError, match=words):
            draw_into(run, "accuracy_by_task", axes)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Did you mean mean_accuracy"):
        draw_into(run, "mean_acuracy")
    with pytest.raises(UserError, match="do not support this figure"):
        draw_into(run, "interference")


def test_no_window_and_no_pyplot(make_run: Callable[..., Path], tmp_path: Path) -> None:
    make_run(tasks=2)
    script = f"""
import sys, pathlib
from metacl_run.reporting.figures import draw_into
from metacl_run.storage.stored_run import StoredRun
figure = draw_into(StoredRun(pathlib.Path({str(tmp_path / "run")!r})), "mean_accuracy")
figure.savefig({str(tmp_path / "mine.pdf")!r})
print("matplotlib.pyplot" in sys.modules, figure._repr_png_()[1:4])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False b'PNG'"
    assert b"/Type3" not in (tmp_path / "mine.pdf").read_bytes()  # saved by the caller, who has other rcParams


def test_colours_of_tasks_stand_out_on_white_and_stay_in_order_in_greyscale() -> None:
    for count in (2, 5, 10, 20):
        channels = np.array([matplotlib.colors.to_rgb(colour) for colour in shades(count)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(luminance) > 0).all()
        assert 1.05 / (luminance.max() + 0.05) > 2.2


@pytest.mark.usefixtures("two_figures")
def test_files_of_the_users_own_beside_the_figures_are_nothing_of_the_report(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=2))
    paths = [*figures.draw(run), *paper_figures.draw(run)]
    own = [folder / "my plot (1).png" for folder in (paths[0].parent, paths[-1].parent)]
    for path in own:
        path.touch()
    report.write(run)
    assert is_drawn(run.directory, "paper")
    own[0].unlink()
    assert is_drawn(run.directory, "paper")
    paths[0].unlink()
    assert not is_drawn(run.directory)
