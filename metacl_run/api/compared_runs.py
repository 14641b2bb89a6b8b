"""A comparison of runs as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import escape

from metacl_run.comparison.document import Comparison, write
from metacl_run.comparison.section_grids import metrics_grid
from metacl_run.core.errors import UserError, nearest, shown
from metacl_run.layout.grid import to_html

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from metacl_run.comparison.section_figures import SectionFigure


class ComparedRuns:
    """Configurations side by side, each over its seeds.

    Attributes:
        left_out: a message for each run that could not be compared.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self.left_out: list[str] = list(comparison.left_out)

    def records(self) -> list[dict[str, Any]]:
        """One record for each table, configuration and metric: means over seeds with the 95% interval (Student t).

        Keys: "table", "configuration", "metric", "seeds", "mean", "low", "high"; NaN if there are too few seeds.
        """
        return [
            {
                "table": scores.section.title,
                "configuration": label,
                "metric": metric,
                "seeds": statistics.num,
                "mean": statistics.mean,
                "low": statistics.low,
                "high": statistics.high,
            }
            for scores in self._comparison.sections
            for metric in scores.metrics
            for label, statistics in scores.statistics[metric].items()
        ]

    def differences(self) -> list[dict[str, Any]]:
        """One record for each pair of configurations with at least three common seeds: first minus second, over these seeds.

        Keys: "table", "metric", "first", "second", "seeds", "mean", "low", "high", "p" (sign-flip test, Holm-corrected).
        """
        return [
            {
                "table": scores.section.title,
                "metric": pair.metric,
                "first": pair.first,
                "second": pair.second,
                "seeds": pair.num,
                "mean": pair.mean,
                "low": pair.low,
                "high": pair.high,
                "p": pair.corrected,
            }
            for scores in self._comparison.sections
            for pair in scores.pairs
        ]

    def frame(self) -> pd.DataFrame:
        """`records` as a data frame. Raises UserError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise UserError("frame(): needs pandas: pip install pandas; records() gives the same as a list of dicts") from None
        return pd.DataFrame(self.records())

    def figure_names(self) -> list[str]:
        """The figures of `figure`; the same name may be in several tables."""
        return list(dict.fromkeys(figure.name for figure in self._figures()))

    def figure(
        self,
        name: str = "accuracy",
        axes: Axes | None = None,
        style: Literal["paper", "screen"] | None = None,
        table: str | None = None,
    ) -> Figure:
        """Draws all configurations in one figure: the mean over seeds with its 95% interval.

        Args:
            name: one of `figure_names`.
            axes: where to draw; None: a new figure.
            style: "paper" (a column of 3.25 inches, no title) or "screen". None: "paper", or in `axes` the rcParams in effect.
            table: title of a table, as in `records`; None: the first one that has this figure.

        Raises:
            UserError: there is no such figure, table or style.
        """
        from metacl_run.layout.drawable import draw_figure

        figures = [figure for figure in self._figures() if table in (None, figure.scores.section.title)]
        if not figures:
            titles = [scores.section.title for scores in self._comparison.sections]
            hint = nearest(str(table), titles)
            raise UserError(f"table={shown(table)}: there is no such table.{hint} Tables: {'; '.join(titles)}")
        names = list(dict.fromkeys(figure.name for figure in figures))
        chosen = next((figure for figure in figures if figure.name == name), None)
        if chosen is None:
            hint = nearest(name, names)
            raise UserError(f"figure {shown(name)}: there is no such figure.{hint} There are: {', '.join(names)}")
        return draw_figure(chosen, None if axes is None else lambda: [axes], style)

    def _figures(self) -> list[SectionFigure]:
        from metacl_run.comparison.drawn_rows import algorithm_colours
        from metacl_run.comparison.section_figures import section_figures

        colours = algorithm_colours(self._comparison.sections)
        return [figure for scores in self._comparison.sections for figure in section_figures(scores, colours)[0]]

    def write(self, folder: str | Path, formats: Sequence[str] = ("md", "tex", "csv", "html")) -> list[Path]:
        """Writes the comparison as `metacl-report` does, and returns the files. Raises UserError where it cannot write."""
        files, _ = write(self._comparison, Path(folder), formats)
        return list(files)

    def __repr__(self) -> str:
        tables = "; ".join(f"{scores.section.title} ({len(scores.labels)})" for scores in self._comparison.sections)
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"ComparedRuns(configurations by table: {tables}{left_out})"

    def _repr_html_(self) -> str:
        """The tables, for notebooks."""
        return "".join(
            f"<h4>{escape(scores.section.title)}</h4>{to_html(metrics_grid(scores))}" for scores in self._comparison.sections
        )
