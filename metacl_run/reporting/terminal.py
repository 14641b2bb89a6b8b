"""What stands on the terminal when a run has ended, or is asked for again: metrics, what they say, where things are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.reporting.number_text import apart, number, spread_heading, spread_text
from metacl_run.reporting.sequence_tables import (
    length_heading,
    lengths_table,
    metric_heading,
    rate_heading,
    sentence,
    unmeasured,
)
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import Score
from metacl_run.storage.read_run import load, marks
from metacl_run.storage.sequence_records import MetaTest

MAX_SEEDS = 5
COLOURS = {"completed": "green", "interrupted": "yellow", "diverged": "red", "failed": "red"}


def show(run_dir: Path, console: Console) -> None:
    """Prints the end of a run from its files alone."""
    run = load(run_dir)
    summary = run.summary
    status = summary["status"]
    seeds = f"seed{'s' if len(summary['seeds']) > 1 else ''} {' '.join(map(str, summary['seeds']))}"
    head = f"{summary['algo']}, {summary['model']}, {summary['data']}, {seeds}"
    console.print(f"[bold {COLOURS.get(status, 'red')}]{status}[/]  {escape(head)}", highlight=False)
    for mark in marks(summary):
        console.print(f"[bold yellow]{mark}[/]", highlight=False)
    if summary["error"] and status != "failed":  # what failed is on its way to the user already
        console.print(escape(summary["error"]), style="red", highlight=False)
    if summary["metrics"]:
        few = 1 < len(summary["seeds"]) <= MAX_SEEDS
        _print_table(metrics_table(summary, each=few), metrics_table(summary, each=False), console)
    if run.sequences is not None and run.sequences.meta_test is not None:
        test = run.sequences.meta_test
        wide, narrow = (sequence_table(test, run.objective, intervals=intervals) for intervals in (True, False))
        _print_table(wide, narrow, console)
    if run.num_tasks:
        console.print(escape(sentence(run)), highlight=False, soft_wrap=not console.is_terminal)
    left_out = unmeasured(run)
    if left_out is not None:
        console.print(left_out, style="dim", highlight=False, soft_wrap=not console.is_terminal)
    if run.evaluation_error is not None:
        score = run.objective.score_words
        measured = f"Within one seed, the last evaluation gives {score} to ±{number(run.evaluation_error)} (95%)."
        console.print(measured, style="dim", highlight=False, soft_wrap=not console.is_terminal)
    if run.time_words is not None:
        console.print(run.time_words, style="dim", highlight=False, soft_wrap=not console.is_terminal)
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    places = {"report": run_dir / "report.html", "directory": run_dir}
    for name, path in places.items():
        if path.exists():
            console.print(f"[dim]{name:<9}[/] {escape(str(path))}", highlight=False, soft_wrap=True)


def _print_table(wide: Table, narrow: Table, console: Console) -> None:
    """The wide one where the terminal is wide enough; a file has no width."""
    needed = console.measure(wide, options=console.options.update(max_width=1000)).maximum
    if not console.is_terminal:
        wide.width = needed
        console.print(wide, crop=False, soft_wrap=True)
    else:
        console.print(wide if needed <= console.width else narrow)


def metrics_table(summary: dict[str, Any], each: bool) -> Table:
    """Mean, what the seeds spread over and, with `each`, every seed's value; in a column of its own, the transductive mean."""
    seeds, own, together = summary["seeds"], *apart(summary["metrics"])
    heading = None if each and len(seeds) < FEWEST else spread_heading(len(seeds))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(metric_heading(summary), no_wrap=True)
    table.add_column("mean", justify="right", style="bold")
    if heading is not None:
        table.add_column(heading, justify="center", no_wrap=True)
    for seed in seeds if each else []:
        table.add_column(f"seed {seed}", justify="right", style="dim")
    if together:
        table.add_column("transductive", justify="right")
    for name, metric in own.items():
        row = [name, number(metric["mean"])]
        if heading is not None:
            row.append(spread_text(metric))
        row += [number(value) for value in metric["values"] if each]
        table.add_row(*row, *([number(together[name]["mean"])] if name in together else []))
    return table


def sequence_table(test: MetaTest, score: Score, intervals: bool) -> Table:
    """The meta-test, a row a number of concepts; with `intervals`, what every mean spreads over."""
    lengths = lengths_table(test, score)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"{score.concepts} learned", no_wrap=True)
    for name in lengths[0].scores:
        table.add_column(name, justify="right", style="bold")
        if intervals:
            table.add_column(length_heading(test), justify="center", no_wrap=True)
    if test.chosen is not None:
        table.add_column(rate_heading(test), justify="right")
    for length in lengths:
        row = [str(length.classes)]
        for mean, ends in length.scores.values():
            row += [number(mean), ends] if intervals else [number(mean)]
        table.add_row(*row, *([length.rate] if test.chosen is not None else []))
    return table
