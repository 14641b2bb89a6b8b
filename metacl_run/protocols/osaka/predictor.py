"""A learner of a stream outside a run: predicts a batch, then learns from it, as it did in the stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Params, Pytree
from metacl_run.inner.engine import Engine
from metacl_run.protocols.predictor import Predictor, Task


@dataclass(frozen=True, kw_only=True)
class RecurringPredictor(Predictor):
    """A learner and its state, which goes on from the end of its stream.

    Attributes:
        algo: of the run.
        state: of one replicate.
        batch_size: examples of a batch of its stream.
        steps: batches learned since, which have random numbers of their own.
    """

    algo: TaskFreeLearner
    state: Pytree
    batch_size: int
    steps: int = 0

    learns_in_sequence = True

    @property
    def params(self) -> Params:
        return self.algo.weights(self.network, self.state)

    def learn(self, x: Tensor, y: Tensor, rate: float | None = None) -> RecurringPredictor:
        if rate is not None:
            raise ConfigError(f"rate={rate}: {type(self.algo).__name__} has its rates among its settings")
        if len(x) != self.batch_size:
            raise ConfigError(f"{len(x)} examples: the learner learns from {self.batch_size} at a time, as in its stream")
        count = self.algo.count_noise(self.params)
        noise = generator(Purpose.PREDICT, self.steps).standard_normal(count, np.float32)
        batch = Observed(x, y, torch.from_numpy(noise).to(x.device, x.dtype))
        with torch.no_grad():
            state, _ = self.algo.observe(self.network, self.state, batch)
            if self.algo.waits and bool(self.algo.is_due(state)):
                state = self.algo.late_update(self.network, Engine(kind="loop"), state)
        return replace(self, state=state, steps=self.steps + 1)

    def outputs(self, x: Tensor, *, together: bool = False, task: Task | None = None) -> Tensor:
        if task is not None:
            raise ConfigError(f"task={task}: a learner under protocol osaka is told of no task")
        with torch.no_grad():
            return self.algo.predict(self.network, self.state, x)
