"""report.html: a whole run in one file that opens without a network, and prints."""

from __future__ import annotations

from pathlib import Path

import yaml

from metacl_run.core.files import write_text_atomically
from metacl_run.layout.grid import to_html
from metacl_run.layout.numbers import number, spread_heading, spread_text
from metacl_run.layout.page import inline_svg, stylesheet, template
from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.phrases import subtitle
from metacl_run.reporting.prediction_grids import confused_grid, forgotten_grid
from metacl_run.reporting.report_stamp import stamp
from metacl_run.reporting.run_grids import (
    domains_grid,
    environment_grid,
    lengths_grid,
    matrix_grid,
    metrics_grid,
    names_grid,
    plain_and_transductive,
    steps_grid,
)
from metacl_run.reporting.sentences import not_evaluated, sentence, time_words
from metacl_run.scoring.metric_table import headline_metrics, metrics_of
from metacl_run.storage.optional_file import read_optional
from metacl_run.storage.run_files import FIGURES, MATRIX, REFERENCES, REPORT
from metacl_run.storage.stored_run import StoredRun

STATUS_WORDS = {
    "completed": "The run completed.",
    "interrupted": "The run was interrupted. Its results so far are saved; the same command continues it.",
    "diverged": "The run diverged: its loss or parameters are no longer finite. Its results so far are saved.",
    "failed": "The run failed. Its results so far are saved; the same command tries again.",
}


def write(run: StoredRun) -> Path:
    """Writes report.html from the run's files and the figures that `figures.draw` left; returns its path."""
    plain, together = plain_and_transductive(run)
    grids = (
        metrics_grid(run),
        metrics_grid(run, transductive=True),
        domains_grid(run),
        names_grid(run),
        lengths_grid(run),
        steps_grid(run),
        matrix_grid(run),
    )
    images = [
        (figure.text, inline_svg(run.directory / FIGURES / f"{figure.name}.svg", figure.text.title))
        for figure in figures_of(run)
    ]
    html = template("metacl_run.reporting", "report.html.j2", number, spread_text).render(
        stamp=stamp(run.directory),
        stylesheet=stylesheet(),
        run=run,
        summary=run.summary,
        title=f"{run.summary['algo']} on {run.summary['data']}",
        subtitle=subtitle(run),
        status_words=STATUS_WORDS.get(run.status, run.status),
        meta_test=run.meta_test,
        sentence=sentence(run) if run.num_tasks else None,
        tiles={name: plain[name] for name in headline_metrics(run.score, run.kind) if name in plain},
        together=together,
        meanings=metrics_of(run.score, run.kind),
        spread_heading=spread_heading(len(run.seeds)),
        figures=[(text, svg) for text, svg in images if svg],
        grids=[to_html(grid) for grid in grids if grid is not None],
        predictions=[to_html(grid) for grid in (confused_grid(run), forgotten_grid(run)) if grid is not None],
        large_matrix=MATRIX if matrix_grid(run) is None and run.num_tasks > 1 and run.whole_rows else None,
        not_evaluated=not_evaluated(run),
        time_words=time_words(run),
        environment=to_html(environment_grid(run)),
        bibtex=read_optional(run.directory / REFERENCES, lambda path: path.read_text(encoding="utf-8")),
        config=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, width=100),
    )
    path = run.directory / REPORT
    write_text_atomically(path, html)
    return path
