"""The live display: a panel, redrawn four times a second, that stays in its last state. Scores are means over replicates."""

from __future__ import annotations

import math

import numpy as np
from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metacl_run.listeners.plain_lines import title
from metacl_run.listeners.view import View, sparkline
from metacl_run.scoring.scores import SCORES, chance_text

SPARK_WIDTH, BAR_WIDTH, NAME_WIDTH = 48, 20, 24
FRAME = 4
"""Columns of the panel's frame."""
LEAST_FOR_BARS = 76
"""Columns inside the frame that a bar for every task needs."""
LINES_WITHOUT_TASKS = 14
"""Lines for everything but tasks: the frame, the state of the run, the table's heading and the empty last line."""


class LiveDisplay:
    """A panel on a terminal. The view changes while it is drawn: the panel may be a record behind."""

    def __init__(self, terminal: Terminal, view: View) -> None:
        self._terminal, self._view = terminal, view
        self.message: str | None = None
        """An urgent message, shown in the panel."""
        self._live = Live(console=terminal, get_renderable=self._draw, refresh_per_second=4)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        """Restores the terminal; may be called twice."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        view, info = self._view, self._view.info
        width = self._terminal.width - FRAME
        parts: list[RenderableType] = [progress(view), facts(view, width)]
        if self.message is not None:
            parts.append(Text(self.message, style="bold yellow"))
        if np.isfinite(view.now).any():
            parts += ["", task_table(view, max(3, self._terminal.height - LINES_WITHOUT_TASKS), bars=width >= LEAST_FOR_BARS)]
        panel = Panel(Group(*parts), title=f"[bold]{escape(title(info))}", subtitle=f"[dim]{escape(str(info.directory))}")
        return Group(panel, "")  # the cursor stays in an empty line: a "^C" that the terminal writes there moves nothing


def progress(view: View) -> Table:
    """Returns a bar, and beside it the units of work and the time left; where it is narrow the bar gives way."""
    work = f"{view.info.unit_name}s" if view.meta_test is None else "of the meta-test"
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column()
    row.add_row(ProgressBar(total=view.of, completed=view.done), f"{view.done}/{view.of} {work} · {view.time_left()} left")
    return row


def facts(view: View, width: int) -> Table:
    """Returns the state of the run: the current task, the score, the training loss, the last probe."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(no_wrap=True, overflow="ellipsis")
    rows.add_row("[dim]now" if view.in_sequence or view.is_stream else "[dim]learning", Text(view.position(), style="bold"))
    chance = view.info.chance
    if view.score_words:
        guess = "" if chance is None else f" [dim](chance {chance_text(chance)})"
        rows.add_row(f"[dim]{view.score_words}", f"[bold]{view.score():.3f}[/]{guess}")
    if view.losses:
        line = sparkline(view.losses, min(SPARK_WIDTH, max(8, width - 36)))
        rows.add_row("[dim]training loss", f"[cyan]{line}[/] {view.losses[-1]:.4g}")
    if view.probe:
        rows.add_row("[dim]last probe", view.probe)
    return rows


def task_table(view: View, rows: int, *, bars: bool = True) -> Table:
    """Returns every task's score now, when learned, and the change. Of more tasks than `rows` it shows those around the current
    task. Where it is narrow the names are cut; the numbers stay."""
    score = SCORES[view.info.score]
    full_bar = 1.0 if score.higher_is_better else float(np.nanmax(view.now))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("task", justify="right", no_wrap=True)
    table.add_column(max_width=NAME_WIDTH)
    if bars:
        table.add_column(score.score_name, no_wrap=True)
    for heading in ("now", "learned", "change"):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(number: str, name: str, now: float, learned: float, style: str = "") -> None:
        bar = ProgressBar(total=full_bar, completed=now if math.isfinite(now) else 0.0, width=BAR_WIDTH)
        cut_name = Text(name, no_wrap=True, overflow="ellipsis")
        table.add_row(number, cut_name, *([bar] if bars else []), *_score_cells(now, learned, score.sign), style=style)

    first = min(max(0, view.task + 2 - rows), max(0, view.num_tasks - rows))
    if first:
        numbers, name = ("1", view.task_name(0)) if first == 1 else (f"1-{first}", "mean")
        add(numbers, name, view.now[:first].mean(), view.learned[:first].mean())
    for task in range(first, min(first + rows, view.num_tasks)):
        style = "bold" if task == view.task else ("dim" if task > view.task else "")
        add(str(task + 1), view.task_name(task), view.now[task], view.learned[task], style)
    if (hidden := view.num_tasks - first - rows) > 0:
        table.add_row("", f"[dim]and {hidden} more to come")
    return table


def _score_cells(now: float, learned: float, sign: int) -> list[RenderableType]:
    """Returns the score now, when learned, and the change, which is red where it is for the worse."""
    change = now - learned
    colour = "" if not math.isfinite(change) or abs(change) < 0.005 else ("red" if sign * change < 0 else "green")
    return [
        f"{now:.3f}" if math.isfinite(now) else "-",
        f"{learned:.3f}" if math.isfinite(learned) else "",
        Text(f"{change:+.3f}" if math.isfinite(change) else "", style=colour),
    ]
