"""The figures of a run for a paper: files of a column's width without title and caption, and LaTeX that includes them."""

from __future__ import annotations

from pathlib import Path

from metacl_run.core.files import storage_errors, write_text_atomically
from metacl_run.layout.grid import latex_text
from metacl_run.layout.image_files import PAPER_SUFFIXES, save
from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.figures.run_figure import PreparedFigure
from metacl_run.storage.run_files import CAPTIONS, FIGURES, PAPER
from metacl_run.storage.stored_run import StoredRun


def draw(run: StoredRun) -> list[Path]:
    """Writes figures/paper/<name>.pdf and .svg for every figure that the run supports, and figures.tex; removes other figures.

    Returns:
        the paths of all of them.
    """
    folder = run.directory / FIGURES / PAPER
    figures = figures_of(run)
    with storage_errors(run.directory):
        folder.mkdir(parents=True, exist_ok=True)
        paths = [path for figure in figures for path in save(figure.draw_for_paper(), folder / figure.name, PAPER_SUFFIXES)]
        paths.append(folder / CAPTIONS)
        write_text_atomically(paths[-1], latex(figures))
        for suffix in PAPER_SUFFIXES:
            for path in set(folder.glob(f"[!.]*.{suffix}")) - set(paths):
                path.unlink()
    return paths


def latex(figures: list[PreparedFigure]) -> str:
    """Returns a float for every figure, to be copied into a paper."""
    head = "% Figures of a run for a paper, 3.25 or 6.75 inches wide. Unscaled, their letters have 7 to 8.5 points."
    return "\n\n".join([head, *map(_float, figures)]) + "\n"


def _float(figure: PreparedFigure) -> str:
    environment = "figure" if figure.canvas.columns == 1 else "figure*"
    caption = latex_text(f"{figure.text.title}. {figure.text.caption}")
    lines = [
        f"% {figure.subtitle}",
        rf"\begin{{{environment}}}[tb]",
        r"  \centering",
        rf"  \includegraphics{{{figure.name}.pdf}}",
        rf"  \caption{{{caption}}}",
        rf"  \label{{fig:{figure.name}}}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines)
