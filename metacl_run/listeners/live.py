"""The live display: a panel redrawn four times a second, left standing in its last state. Scores are means over replicates."""

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
from metacl_run.scoring.scores import SCORES

SPARK_WIDTH, BAR_WIDTH, NAME_WIDTH, LEAST_BAR = 48, 20, 24, 6
FRAME = 4
"""Columns that the panel's frame takes."""
NUMBERS = 32
"""Columns that a task's number and its three scores take, with the gaps between them."""
BESIDE_TASKS = 14
"""Lines of the display that are no tasks: the frame, what the run is doing, the table's heading and the empty last line."""


class LiveDisplay:
    """A panel on a terminal. The view is read while it changes: what is drawn may be a record behind."""

    def __init__(self, terminal: Terminal, view: View) -> None:
        self._terminal, self._view = terminal, view
        self.message: str | None = None
        """What the user must know at once, shown in the panel."""
        self._live = Live(console=terminal, get_renderable=self._draw, refresh_per_second=4)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        """Leaves the terminal as it was found; may come twice."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        view, info = self._view, self._view.info
        width = self._terminal.width - FRAME
        work = f"{info.unit_name}s" if view.meta_test is None else "of the meta-test"
        parts: list[RenderableType] = [progress(view.done, view.of, f"{work} · {view.time_left()} left", width)]
        facts = Table.grid(padding=(0, 2))
        facts.add_column(no_wrap=True)
        facts.add_column(no_wrap=True, overflow="ellipsis")
        facts.add_row("[dim]now" if view.in_sequence else "[dim]learning", Text(view.position(), style="bold"))
        chance = info.chance
        guess = "" if chance is None else f" [dim](chance {chance:.2f})"
        if np.isfinite(view.now).any():
            facts.add_row(f"[dim]{info.score} so far", f"[bold]{view.score():.3f}[/]{guess}")
        if view.losses:
            line = sparkline(view.losses, min(SPARK_WIDTH, max(8, width - 36)))
            facts.add_row("[dim]training loss", f"[cyan]{line}[/] {view.losses[-1]:.4g}")
        if view.probe:
            facts.add_row("[dim]last probe", view.probe)
        parts.append(facts)
        if self.message is not None:
            parts.append(Text(self.message, style="bold yellow"))
        if np.isfinite(view.now).any():
            parts += ["", task_table(view, rows=max(3, self._terminal.height - BESIDE_TASKS), width=width)]
        panel = Panel(Group(*parts), title=f"[bold]{escape(title(info))}", subtitle=f"[dim]{escape(str(info.directory))}")
        return Group(panel, "")  # the cursor stays in an empty line: a "^C" that the terminal writes there moves nothing


def progress(done: int, of: int, rest: str, width: int) -> Table:
    """A bar and "done/of rest"; what does not fit into `width` is taken off the bar, never off the numbers."""
    share = f"{done}/{of} {rest}"
    row = Table.grid(padding=(0, 1))
    room = width - len(share) - 1
    if room >= LEAST_BAR:
        row.add_row(ProgressBar(total=of, completed=done, width=room), share)
    else:
        row.add_row(share)
    return row


def task_table(view: View, rows: int, width: int = 100) -> Table:
    """Score of every task now, when learned, and the change; of more tasks than `rows`, those around the current. In less
    `width` the bars become shorter and go, then the names become shorter; the numbers stay."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    objective = SCORES[view.info.score]
    whole = 1.0 if objective.higher_is_better else float(np.nanmax(view.now))
    longest = max([len(view.task_name(task)) for task in range(view.num_tasks)] + [0])
    name_width, bar_width = _shares(width - NUMBERS, min(longest, NAME_WIDTH))

    def add(number: str, name: str, now: float, learned: float, style: str = "") -> None:
        bar = ProgressBar(total=whole, completed=now if math.isfinite(now) else 0.0, width=bar_width)
        bars: list[RenderableType] = [bar] if bar_width else []
        cut = Text(name if name_width else "")
        cut.truncate(name_width, overflow="ellipsis")
        table.add_row(number, cut, *bars, *_score_cells(now, learned, objective.sign), style=style)

    for heading in ("task", "", *([objective.score_name] if bar_width else []), "now", "learned", "change"):
        table.add_column(heading, justify="left" if heading in ("", objective.score_name) else "right", no_wrap=True)
    first = min(max(0, view.task + 2 - rows), max(0, view.num_tasks - rows))
    if first:
        earlier = slice(0, first)
        numbers, name = ("1", view.task_name(0)) if first == 1 else (f"1-{first}", "mean")
        add(numbers, name, view.now[earlier].mean(), view.learned[earlier].mean())
    for task in range(first, min(first + rows, view.num_tasks)):
        style = "bold" if task == view.task else ("dim" if task > view.task else "")
        add(str(task + 1), view.task_name(task), view.now[task], view.learned[task], style)
    if (hidden := view.num_tasks - first - rows) > 0:
        table.add_row("", f"[dim]and {hidden} more to come")
    return table


def _shares(width: int, longest: int) -> tuple[int, int]:
    """Columns of the names and of the bars, 0 for none, out of what the numbers leave."""
    bar = min(BAR_WIDTH, width - longest - 2)
    if bar >= LEAST_BAR:
        return longest, bar
    return max(0, min(longest, width)), 0


def _score_cells(now: float, learned: float, sign: int) -> list[RenderableType]:
    """The score now, when learned, and the change, which is red where it is for the worse."""
    change = now - learned
    colour = "" if not math.isfinite(change) or abs(change) < 0.005 else ("red" if sign * change < 0 else "green")
    return [
        f"{now:.3f}" if math.isfinite(now) else "-",
        f"{learned:.3f}" if math.isfinite(learned) else "",
        Text(f"{change:+.3f}" if math.isfinite(change) else "", style=colour),
    ]
