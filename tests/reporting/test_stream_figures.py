"""What is shown of a stream whose tasks recur: figures, the table of domains, the sentence, a damaged file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import StorageError
from metacl_run.layout.style import VERMILLION, series_colours
from metacl_run.reporting.figures import draw, names
from metacl_run.reporting.report import write
from metacl_run.reporting.run_grids import domains_grid
from metacl_run.reporting.sentences import sentence
from metacl_run.storage.stored_run import StoredRun, Training
from tests.support.figures import axes_of, text_of
from tests.support.stored_streams import EVERY, PRETRAINING, STEPS, VISIT, build_stream

DOMAINS = ["omniglot", "mnist", "glyphs"]


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return build_stream(tmp_path / "run", domains=DOMAINS)


def test_the_last_steps_with_their_switches_and_what_was_detected(run: StoredRun) -> None:
    (axes,) = axes_of(run, "switches")
    steps = run.stream_steps
    assert steps is not None
    whole = next(line for line in axes.lines if len(line.get_xdata()) == STEPS)
    np.testing.assert_allclose(whole.get_ydata(), steps.score[0])
    switches = [
        line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    ]
    assert switches == list(range(VISIT, STEPS, VISIT))
    marks = {line.get_color(): line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "v"}
    true, false = marks.values()
    assert true == np.flatnonzero(steps.detected[0] & steps.is_switch[0]).tolist()
    assert false == np.flatnonzero(steps.detected[0] & ~steps.is_switch[0]).tolist()
    assert "Seed 0" in text_of(run, "switches").caption


def test_the_score_so_far_of_every_domain_and_of_all(run: StoredRun) -> None:
    (axes,) = axes_of(run, "score_so_far")
    ends = " ".join(text.get_text() for text in axes.texts)
    for place, name in enumerate(DOMAINS):
        assert f"{name}\u00a0·\u00a0{run.matrix[:, -1, place].mean():.2f}" in ends
    assert f"all\u00a0·\u00a0{run.summary['metrics']['accuracy']['mean']:.2f}" in ends
    assert axes.get_xlim() == (0, STEPS)
    assert axes.get_xlabel() == "steps of the stream"
    whole = next(line for line in axes.lines if len(line.get_xdata()) == STEPS // EVERY)
    assert whole.get_xdata().tolist() == list(range(EVERY, STEPS + 1, EVERY))


def test_a_domain_that_a_seed_meets_late_is_that_of_the_others_before(tmp_path: Path) -> None:
    run = build_stream(tmp_path / "run", domains=DOMAINS, replicates=3)
    scores = run.evaluations.scores  # [R, P, D]
    scores[1, :2, 2] = np.nan
    (axes,) = axes_of(run, "score_so_far")
    line = next(line for line in axes.lines if line.get_color() == series_colours(3)[2] and line.get_linewidth() == 1.7)
    expected = [scores[[0, 2], 0, 2].mean(), scores[[0, 2], 1, 2].mean(), scores[:, 2, 2].mean()]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert "mean of those that have met it" in text_of(run, "score_so_far").caption


def test_the_loss_is_broken_where_pretraining_ends(run: StoredRun) -> None:
    units = np.array([5, 10, 15, 20, 70])
    curves = {"loss": np.array([[2.0, 1.9, 1.0, 0.9, 0.8]] * 2)}
    vars(run)["training"] = Training(units, curves)
    (axes,) = axes_of(run, "training_loss")
    steps = [line.get_xdata().tolist() for line in axes.lines if line.get_linewidth() == 1.7]
    assert steps == [[-5, 0], [5, 10, 60]]
    assert axes.get_xlim() == (-PRETRAINING, STEPS)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [0]
    assert "pre-training | stream" in {text.get_text() for text in axes.texts}
    vars(run)["training"] = Training(units + 2, curves)  # the point at 12 is a mean over steps of both
    (axes,) = axes_of(run, "training_loss")
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_linewidth() == 1.7] == [[-3], [7, 12, 62]]


def test_triangles_are_called_what_they_are(run: StoredRun) -> None:
    (axes,) = axes_of(run, "switches")
    assert VERMILLION in {line.get_color() for line in axes.lines if line.get_marker() == "v"}
    assert "else vermillion" in text_of(run, "switches").caption


def test_it_has_no_figure_of_tasks_that_were_learned_in_turn(run: StoredRun) -> None:
    assert set(names(run)) == {"score_so_far", "switches", "training_loss"}


def test_the_table_of_domains_and_the_sentence_say_the_last_row(run: StoredRun) -> None:
    grid = domains_grid(run)
    assert grid is not None
    means = run.matrix[:, -1].mean(0)
    assert [(row[0].text, row[1].text) for row in grid.rows] == [
        (name, f"{mean:.3f}") for name, mean in zip(DOMAINS, means, strict=True)
    ]
    text = sentence(run)
    assert f"omniglot {means[0]:.2f}" in text
    recall, precision = (run.summary["metrics"][f"switch_{name}"]["mean"] for name in ("recall", "precision"))
    assert f"detected {recall:.0%}" in text
    assert f"{precision:.0%} of the detected switches" in text


def test_a_stream_that_was_cut_short_is_shown_as_far_as_it_got(tmp_path: Path) -> None:
    run = build_stream(tmp_path / "run", domains=DOMAINS, status="interrupted")
    assert set(names(run)) == {"score_so_far", "training_loss"}
    assert domains_grid(run) is None
    so_far = run.scores_so_far[:, -1].mean()
    assert sentence(run) == (
        f"The stream did not get to its end. After 40 of 60 steps: accuracy so far {so_far:.2f}; chance is 0.20."
    )
    (run.directory / "metrics.jsonl").write_text("")
    assert sentence(StoredRun(run.directory)) == "The run ended before the first record of its stream."


def test_the_report_has_all_of_it(run: StoredRun) -> None:
    draw(run)
    page = write(run).read_text()
    assert "by domain" in page
    assert re.search("Step by step", page)


def test_a_damaged_file_is_said_to_be_one(run: StoredRun) -> None:
    path = run.directory / "stream.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"stream\.npz: is truncated or damaged"):
        _ = StoredRun(run.directory).stream_steps


def test_a_run_that_stopped_in_pretraining_says_so(tmp_path: Path) -> None:
    run = build_stream(tmp_path / "run", domains=DOMAINS, status="interrupted")
    (run.directory / "metrics.jsonl").write_text("")
    run = StoredRun(run.directory)
    vars(run)["training"] = Training(np.array([2, 4, 6]), {"loss": np.array([[2.0, 1.9, 1.0]] * 2)})
    assert set(names(run)) == {"training_loss"}
    (axes,) = axes_of(run, "training_loss")
    assert axes.get_xlim() == (-PRETRAINING, 6 - PRETRAINING)
    assert f"interrupted at 6 of {PRETRAINING} steps of pre-training" in {text.get_text() for text in axes.texts}
