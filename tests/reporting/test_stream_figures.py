"""What is shown of a stream whose tasks recur: figures, the table of domains, the sentence, a damaged file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from metacl_run.core.errors import StorageError
from metacl_run.reporting.figures import draw, names
from metacl_run.reporting.report import write
from metacl_run.reporting.run_grids import domains_grid
from metacl_run.reporting.sentences import sentence
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_streams import PRETRAINING, STEPS, VISIT, build_stream

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
        assert f"{name} {run.matrix[:, -1, place].mean():.2f}" in ends
    assert f"all {run.summary['metrics']['accuracy']['mean']:.2f}" in ends
    assert any(line.get_xdata()[0] == PRETRAINING for line in axes.lines if line.get_linestyle() == ":")


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
    assert sentence(run) == "The stream did not get to its end."


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
