"""The results of a run on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from metacl_run.layout.terminal_grid import print_grid
from metacl_run.reporting.prediction_grids import confused_words
from metacl_run.reporting.run_grids import domains_grid, lengths_grid, metrics_grid, steps_grid
from metacl_run.reporting.sentences import evaluation_error_words, not_evaluated, sentence, time_words
from metacl_run.storage.marks import marks
from metacl_run.storage.run_files import FIGURES, PAPER, REPORT
from metacl_run.storage.stored_run import StoredRun

MOST_SEEDS = 5
"""Most seeds that have a column each."""
COLOURS = {"completed": "green", "interrupted": "yellow", "diverged": "red", "failed": "red"}


def show(run: StoredRun, console: Console) -> None:
    """Prints the status, the metrics, what they say, warnings, and where the report is."""
    summary, wrap = run.summary, not console.is_terminal
    seeds = f"seed{'s' if len(run.seeds) > 1 else ''} {' '.join(map(str, run.seeds))}"
    head = f"{summary['algo']}, {summary['model']}, {summary['data']}, {seeds}"
    console.print(f"[bold {COLOURS.get(run.status, 'red')}]{run.status}[/]  {escape(head)}", highlight=False)
    for mark in marks(summary):
        console.print(f"[bold yellow]{mark}[/]", highlight=False)
    if summary["error"] and run.status != "failed":  # the user receives the error of a failed run anyway
        console.print(escape(summary["error"]), style="red", highlight=False)
    every_seed = 1 < len(run.seeds) <= MOST_SEEDS
    for wide, narrow in (
        (metrics_grid(run, every_seed=every_seed), metrics_grid(run, every_seed=False)),
        (domains_grid(run), domains_grid(run)),
        (lengths_grid(run), lengths_grid(run, with_intervals=False)),
        (steps_grid(run), steps_grid(run)),
    ):
        if wide is not None and narrow is not None:
            print_grid(console, wide, narrow)
    if run.num_tasks:
        console.print(escape(sentence(run)), highlight=False, soft_wrap=wrap)
    error = run.evaluation_error
    for remark in (
        confused_words(run),
        not_evaluated(run),
        None if error is None else evaluation_error_words(error, run.score),
        time_words(run),
    ):
        if remark is not None:
            console.print(escape(remark), style="dim", highlight=False, soft_wrap=wrap)
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    places = {"report": run.directory / REPORT, "figures": run.directory / FIGURES / PAPER, "directory": run.directory}
    for name, path in places.items():
        if path.exists():
            console.print(f"[dim]{name:<9}[/] {escape(str(path))}", highlight=False, soft_wrap=True)
