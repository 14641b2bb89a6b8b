"""report.html: a whole run in one file that opens anywhere, without a network, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from metacl_run.core.files import write_atomically
from metacl_run.layout.page import inline_svg, stylesheet, template
from metacl_run.reporting.captions import panels
from metacl_run.reporting.matrices import MOST_CELLS, WIDEST_NAME
from metacl_run.reporting.number_text import apart, number, spread_heading, spread_text
from metacl_run.reporting.panel import subtitle
from metacl_run.reporting.report_stamp import stamp
from metacl_run.reporting.sequence_tables import (
    length_heading,
    lengths_table,
    metric_heading,
    rate_heading,
    sentence,
    unmeasured,
)
from metacl_run.scoring.metric_table import metrics_of
from metacl_run.storage.read_run import Run, load

STATUS_WORDS = {
    "completed": "The run completed.",
    "interrupted": "The run was interrupted. Everything up to there is kept; the same command continues it.",
    "diverged": "The run diverged: its loss or parameters stopped being finite. The curves up to there are kept.",
    "failed": "The run failed. What it had written is kept; the same command tries again.",
}
TILES = ("{score}", "learning_{score}", "forgetting", "bwt", "fwt")
"""The metrics that stand large at the top, with the name of the score to be filled in."""
SEQUENCE_TILES = ("{score}", "memory", "joint_{score}", "learning_{score}", "forgetting")


def write(run_dir: Path) -> Path:
    """Writes report.html from the run's files and the figures `figures.draw` left; returns its path."""
    run = load(run_dir)
    score = run.objective.score_name
    tiles = TILES if run.sequences is None else SEQUENCE_TILES
    known = metrics_of(run.objective, in_sequence=run.sequences is not None)
    test = None if run.sequences is None else run.sequences.meta_test
    own, together = apart(run.summary["metrics"])
    drawn = [(panel, inline_svg(run_dir / "figures" / f"{panel.name}.svg", panel.title)) for panel in panels(run)]
    html = template("metacl_run.reporting", "report.html.j2", number, spread_text, flat).render(
        mark=stamp(run_dir / "summary.json", (run_dir / "figures").glob("[!.]*.*")),
        stylesheet=stylesheet(),
        run=run,
        summary=run.summary,
        title=f"{run.summary['algo']} on {run.summary['data']}",
        subtitle=subtitle(run),
        status_words=STATUS_WORDS.get(run.summary["status"], run.summary["status"]),
        sentence=sentence(run) if run.num_tasks else None,
        tiles=[name for tile in tiles if (name := tile.format(score=score)) in own],
        together=together,
        metric_tables=[("Metrics", own), ("Transductive metrics", together)],
        meanings={name: metric.meaning for name, metric in known.items()},
        metric_heading=metric_heading(run.summary),
        meta_test=test,
        length_heading=length_heading(test) if test is not None else "",
        spread_heading=spread_heading(len(run.summary["seeds"])),
        lengths=lengths_table(test, run.objective) if test is not None else [],
        rate_heading=rate_heading(test) if test is not None else "",
        score=run.objective.score_words,
        figures=[(panel, svg) for panel, svg in drawn if svg],
        matrix=_matrix_rows(run),
        unmeasured=unmeasured(run),
        config=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, width=100),
    )
    path = run_dir / "report.html"
    write_atomically(path, html.encode())
    return path


def _matrix_rows(run: Run) -> list[tuple[str, list[str]]]:
    """(stage, score of every task): the mean over replicates, of the rows in which all tasks learned by then were evaluated;
    none of a matrix too large to be read."""
    if run.num_tasks > MOST_CELLS:
        return []
    stages = ["before learning", *(f"after {run.task_label(task, WIDEST_NAME)}" for task in range(run.num_tasks))]
    mean = run.matrix.mean(axis=0) if run.num_replicates else run.matrix.sum(axis=0)
    defined = [[None if np.isnan(value) else float(value) for value in mean[row]] for row in run.whole_rows]
    return [(stages[row], [number(value) for value in values]) for row, values in zip(run.whole_rows, defined, strict=True)]


def flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as ("timing.wall_s", "12.3") pairs, for a two-column table."""
    rows = []
    for key, value in tree.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
