"""A comparison of runs as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metacl_run.comparison.document import Comparison, write
from metacl_run.comparison.section_grids import metrics_grid
from metacl_run.core.errors import UserError
from metacl_run.layout.grid import to_html

if TYPE_CHECKING:
    import pandas as pd


class ComparedRuns:
    """Configurations side by side, every one over its seeds.

    Attributes:
        left_out: a message for each run that could not be compared.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self.left_out: list[str] = list(comparison.left_out)

    def records(self) -> list[dict[str, Any]]:
        """One record for each table, configuration and metric: means over seeds with the 95% interval (Student t).

        Keys: "table", "configuration", "metric", "seeds", "mean", "low", "high"; NaN where there are too few seeds.
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

    def write(self, folder: str | Path, formats: Sequence[str] = ("md", "tex", "csv", "html")) -> list[Path]:
        """Writes the comparison as `metacl-report` does, and returns the files. Raises UserError where it cannot write."""
        files, _ = write(self._comparison, Path(folder), formats)
        return list(files)

    def _repr_html_(self) -> str:
        """The tables, for notebooks."""
        return "".join(
            f"<h4>{scores.section.title}</h4>{to_html(metrics_grid(scores))}" for scores in self._comparison.sections
        )
