"""What stands on the terminal when a run has ended, or is asked for again: metrics, what they say, where things are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metacl_run.reporting.collect import load, marks
from metacl_run.reporting.sequence_records import MetaTest
from metacl_run.reporting.sequence_tables import lengths_table, metric_heading, rate_heading, sentence

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
        wide, narrow = (sequence_table(test, run.objective.concepts, intervals=intervals) for intervals in (True, False))
        _print_table(wide, narrow, console)
    if run.num_tasks:
        console.print(escape(sentence(run)), highlight=False, soft_wrap=not console.is_terminal)
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
    """Mean, 95% interval of several seeds and, with `each`, every seed's value."""
    seeds = summary["seeds"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(metric_heading(summary), no_wrap=True)
    table.add_column("mean", justify="right", style="bold")
    if len(seeds) > 1:
        table.add_column("95% interval", justify="center", no_wrap=True)
    for seed in seeds if each else []:
        table.add_column(f"seed {seed}", justify="right", style="dim")
    for name, metric in summary["metrics"].items():
        row = [name, number(metric["mean"])]
        if len(seeds) > 1:
            row.append(interval(metric["ci95"]))
        table.add_row(*row, *(number(value) for value in metric["values"] if each))
    return table


def sequence_table(test: MetaTest, concepts: str, intervals: bool) -> Table:
    """The meta-test, a row a number of `concepts`; with `intervals`, the 95% bootstrap interval over orders of every mean."""
    lengths = lengths_table(test)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"{concepts} learned", no_wrap=True)
    for name in lengths[0].scores:
        table.add_column(name, justify="right", style="bold")
        if intervals:
            table.add_column("95% of orders", justify="center", no_wrap=True)
    if test.chosen is not None:
        table.add_column(rate_heading(test), justify="right")
    for length in lengths:
        row = [str(length.classes)]
        for mean, bounds in length.scores.values():
            row += [number(mean), interval(bounds)] if intervals else [number(mean)]
        table.add_row(*row, *([length.rate] if test.chosen is not None else []))
    return table


def number(value: float | None) -> str:
    """Three decimals, a dash for what is not defined."""
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"  # no -0.000


def interval(bounds: list[float | None]) -> str:
    """'0.701 to 0.745'; words, since bounds may be negative."""
    low, high = bounds
    return "-" if low is None or high is None else f"{number(low)} to {number(high)}"
