"""The terminal receives what the store wrote: plain lines, the live display, the results; and records as flat names."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console as Terminal

from metacl_run.listeners.console import Console, LastingTerminal
from metacl_run.listeners.live import LiveDisplay, task_table
from metacl_run.listeners.plain_lines import PlainLines
from metacl_run.listeners.scalars import scalars
from metacl_run.listeners.view import SHOWN, View, clock, sparkline
from tests.support.listeners import SEEDS, info_of, play, records, stored

# ------------------------------------------------------------------------------------------------------------- scalars


def test_scalars_are_means_and_each_seed() -> None:
    named = scalars(list(records())[-1], SEEDS, "accuracy")
    assert named["eval/task_01"] == pytest.approx(0.65)
    assert named["eval/accuracy_all"] == named["eval/accuracy_seen"] == pytest.approx(0.75)
    assert named["seed_7/eval/task_02"] == 0.9
    assert scalars({"kind": "unknown"}, SEEDS, "accuracy") == {}


def test_scalars_of_one_seed_come_once_and_null_is_nan() -> None:
    record = {"kind": "train", "unit": 1, "task": 0, "wall_s": 0.0, "metrics": {"loss": [None]}}
    named = scalars(record, [3], "accuracy")
    assert list(named) == ["train/loss"]
    assert np.isnan(named["train/loss"])


# ------------------------------------------------------------------------------------------------------------- console


def test_plain_lines(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("auto", Terminal(file=out, width=80)) as console:
        play(console, info_of(tmp_path / "run"))
    text = out.getvalue()
    assert "\x1b" not in text
    stamped = re.findall(r"^\d\d:\d\d:\d\d  .*$", text, re.MULTILINE)
    assert len(stamped) == 5  # two at the start, three evaluations; nothing within ten seconds of them
    lines = [line.removeprefix(line[:10]) if line in stamped else line for line in text.splitlines()]
    assert lines[0] == "maml, conv4, split_glyphs, seeds 3 7: 2 tasks of 4 meta-updates"
    assert "before learning: accuracy 0.200" in lines
    assert "after task 1/2 Hebrew [old]: accuracy 0.850" in lines
    assert "after task 2/2 Korean: accuracy 0.750 (mean of 2), earlier tasks -0.200 since learned" in lines
    assert any(line.startswith("accuracy") and "0.750" in line for line in lines)
    level = "Mean accuracy 0.75 on all 2 tasks at the end; chance is 0.20."
    assert f"{level} Forgetting 0.20: accuracy on earlier tasks fell from 0.85 at best to 0.65 at the end." in lines


def errors() -> Iterator[dict[str, Any]]:
    """The records of a regression: the errors are what the accuracies lack to 3."""
    for record in records():
        if record["kind"] == "eval":
            record["mse"] = (3 - np.array(record.pop("accuracy"))).tolist()
        yield record


def test_errors_go_by_their_name_everywhere(tmp_path: Path) -> None:
    info = info_of(tmp_path / "run", score="mse", chance=None, config={"data": {"shots": 10}})
    out, live = io.StringIO(), io.StringIO()
    terminal = Terminal(file=live, force_terminal=True, width=100, height=30, legacy_windows=False, no_color=True)
    for console in (Console("plain", Terminal(file=out)), Console("rich", terminal)):
        with console:
            console.started(info)
            for record in errors():
                console.record(record)
    assert "before learning: mse 2.800" in out.getvalue()
    assert "after task 2/2 Korean: mse 2.250 (mean of 2), earlier tasks +0.200 since learned" in out.getvalue()
    assert "mse so far" in live.getvalue()
    for text in (out.getvalue(), live.getvalue()):
        assert "accuracy" not in text
        assert "chance" not in text
    named = scalars(list(errors())[-1], SEEDS, "mse")
    assert named["eval/mse_all"] == named["eval/mse_seen"] == pytest.approx(2.25)
    assert not [name for name in named if "accuracy" in name]


def test_a_change_for_the_worse_is_red_whatever_the_score(tmp_path: Path) -> None:
    found = {}
    for score, given in (("accuracy", records()), ("mse", errors())):
        view = View(info_of(tmp_path, score=score))
        for record in given:
            if record["kind"] in ("train", "eval"):
                view.update(record)
        change = next(iter(task_table(view, rows=5).columns[-1].cells))
        found[score] = (str(change), change.style)
    assert found == {"accuracy": ("-0.200", "red"), "mse": ("+0.200", "red")}


def test_plain_lines_are_rate_limited(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("plain", Terminal(file=out, width=80)) as console:
        console.started(info_of(tmp_path, units_per_task=500))
        for record in records():
            if record["kind"] == "eval" and record["row"] == 0:
                console.record(record)
        for unit in range(1, 1001):  # a unit takes a tenth of a second: 100 s, at most one line in 10 s
            metrics = {"loss": [1.0, 1.0]}
            console.record({"kind": "train", "unit": unit, "task": 0, "wall_s": unit / 10, "metrics": metrics})
    lines = [line for line in out.getvalue().splitlines() if "left" in line]
    assert len(lines) == 10
    assert lines[1].endswith("1:20 left")  # 200 of 1000 units done in 20 s


def test_a_unit_of_work_has_one_line_in_between(tmp_path: Path) -> None:
    view = View(info_of(tmp_path, units_per_task=500))
    said = PlainLines(view)
    train = {"kind": "train", "unit": 15, "task": 0, "wall_s": 11.0, "metrics": {"loss": [1.0, 3.0]}}
    probe = {"kind": "eval", "unit": 15, "task": 0, "row": None, "wall_s": 22.0, "accuracy": [[0.5, 0.2]] * 2}
    assert said.after(train) == "task 1/2 Hebrew [old], meta-update 15/1000: loss 2, - left"
    assert said.after(probe) is None  # ten seconds later, but no work was done in between
    assert said.after({**train, "unit": 16, "wall_s": 23.0}) is not None


def test_until_something_is_learned_the_score_is_the_one_before_learning(tmp_path: Path) -> None:
    view = View(info_of(tmp_path, units_per_task=500))
    said, terminal = PlainLines(view), Terminal(file=io.StringIO(), width=100, height=30)

    def panel() -> str:
        with terminal.capture() as captured:
            terminal.print(LiveDisplay(terminal, view)._draw())
        return captured.get()

    train = {"kind": "train", "unit": 5, "task": 0, "wall_s": 11.0, "metrics": {"loss": [2.0, 2.0]}}
    said.after({"kind": "eval", "unit": 0, "task": 0, "row": 0, "wall_s": 0.0, "accuracy": [[0.1, 0.3]] * 2})
    line = said.after(train)
    assert line is not None
    assert "loss 2, accuracy before learning 0.200, " in line
    assert re.search(r"accuracy before learning +0\.200", panel())
    assert "so far" not in line + panel()
    said.after({"kind": "eval", "unit": 6, "task": 0, "row": None, "wall_s": 12.0, "accuracy": [[0.5, 0.2]] * 2})
    line = said.after({**train, "unit": 7, "wall_s": 30.0})
    assert line is not None
    assert "loss 2, accuracy so far 0.500, " in line
    assert re.search(r"accuracy so far +0\.500", panel())
    assert "before learning" not in line + panel()


def test_a_task_without_a_name_of_its_own_is_named_once(tmp_path: Path) -> None:
    record = {"kind": "eval", "unit": 4, "task": 0, "row": 1, "wall_s": 1.0, "accuracy": [[0.5, 0.2]] * 2}
    second = {**record, "unit": 8, "task": 1, "row": 2, "tasks": [1], "accuracy": [[0.4]] * 2}
    lines = PlainLines(View(info_of(tmp_path, task_names=[["task 1", "task 2"]] * 2)))
    assert lines.after(record) == "after task 1/2: accuracy 0.500"
    assert lines.after(second) == "after task 2/2: accuracy on it 0.400"
    seeds_differ = PlainLines(View(info_of(tmp_path, task_names=[["a", "b"], ["b", "a"]])))
    assert seeds_differ.after(record) == "after task 1/2: accuracy 0.500"


@pytest.mark.parametrize("progress", ["plain", "rich", "none"])
def test_warnings_come_before_the_first_unit_of_work(progress: str, tmp_path: Path) -> None:
    out, warning = io.StringIO(), "50 of [100] classes fill no task and are left out"
    terminal = Terminal(file=out, force_terminal=True, width=100, height=30, legacy_windows=False, no_color=True)
    with Console(progress, terminal) as console:
        console.started(info_of(tmp_path / "run", warnings=[warning]))
        started = re.sub("\x1b[^m]*m", "", out.getvalue())
        for record in records():
            console.record(record)
    assert started.count(f"warning: {warning}\n") == out.getvalue().count(warning) == (progress != "none")
    if progress == "rich":
        assert out.getvalue().index(warning) < out.getvalue().index("╭")  # above the panel
    if progress == "plain":
        assert re.search(rf"^\d\d:\d\d:\d\d  warning: {re.escape(warning)}$", started, re.MULTILINE)


@pytest.mark.parametrize(("width", "bars"), [(40, False), (60, False), (80, True), (120, True)])
def test_in_a_narrow_terminal_the_bars_yield_and_not_the_numbers(tmp_path: Path, width: int, bars: bool) -> None:
    terminal = Terminal(
        file=io.StringIO(), force_terminal=True, width=width, height=24, legacy_windows=False, color_system=None
    )
    names = [["a name that is longer than any terminal is wide", "Korean"]] * 2
    view = View(info_of(tmp_path, task_names=names))
    for record in records():
        if record["kind"] in SHOWN:
            view.update(record)
    with terminal.capture() as captured:
        terminal.print(LiveDisplay(terminal, view)._draw())
    text = captured.get()
    assert all(len(line) <= width for line in text.splitlines())
    assert "8/8 meta-updates · 0:00 left" in text
    for shown in ("now", "learned", "change", "0.650", "0.850", "-0.200", "0.750"):
        assert shown in text
    assert ("━" in text.split("learned")[1]) == bars


@pytest.mark.parametrize("updates", [0, 3])
def test_a_stream_that_recurs_begins_after_its_pre_training(updates: int, tmp_path: Path) -> None:
    kind = {"protocol": "osaka", "protocol_kind": "osaka", "config": {"algo": {"pretrain_updates": updates}}}
    view = View(info_of(tmp_path, task_names=[["a"]], units_per_task=9, **kind))
    evaluation = View(info_of(tmp_path, task_names=[["a"]], units_per_task=9, evaluation_of="0123abcd", **kind))
    positions = {}
    for unit in (1, 3, 4, 9):
        record = {"kind": "train", "unit": unit, "task": 0, "wall_s": 0.1 * unit, "metrics": {"loss": [1.0]}}
        view.update(record)
        evaluation.update(record)
        positions[unit] = view.position()
        assert evaluation.position() == "stream"
    assert positions == {unit: "pre-training" if unit <= updates else "stream" for unit in positions}


def test_the_panel_says_that_the_signal_was_heard_and_the_end_where_it_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, plain = io.StringIO(), io.StringIO()
    info = info_of(tmp_path / "run")
    terminal = Terminal(file=out, force_terminal=True, width=100, height=30, legacy_windows=False)
    for progress, where in (("rich", terminal), ("plain", Terminal(file=plain))):
        with Console(progress, where) as console:
            console.started(info)
            for record in list(records())[:4]:
                console.record(record)
            console.announce_stop()
            if console._live is not None:
                console._live._live.refresh()
            console.finished(stored(info, status="interrupted", timing={"units": 3}))
    said = "stopping after this meta-update; once more to stop at once"
    assert said in out.getvalue()
    assert said not in out.getvalue().split("interrupted")[-1]
    assert capfd.readouterr().err == f"{said}\n"  # in a live display it would be drawn over
    for text in (out.getvalue(), plain.getvalue()):
        assert re.sub("\x1b[^m]*m", "", text).splitlines()[-1] == "the same command goes on from meta-update 3/8"


def test_live_display_shows_tasks_and_gives_the_terminal_back(tmp_path: Path) -> None:
    out = io.StringIO()
    terminal = Terminal(file=out, force_terminal=True, width=100, height=30, legacy_windows=False)

    def interrupted() -> None:
        with Console("rich", terminal) as console:
            console.started(info_of(tmp_path))
            for record in records():
                console.record(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = out.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again, last
    for shown in ("Hebrew [old]", "Korean", "8/8 meta-updates", "chance 0.20", "-0.200"):
        assert shown in text


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("progress", ["plain", "none"])
def test_losing_the_terminal_loses_nothing(
    tmp_path: Path, progress: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # rich closes stdout, which is pytest's here
    console = Console(progress, LastingTerminal(file=Closed()))
    with caplog.at_level(logging.INFO, logger="metacl_run"), console:
        play(console, info_of(tmp_path / "run"))
    said = [record.getMessage() for record in caplog.records]
    assert "after task 1/2 Hebrew [old]: accuracy 0.850" in said
    assert said[-1] == "completed"


def test_progress_none_prints_results_only(tmp_path: Path) -> None:
    out = io.StringIO()
    with Console("none", Terminal(file=out, width=80)) as console:
        play(console, info_of(tmp_path / "run"))
    assert out.getvalue().startswith("completed")


def test_a_terminal_that_cannot_encode_a_name_still_gets_a_line(tmp_path: Path) -> None:
    raw = io.BytesIO()
    names = [["ひらがな", "Korean"]] * 2
    with Console("plain", Terminal(file=io.TextIOWrapper(raw, encoding="ascii"))) as console:
        console.started(info_of(tmp_path, task_names=names))
        for record in records():
            console.record(record)
        console._terminal.file.flush()
    assert b"after task 1/2 ????: accuracy 0.850" in raw.getvalue()


def test_sparkline_and_clock() -> None:
    assert sparkline([0.0, 7.0], 10) == "▁█"
    assert sparkline([1.0, 1.0, float("nan")], 10) == "▁▁!"
    assert len(sparkline(list(map(float, range(1000))), 48)) == 48
    assert (clock(75), clock(4000)) == ("1:15", "1:06:40")
