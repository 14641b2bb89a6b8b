"""The scores of a run so far: the accuracy matrix, and the probes between its rows.

Shapes: R replicates, T tasks, K evaluated tasks, P evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Evaluations(NamedTuple):
    """The scores of a run as arrays."""

    matrix: np.ndarray
    """[R, T + 1, T], NaN where not reached; row 0 is before any learning."""
    probes: np.ndarray
    """[P, R, T] of every evaluation in order, for the metrics that need scores between the rows."""
    half_width: np.ndarray
    """[R, T] 95% half-widths of the last evaluation, over what it was evaluated on."""


@dataclass(kw_only=True)
class ScoreHistory:
    """The scores of a run so far, float64 on the CPU, NaN where a task was not evaluated.

    Attributes:
        matrix: [R, T + 1, T]; row 0 is before any learning.
        probes: [P, R, T] of every evaluation; empty where there are none within tasks, since `matrix` has the others.
        half_width: [R, T] 95% half-widths of the last evaluation; None where it was over a single thing.
    """

    matrix: Tensor
    probes: Tensor
    half_width: Tensor | None = None

    @classmethod
    def empty(cls, replicates: int, num_tasks: int) -> ScoreHistory:
        """The history before the first evaluation."""
        matrix = torch.full((replicates, num_tasks + 1, num_tasks), torch.nan, dtype=torch.float64)
        return cls(matrix=matrix, probes=torch.empty(0, dtype=torch.float64))

    def set_row(self, row: int, tasks: range, scores: Tensor) -> None:
        """Fills a row of the matrix with the scores [R, K] of these tasks."""
        self.matrix[:, row] = self._of_all_tasks(tasks, scores)

    def set_final(self, task: int, scores: Tensor, half_width: Tensor | None) -> None:
        """Fills the last row of the matrix for one task with its scores [R], and takes their half-widths [R]."""
        self.matrix[:, -1, task] = scores.cpu()
        if half_width is not None:
            if self.half_width is None:
                self.half_width = torch.full_like(self.matrix[:, -1], torch.nan)
            self.half_width[:, task] = half_width.cpu()

    def add_probe(self, tasks: range, scores: Tensor) -> None:
        """Appends an evaluation [R, K] of these tasks to the probes."""
        probe = self._of_all_tasks(tasks, scores)[None]
        self.probes = torch.cat([self.probes, probe]) if len(self.probes) else probe

    def set_half_width(self, tasks: range, half_width: Tensor | None) -> None:
        """Takes the half-widths [R, K] of the last evaluation."""
        self.half_width = None if half_width is None else self._of_all_tasks(tasks, half_width)

    def arrays(self) -> Evaluations:
        half_width = np.array([]) if self.half_width is None else self.half_width.numpy()
        return Evaluations(self.matrix.numpy(), self.probes.numpy(), half_width)

    def _of_all_tasks(self, tasks: range, values: Tensor) -> Tensor:
        """[R, K] values of these tasks as [R, T]."""
        padded = torch.full((len(values), self.matrix.shape[2]), torch.nan, dtype=torch.float64)
        padded[:, tasks.start : tasks.stop] = values.cpu()
        return padded
