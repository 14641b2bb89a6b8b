"""Protocol `online` with a score of its own: accuracy on a task after a few steps on a few of its training samples.

A network that has forgotten a task may learn it again at once. The parameters are put back after the measurement.
Shapes: R replicates, K evaluated tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad

from metacl_run.algorithms.online.stream_learner import StreamState
from metacl_run.core.bounds import Examples, Positive, Steps
from metacl_run.inner.optimizers import descend
from metacl_run.protocols.online.protocol import Online
from metacl_run.protocols.online.setup import StreamSetup, params_of
from metacl_run.protocols.scorer import Evaluation, Scorer
from metacl_run.scoring.scores import Score


@dataclass(frozen=True, kw_only=True)
class OnlineRelearning(Online):
    """The settings of `online`, and those of relearning before every evaluation."""

    relearn_samples: Examples
    relearn_steps: Steps
    relearn_lr: Positive

    def scorer(self, setup: StreamSetup, probe_samples: int | None) -> Scorer:
        return RelearningScorer(setup, self)


class RelearningScorer(Scorer):
    """The score on test samples after relearning."""

    def __init__(self, setup: StreamSetup, settings: OnlineRelearning) -> None:
        self._setup, self._settings = setup, settings

    @property
    def score(self) -> Score:
        return self._setup.network.objective

    def scores(self, learner: StreamState, tasks: range, *, whole: bool) -> Evaluation:
        replicates = range(len(self._setup.seeds))
        return Evaluation(torch.stack([torch.stack([self._score(learner, r, task) for task in tasks]) for r in replicates]))

    def _score(self, learner: StreamState, replicate: int, task: int) -> Tensor:
        setup, settings, network = self._setup, self._settings, self._setup.network
        numbers = setup.used.starts[task] + np.arange(min(settings.relearn_samples, setup.used.lengths[task]))
        samples, params = setup.gather(replicate, numbers).cast(setup.dtype), params_of(learner, replicate)
        for _ in range(settings.relearn_steps):
            params = descend(grad(network.loss)(params, *samples), params, settings.relearn_lr)
        test = setup.pool.test(task, None)[replicate].cast(setup.dtype)
        with torch.no_grad():
            return network.objective.scores(network(params, test.x, test.task), test.y).double().mean()
