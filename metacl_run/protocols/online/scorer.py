"""The score of the outputs on the held-out samples of a stream's tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.types import Samples
from metacl_run.protocols.online.held_out import HeldOut
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.intervals import half_width_within_seed
from metacl_run.scoring.scores import Score


class StreamScorer(Scorer):
    """The mean score of held-out samples; a probe may use only the first few of each task."""

    def __init__(self, setup: StreamSetup, probe_samples: int | None) -> None:
        self._setup, self._probe_samples = setup, probe_samples
        limits = {None, probe_samples}
        self._held_out = {limit: HeldOut(setup.pool, setup.num_tasks, limit, setup.dtype) for limit in limits}
        self._most = 0
        """Samples of a task, of those that were evaluated as a whole."""

    @property
    def score(self) -> Score:
        return self._setup.network.objective

    @property
    def probes_are_partial(self) -> bool:
        return self._probe_samples is not None and self._probe_samples < self._most

    def scores(self, learner: StreamState, tasks: range, *, whole: bool) -> Evaluation:
        held_out, network = self._held_out[None if whole else self._probe_samples], self._setup.network

        def scores_of(replicate: int, samples: Samples) -> Tensor:
            return network.objective.scores(self._setup.outputs(learner, replicate, samples.x, samples.task), samples.y)

        with torch.no_grad():
            sums = held_out.sums(tasks, scores_of)
        if whole:
            self._most = max(self._most, int(sums.samples.max()))
        mean = sums.scores / sums.samples
        variance = (sums.squares / sums.samples - mean.square()).clamp(min=0)
        return Evaluation(mean, half_width_within_seed(variance, sums.samples))
