"""The record of a stream: what every step was predicted with, and where switches were detected.

Shapes: R replicates, U steps, D domains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Metrics
from metacl_run.data.streams.recurring_stream import Visits
from metacl_run.protocols.train_state import TrainState
from metacl_run.scoring.metric_table import F1, PRECISION, RECALL

STREAM = "stream"
"""The key, in `TrainState.results`, of {name: [R, U] tensor}."""
SCORE, LOSS, SWITCH = "score", "loss", "detected"


class StreamRecord:
    """The scores of all steps so far. They are in the run's state, so that a checkpoint has them.

    Args:
        state: of the run.
        visits: what the stream visits.
        num_domains: D.
        device: where they are kept.
    """

    def __init__(self, state: TrainState, visits: Visits, num_domains: int, device: torch.device) -> None:
        shape = visits.number.shape
        fresh = {name: torch.full(shape, torch.nan, dtype=torch.float64) for name in (SCORE, LOSS, SWITCH)}
        so_far: dict[str, Tensor] = state.results.get(STREAM) or fresh
        self._values = state.results[STREAM] = {name: value.to(device) for name, value in so_far.items()}
        self._visits, self._num_domains = visits, num_domains

    def write(self, step: int, numbers: Metrics) -> None:
        """Takes the numbers of a step, [R] by name."""
        for name, values in self._values.items():
            values[:, step] = numbers[name]

    def array(self, name: str) -> np.ndarray:
        """[R, U] the values of a name, NaN for steps to come."""
        return np.asarray(self._values[name].cpu().numpy())

    def by_domain(self, name: str) -> np.ndarray:
        """[R, D] the mean over the steps so far in every domain; NaN where there was none."""
        values, sums = self.array(name), np.full((len(self._visits.number), self._num_domains), np.nan)
        for domain in range(self._num_domains):
            there = (self._visits.domain == domain) & np.isfinite(values)
            counts = there.sum(1)
            totals = np.where(there, values, 0).sum(1)
            sums[:, domain] = np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return sums

    def overall(self, name: str) -> np.ndarray:
        """[R] the mean over all steps so far."""
        return np.asarray(np.nanmean(self.array(name), axis=1))

    def detection(self) -> dict[str, np.ndarray]:
        """Precision, recall and F1 of detected switches, [R] each. Precision is NaN where none was detected, all are where
        there is none in the stream."""
        detected, true = self.array(SWITCH) > 0, self._visits.is_switch
        hits, flagged, there = (part.sum(1) for part in (detected & true, detected, true))
        precision, recall = np.where(flagged > 0, hits / np.maximum(flagged, 1), np.nan), hits / np.maximum(there, 1)
        f1 = 2 * hits / np.maximum(flagged + there, 1)
        known = there > 0
        parts = {PRECISION: precision, RECALL: recall, F1: f1}
        return {name: np.where(known, values, np.nan) for name, values in parts.items()}

    def content(self) -> dict[str, Any]:
        """Arrays for the file of the stream."""
        detected = self.array(SWITCH)
        return {
            "score": self.array(SCORE).astype(np.float32),
            "detected": np.where(np.isfinite(detected), detected, 0).astype(bool),
            "is_switch": self._visits.is_switch,
            "domain": self._visits.domain.astype(np.int32),
        }
