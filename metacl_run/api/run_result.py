"""A run as an object: its config, numbers, curves, figures, and its learner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from metacl_run.core.errors import ConfigError, UserError, nearest
from metacl_run.storage import tidy
from metacl_run.storage.run_files import REPORT
from metacl_run.storage.stored_run import StoredRun

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from metacl_run.api.learner import Learner

Table = Literal["curves", "metrics", "matrix"]


class Metric(NamedTuple):
    """A metric over seeds."""

    mean: float
    std: float
    """Over seeds (n - 1); NaN for one seed."""
    low: float
    """The 95% interval of the mean (Student t) from here; NaN for fewer than three seeds."""
    high: float
    values: tuple[float, ...]
    """One for each seed."""


class RunResult:
    """A run directory. Its files are read when first needed.

    Args:
        directory: of the run; use `metacl_run.load`, which checks it.
    """

    def __init__(self, directory: Path) -> None:
        self._run = StoredRun(directory)

    @property
    def directory(self) -> Path:
        return self._run.directory

    @property
    def report(self) -> Path:
        """The page of the run, one file that opens in a browser."""
        return self.directory / REPORT

    @property
    def run_id(self) -> str:
        return str(self._run.summary["run_id"])

    @property
    def status(self) -> str:
        """ "completed", "interrupted", "diverged" or "failed"."""
        return self._run.status

    @property
    def seeds(self) -> list[int]:
        return self._run.seeds

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, nested as in config.yaml."""
        return self._run.config

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json: choices, metrics, timing, environment, warnings."""
        return self._run.summary

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics by name; empty if the run did not get that far."""
        return {name: _metric(content) for name, content in self._run.summary["metrics"].items()}

    @property
    def matrix(self) -> np.ndarray:
        """The accuracy matrix R [seeds, T + 1, T]: R[s, i, j] is the score on task j + 1 after learning i tasks.

        Row 0 is before any learning; NaN where a task was not evaluated.
        """
        return self._run.matrix

    @property
    def task_names(self) -> list[list[str]]:
        """The names of the tasks, a list of T for each seed."""
        return [list(names) for names in self._run.summary["task_names"]]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """Everything that was recorded over time, one value per record: see `storage/tidy.py`."""
        return tidy.curves(self._run)

    def records(self, table: Table = "curves") -> list[dict[str, Any]]:
        """Returns one value per record, ready for pandas, seaborn or a CSV file.

        Args:
            table: "curves" (training metrics, evaluations, meta-test), "metrics" (final ones of each seed) or "matrix".

        Raises:
            UserError: there is no such table.
        """
        tables = {"curves": tidy.curves, "metrics": tidy.metrics, "matrix": tidy.matrix}
        if table not in tables:
            raise ConfigError(f"records({table!r}): must be one of {', '.join(tables)}.{nearest(str(table), list(tables))}")
        return tables[table](self._run)

    def frame(self, table: Table = "curves") -> pd.DataFrame:
        """`records` as a data frame. Raises UserError where pandas is not installed, or there is no such table."""
        try:
            import pandas as pd
        except ImportError:
            raise UserError("frame(): needs pandas: pip install pandas; records() gives the same as a list of dicts") from None
        return pd.DataFrame(self.records(table))

    @property
    def figure_names(self) -> list[str]:
        """The figures that this run supports."""
        from metacl_run.reporting.figures import names

        return names(self._run)

    def figure(
        self, name: str, axes: Axes | Sequence[Axes] | None = None, style: Literal["paper", "screen"] | None = None
    ) -> Figure:
        """Draws a figure of the run.

        Args:
            name: one of `figure_names`.
            axes: where to draw; a figure of several panels needs as many axes. None: a new figure, as wide as a column.
            style: "paper" (no title, sizes of a column) or "screen". None: "paper", or in `axes` the rcParams in effect.

        Raises:
            UserError: the run has no such figure.
        """
        from metacl_run.reporting.figures import draw_into

        return draw_into(self._run, name, axes=axes, style=style)

    def learner(
        self,
        seed: int | None = None,
        overrides: Sequence[str] = (),
        device: str = "cpu",
        after_task: int | None = None,
    ) -> Learner:
        """Returns the learner at the end of the run, or after one of its tasks, for your own examples.

        Args:
            seed: one of `seeds`; None: the first.
            overrides: settings to change, as for `metacl_run.evaluate`: ["algo.eval_inner_steps=10"].
            device: "cpu" or "cuda".
            after_task: the learner as it was after this task: 0 is the first task, which tables and figures call task 1. Only
                of a run with protocol.keep_states=tasks. None: at the end of the run.

        Raises:
            UserError: the run has no such seed or has not completed, a setting cannot be changed, or the learner after such a
                task was not kept.
        """
        from metacl_run.api.open_learner import open_learner

        return open_learner(self._run, seed, overrides, device, after_task)

    def cite(self) -> str:
        """BibTeX of the methods and data that the run used."""
        from metacl_run.references import bibtex_of

        return bibtex_of(self._run)

    def __repr__(self) -> str:
        summary = self._run.summary
        score = self._run.score.score_name
        reached = f", {score} {self.metrics[score].mean:.3f}" if score in self.metrics else ""
        return (
            f"<RunResult {summary['algo']} on {summary['data']}, seeds {self.seeds}, {self.status}{reached}: {self.directory}>"
        )

    def _repr_html_(self) -> str:
        """The metrics as a table, for notebooks."""
        from markupsafe import escape

        from metacl_run.layout.grid import to_html
        from metacl_run.reporting.run_grids import metrics_grid
        from metacl_run.reporting.sentences import sentence

        grid = metrics_grid(self._run)
        text = sentence(self._run) if self._run.num_tasks else ""
        return f"{'' if grid is None else to_html(grid)}<p>{escape(text)}</p>"


def _metric(content: dict[str, Any]) -> Metric:
    low, high = content.get("ci95") or (None, None)
    numbers = (content.get("mean"), content.get("std"), low, high)
    mean, std, low, high = (np.nan if number is None else float(number) for number in numbers)
    return Metric(mean, std, low, high, tuple(np.nan if value is None else float(value) for value in content["values"]))
