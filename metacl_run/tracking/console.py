"""The terminal: progress while a run lasts (live, or plain lines with a rate limit), its results when it has ended.

Scores shown are means over replicates.
"""

from __future__ import annotations

import abc
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metacl_run.marks import ON_VALIDATION
from metacl_run.reporting.terminal import show
from metacl_run.scores import SCORES
from metacl_run.tracking.listener import Listener, RunInfo
from metacl_run.tracking.view import SHOWN, View, sparkline

SPARK_WIDTH = 48


class Console(Listener):
    """Shows the run in the way `progress` asks for; a context manager, which gives the terminal back whatever happens.

    `auto` is `rich` on a terminal that can draw, else `plain`; `none` says nothing until the results.
    """

    def __init__(self, progress: str, directory: Path, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal()
        self._display = _display(progress, self._terminal)
        self._directory = directory

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def started(self, info: RunInfo) -> None:
        self._display.start(info)

    def record(self, record: dict[str, Any]) -> None:
        if record["kind"] in SHOWN:
            self._display.update(record)

    def finished(self, summary: dict[str, Any]) -> None:
        """Prints the results from the run's files, so after the report has been written."""
        self._display.stop()
        show(self._directory, self._terminal)

    def shown(self, summary: dict[str, Any]) -> None:
        """The same for a run that had ended before."""
        note = "this run has been computed before; rerun=true repeats it"
        self._terminal.print(f"{summary['run_id']}: {note}", style="dim", highlight=False)
        show(self._directory, self._terminal)


class Display(abc.ABC):
    """One way of showing progress."""

    @abc.abstractmethod
    def start(self, info: RunInfo) -> None: ...

    @abc.abstractmethod
    def update(self, record: dict[str, Any]) -> None:
        """A record of a kind in `SHOWN`."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Leaves the terminal as it was found; may come twice, or without `start`."""


def _display(progress: str, terminal: Terminal) -> Display:
    if progress == "auto":
        able = terminal.is_terminal and not terminal.is_dumb_terminal and not terminal.options.ascii_only
        progress = "rich" if able else "plain"
    return {"rich": LiveDisplay, "plain": PlainDisplay, "none": NoDisplay}[progress](terminal)


class NoDisplay(Display):
    def __init__(self, terminal: Terminal) -> None:
        pass

    def start(self, info: RunInfo) -> None:
        pass

    def update(self, record: dict[str, Any]) -> None:
        pass

    def stop(self) -> None:
        pass


class PlainDisplay(Display):
    """One line at the start, after each task or probe, and at most every `interval_s` in between; no control characters."""

    def __init__(self, terminal: Terminal, interval_s: float = 10.0) -> None:
        self._terminal, self._interval_s = terminal, interval_s
        self._view: View
        self._next_s = 0.0

    def start(self, info: RunInfo) -> None:
        self._view = View(info)
        plural = "s" if self._view.num_tasks > 1 else ""
        work = f"{self._view.num_tasks} task{plural} of {info.units_per_task} {info.unit_name}s"
        if self._view.in_sequence:
            concepts = SCORES[info.score].concepts
            work = f"{self._view.total} {info.unit_name}s, then a meta-test on sequences of unseen {concepts}"
        self._say(f"{_title(info)}: {work}")
        self._say(f"run directory {info.directory}")
        if info.first_unit:
            self._say(f"continuing after {info.unit_name} {info.first_unit}/{self._view.total}")

    def update(self, record: dict[str, Any]) -> None:
        view = self._view
        step = view.position()
        view.take(record)
        due = view.wall_s >= self._next_s
        if record["kind"] == "eval" and record["row"] is not None:
            after = f"after task {view.seen}/{view.num_tasks}" if view.seen else "before learning"
            name = view.task_name(view.seen - 1) if view.seen else ""
            self._say(f"{after} {name}".rstrip() + f": {view.info.score} {view.score():.3f}{self._earlier()}")
        elif record["kind"] == "probe":
            self._say(f"after {view.unit}/{view.total} {view.info.unit_name}s: {view.probe}")
        elif view.meta_test is not None and (due or view.position() != step or view.done == view.of):
            self._say(f"meta-test {view.done}/{view.of}: {view.position()}, {view.time_left()} left")
        elif view.meta_test is None and due:
            loss = f"loss {view.losses[-1]:.4g}, " if view.losses else ""
            where = f"{view.position()}, {view.info.unit_name} {view.unit}/{view.total}"
            score = "" if view.in_sequence else f"{view.info.score} so far {view.score():.3f}, "
            self._say(f"{where}: {loss}{score}{view.time_left()} left")
        else:
            return
        self._next_s = view.wall_s + self._interval_s

    def stop(self) -> None:
        pass

    def _earlier(self) -> str:
        if self._view.seen < 2:
            return ""
        change = (self._view.now - self._view.learned)[: self._view.seen - 1].mean()
        return f" (mean of {self._view.seen}), earlier tasks {change:+.3f} since learned"

    def _say(self, line: str) -> None:
        encoded = line.encode(self._terminal.encoding, "replace").decode(self._terminal.encoding)
        self._terminal.print(encoded, markup=False, highlight=False, soft_wrap=True)


class LiveDisplay(Display):
    """A panel redrawn four times a second, left standing in its last state."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._view: View
        self._live: Live | None = None

    def start(self, info: RunInfo) -> None:
        self._view = View(info)
        self._live = Live(console=self._terminal, get_renderable=self._draw, refresh_per_second=4)
        self._live.start()

    def update(self, record: dict[str, Any]) -> None:
        self._view.take(record)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> RenderableType:
        view, info = self._view, self._view.info
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        work = f"{info.unit_name}s" if view.meta_test is None else "of the meta-test"
        share = f"{view.done}/{view.of} {work} · {view.time_left()} left"
        bar.add_row(ProgressBar(total=view.of, completed=view.done), share)
        facts = Table.grid(padding=(0, 2))
        facts.add_row("[dim]now" if view.in_sequence else "[dim]learning", Text(view.position(), style="bold"))
        chance = info.chance
        guess = "" if chance is None else f" [dim](chance {chance:.2f})"
        if np.isfinite(view.now).any():
            facts.add_row(f"[dim]{info.score} so far", f"[bold]{view.score():.3f}[/]{guess}")
        if view.losses:
            line = sparkline(view.losses, min(SPARK_WIDTH, max(8, self._terminal.width - 40)))
            facts.add_row("[dim]training loss", f"[cyan]{line}[/] {view.losses[-1]:.4g}")
        if view.probe:
            facts.add_row("[dim]last probe", view.probe)
        parts: list[RenderableType] = [bar, facts]
        if np.isfinite(view.now).any():
            parts += ["", task_table(view, rows=max(3, self._terminal.height - 12))]
        return Panel(Group(*parts), title=f"[bold]{escape(_title(info))}", subtitle=f"[dim]{escape(str(info.directory))}")


def task_table(view: View, rows: int) -> Table:
    """Score of every task now, when learned, and the change; of more tasks than `rows`, those around the current."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    objective = SCORES[view.info.score]
    whole = 1.0 if objective.higher_is_better else float(np.nanmax(view.now))
    for heading in ("task", "", objective.score_name, "now", "learned", "change"):
        table.add_column(heading, justify="left" if heading in ("", objective.score_name) else "right", no_wrap=True)

    def add(number: str, name: str, now: float, learned: float, style: str) -> None:
        table.add_row(number, Text(name), *_score_cells(now, learned, whole, objective.sign), style=style)

    first = min(max(0, view.task + 2 - rows), max(0, view.num_tasks - rows))
    if first:
        earlier = slice(0, first)
        add(
            "1" if first == 1 else f"1-{first}",
            "mean" if first > 1 else view.task_name(0)[:24],
            view.now[earlier].mean(),
            view.learned[earlier].mean(),
            "",
        )
    for task in range(first, min(first + rows, view.num_tasks)):
        style = "bold" if task == view.task else ("dim" if task > view.task else "")
        name = view.task_name(task)
        add(str(task + 1), name[:24], view.now[task], view.learned[task], style)
    if (hidden := view.num_tasks - first - rows) > 0:
        table.add_row("", f"[dim]and {hidden} more to come")
    return table


def _score_cells(now: float, learned: float, whole: float, sign: int) -> list[RenderableType]:
    """A bar, the score now, when learned, and the change, which is red where it is for the worse."""
    change = now - learned
    colour = "" if not math.isfinite(change) or abs(change) < 0.005 else ("red" if sign * change < 0 else "green")
    return [
        ProgressBar(total=whole, completed=now if math.isfinite(now) else 0.0, width=20),
        f"{now:.3f}" if math.isfinite(now) else "-",
        f"{learned:.3f}" if math.isfinite(learned) else "",
        Text(f"{change:+.3f}" if math.isfinite(change) else "", style=colour),
    ]


def _title(info: RunInfo) -> str:
    seeds = " ".join(map(str, info.seeds))
    protocol = info.config.get("protocol")
    split = protocol.get("eval_split") if isinstance(protocol, dict) else None
    mark = f" ({ON_VALIDATION})" if split == "validation" else ""
    return f"{info.algo}, {info.model}, {info.data}, seed{'s' if len(info.seeds) > 1 else ''} {seeds}{mark}"
