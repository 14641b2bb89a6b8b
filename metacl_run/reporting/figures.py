"""Draws the figures of a run from its files alone, as PNG and SVG; the same run gives the same bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from metacl_run.core.files import storage_errors, write_atomically
from metacl_run.layout.style import RC
from metacl_run.reporting import curves, insight_figures, matrices, sequence_figures, task_curves
from metacl_run.reporting.captions import panels
from metacl_run.reporting.panel import Panel
from metacl_run.storage.read_run import Run, load

DRAWN: dict[str, Callable[[Run, Panel], Figure]] = {
    "accuracy_by_task": lambda run, panel: (task_curves.draw if run.num_tasks > 1 else curves.learning_curve)(run, panel),
    "mean_accuracy": curves.mean_accuracy,
    "forgetting": matrices.forgetting,
    "accuracy_matrix": matrices.accuracy_matrix,
    "training_loss": curves.training_loss,
    "stability_gap": curves.stability_gap,
    "interference": insight_figures.interference,
    "gradient_alignment": insight_figures.gradient_alignment,
    "feature_drift": insight_figures.feature_drift,
    "learned_rates": insight_figures.learned_rates,
    "sequence_accuracy": sequence_figures.sequence_accuracy,
    "forgetting_curve": sequence_figures.forgetting_curve,
    "choice_of_rate": sequence_figures.choice_of_rate,
    "probes": sequence_figures.probes,
    "representation": sequence_figures.representation,
    "gate_activity": sequence_figures.gate_activity,
}
"""Panel name -> its function."""

# matplotlib would stamp its version, its address and the time of day.
UNSTAMPED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


def draw(run_dir: Path) -> list[Path]:
    """Writes figures/<name>.png and .svg for every figure the run supports and removes those it does not."""
    run = load(run_dir)
    folder = run_dir / "figures"
    wanted = {panel.name: panel for panel in panels(run)}
    paths: list[Path] = []
    with storage_errors(run_dir):
        folder.mkdir(exist_ok=True)
    with matplotlib.rc_context(RC):
        for name, function in DRAWN.items():
            if name not in wanted:
                for suffix in UNSTAMPED:
                    (folder / f"{name}.{suffix}").unlink(missing_ok=True)
                continue
            paths += save(function(run, wanted[name]), folder / name)
    return paths


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the figure as <stem>.png and <stem>.svg; to be called under `matplotlib.rc_context(RC)`."""
    paths = []
    for suffix, metadata in UNSTAMPED.items():
        content = io.BytesIO()
        with warnings.catch_warnings():  # a name may be in a script that no font at hand has: it is drawn as boxes
            warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
            figure.savefig(content, format=suffix, metadata=metadata)
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_atomically(paths[-1], content.getvalue())
    return paths
