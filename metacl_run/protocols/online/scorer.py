"""Accuracy on the held-out samples of a stream's tasks."""

from __future__ import annotations

import torch

from metacl_run.algorithms.online.stream_learner import State
from metacl_run.protocols.online.held_out import HeldOut
from metacl_run.protocols.online.setup import StreamSetup, params_of
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.scores import Score


class StreamScorer(Scorer):
    """The share of held-out samples that are predicted rightly; a probe may use only the first few of each task."""

    def __init__(self, setup: StreamSetup, probe_samples: int | None) -> None:
        self._setup, self._probe_samples = setup, probe_samples
        limits = {None, probe_samples}
        self._held_out = {limit: HeldOut(setup.stream, setup.num_tasks, limit, setup.dtype) for limit in limits}

    @property
    def score(self) -> Score:
        return self._setup.network.objective

    @property
    def probes_are_partial(self) -> bool:
        return self._probe_samples is not None

    def scores(self, learner: State, tasks: range, *, whole: bool) -> Evaluation:
        held_out, network = self._held_out[None if whole else self._probe_samples], self._setup.network
        params = [params_of(learner, replicate) for replicate in range(len(self._setup.seeds))]
        with torch.no_grad():
            right, sizes = held_out.count(tasks, lambda replicate, x, task: network(params[replicate], x, task).argmax(-1))
        accuracy = right / sizes
        return Evaluation(accuracy, 1.96 * (accuracy * (1 - accuracy) / sizes).sqrt())
