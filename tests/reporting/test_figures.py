"""Figures are drawn from whatever a run left, the same bytes each time, and show the numbers of the files."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from metacl_run.layout.end_labels import spread_out
from metacl_run.layout.style import ink_on, task_colours
from metacl_run.reporting.figures import FIGURES, draw
from metacl_run.scoring.scores import ACCURACY
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of
from tests.support.stored_sequences import ONLY_SEQUENCES

INSIGHT = {"interference", "gradient_alignment", "feature_drift", "learned_rates"}
OF_DYNAMICS, OF_STREAMS = {"recovery", "open_loop_error", "control_returns"}, {"score_so_far", "switches"}
ALL = {figure.name for figure in FIGURES} - INSIGHT - ONLY_SEQUENCES
ALL -= {"rollouts", "task_vectors", "training_metrics", *OF_DYNAMICS, *OF_STREAMS}
"""Without what only `insight` leaves (see test_insight_figures.py), `meta_continual` (test_sequence_figures.py), a learner that
acts (test_rollouts_figure.py), one of dynamics (test_dynamics_figures.py), one of recurring tasks (test_stream_figures.py),
cavia (test_task_vectors_figure.py), or a method with metrics of its own (test_training_metrics_figure.py)."""


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"tasks": 3}, ALL),
        ({"tasks": 12, "replicates": 3}, ALL),
        ({"tasks": 1, "replicates": 2}, {"accuracy_by_task", "training_loss"}),
        ({"tasks": 4, "replicates": 2, "status": "diverged", "stop": 93}, ALL),
        ({"tasks": 4, "status": "interrupted", "stop": 41}, ALL - {"forgetting", "stability_gap"}),
        ({"tasks": 4, "status": "interrupted", "stop": 0}, set()),  # one evaluation makes no line
        ({"tasks": 4, "status": "diverged", "stop": 5}, {"training_loss"}),
        ({"tasks": 1, "status": "diverged", "stop": 5}, {"training_loss"}),
        ({"tasks": 4, "status": "failed", "stop": -1}, set()),
    ],
)
def test_every_kind_of_run(make_run: Callable[..., Path], settings: dict, names: set[str]) -> None:
    paths = draw(StoredRun(make_run(**settings)))
    assert {path.stem for path in paths} == names
    assert {path.suffix for path in paths} == ({".png", ".svg"} if names else set())
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert min(image.size) > 300
                assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_bytes_repeat_and_global_settings_stay(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(replicates=2))
    before = dict(matplotlib.rcParams)
    first = [path.read_bytes() for path in draw(run)]
    assert first == [path.read_bytes() for path in draw(run)]
    assert dict(matplotlib.rcParams) == before
    assert not any(stamp in content for content in first for stamp in (b"Software", b"<dc:date>", b"Matplotlib v"))


def test_a_figure_no_longer_supported_is_removed(make_run: Callable[..., Path], tmp_path: Path) -> None:
    draw(StoredRun(make_run()))
    draw(StoredRun(make_run(status="failed", stop=-1)))
    assert list((tmp_path / "run" / "figures").iterdir()) == []


def test_heat_map_and_bars_show_the_matrix(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=4, replicates=3))
    mean = np.load(run.directory / "accuracy_matrix.npy").mean(axis=0)
    shown = {text.get_text() for text in axes_of(run, "accuracy_matrix")[0].texts}
    assert shown == {f"{value:.2f}"[1:] for value in mean.ravel()}
    bars = axes_of(run, "forgetting")[0].patches
    widths = [bar.get_width() for bar in bars]
    assert np.mean(widths) == pytest.approx(run.summary["metrics"]["forgetting"]["mean"])


def test_figures_of_an_error_show_it_as_it_is_and_low_as_good(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=4, replicates=3, score="mse")
    assert {path.stem for path in draw(StoredRun(run_dir))} == ALL
    run = StoredRun(run_dir)
    mean = np.load(run.directory / "accuracy_matrix.npy").mean(axis=0)
    assert mean.max() > 3.5
    axes = axes_of(run, "accuracy_matrix")[0]
    shown = {text.get_text() for text in axes.texts}
    assert shown == {f"{value:.2f}".removeprefix("0") for value in mean.ravel()}
    (image,) = axes.images
    lightness = [float(np.dot(image.to_rgba(value)[:3], [0.2126, 0.7152, 0.0722])) for value in (mean.min(), mean.max())]
    good_and_bad = matplotlib.colormaps["viridis"]([1.0, 0.0])[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert lightness[0] > lightness[1]
    assert lightness == pytest.approx(good_and_bad, abs=0.15)  # as of an accuracy: bright is good
    axes = axes_of(run, "forgetting")[0]
    assert axes.get_xlabel().startswith("rise of mean squared error")
    risen = np.mean(run.matrix[:, -1, :-1] - run.matrix[:, 1:-1, :-1].min(axis=1), axis=0)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(risen)
    assert risen.mean() == pytest.approx(run.summary["metrics"]["forgetting"]["mean"])
    for name in ("accuracy_by_task", "mean_accuracy"):
        axes = axes_of(run, name)[0]
        assert axes.get_ylabel() == "mean squared error"
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > run.evaluations.probe_scores.mean(axis=0).max() * (name == "accuracy_by_task")
    gap = axes_of(run, "stability_gap")[0]
    assert gap.get_ylabel() == "change of mean squared error on earlier tasks"


def test_a_run_from_before_there_were_scores_has_accuracies(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    summary = json.loads((run_dir / "summary.json").read_text())
    del summary["score"]
    (run_dir / "summary.json").write_text(json.dumps(summary))
    assert StoredRun(run_dir).score is ACCURACY


def test_mean_accuracy_ends_at_the_metric(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=4, replicates=3))
    axes = axes_of(run, "mean_accuracy")[0]
    ends = [line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) == len(run.evaluations.units)]
    assert ends == pytest.approx([run.summary["metrics"]["accuracy"]["mean"]] * 2)


def test_labels_keep_apart(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=6, forget=0.0))
    axes = axes_of(run, "accuracy_by_task")[0]
    renderer = axes.figure.canvas.get_renderer()
    labels = [text for text in axes.texts if re.fullmatch(r"\d: glyphs \d\s·\s0.\d+", text.get_text())]
    boxes = sorted((text.get_window_extent(renderer) for text in labels), key=lambda box: box.y0)
    assert len(boxes) == 6
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))
    assert max(box.x1 for box in boxes) < axes.figure.bbox.x1


def test_spread_out_is_the_least_squares_answer() -> None:
    # Two at one place with gap 1 end half a gap to each side; one far off stays; order is kept.
    assert spread_out([5.0, 5.0, 9.0], 1.0, 0.0, 10.0) == pytest.approx([4.5, 5.5, 9.0])
    assert spread_out([10.0, 10.0], 1.0, 0.0, 10.0) == pytest.approx([9.0, 10.0])
    assert spread_out([], 1.0, 0.0, 1.0) == []


def test_colours_differ_in_lightness_and_text_stands_out() -> None:
    assert len(set(task_colours(6))) == 6
    many = np.array([matplotlib.colors.to_rgb(colour) for colour in task_colours(20)]) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(many) > 0).all()
    assert (ink_on("#000080"), ink_on("#ffee88")) == ("white", "black")


def test_records_cut_short_or_repeated_are_read_once(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=2)
    whole = StoredRun(run_dir)
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"kind": "new kind", "unit": 80}\n')
        file.write((run_dir / "metrics.jsonl").read_text().splitlines()[-1] + "\n")
        file.write('{"kind": "train", "unit": 81, "ta')
    again = StoredRun(run_dir)
    np.testing.assert_array_equal(again.evaluations.scores, whole.evaluations.scores)
    np.testing.assert_array_equal(again.training.units, whole.training.units)
