"""A learner of sequences outside a run: learns examples in the order in which they come, never going back.

Shapes: S examples to learn, N inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Params, Pytree
from metacl_run.protocols.predictor import Predictor, Task


@dataclass(frozen=True, kw_only=True)
class SequencePredictor(Predictor):
    """A learner and the state of its sequence.

    Attributes:
        algo: of the run.
        state: of one replicate, at the end of meta-training.
        rate: of SGD; None: the learner's own, or it takes none.
        fast: the state of the sequence; None before the first example.
    """

    algo: TrajectoryLearner
    state: MetaState
    rate: float | None = None
    fast: Pytree = None

    learns_in_sequence = True

    @property
    def params(self) -> Params:
        own: Params = self.state["meta"]["params"]
        return own if self.fast is None else {**own, **self.algo.sequence_learner.adapted(self.fast)}

    def learn(self, x: Tensor, y: Tensor, rate: float | None = None) -> SequencePredictor:
        learner, network, meta = self.algo.sequence_learner, self.network, self.state["meta"]
        if rate is not None and learner.own_rate is None:
            raise ConfigError(f"rate={rate}: {type(self.algo).__name__} learns a sequence without a rate")
        step = 1 if learner.own_rate is None else self.algo.step_examples
        if len(x) % step:
            raise ConfigError(f"{len(x)} examples: algo.step_examples={step} are learned together; give a multiple of it")
        rate = next((value for value in (rate, self.rate, learner.own_rate) if value is not None), 0.0)
        with torch.no_grad():
            prepared = learner.prepare(network, meta, x)
            fast = self.fast
            if fast is None:
                fast = learner.begin(network, meta, self._fresh(x), prepared)
            fast = learner.learn(network, meta, fast, prepared, y, torch.tensor(rate, dtype=x.dtype, device=x.device))
        return replace(self, fast=fast)

    def outputs(self, x: Tensor, *, together: bool = False, task: Task | None = None) -> Tensor:
        if self.fast is None:
            raise ConfigError(f"{type(self.algo).__name__} predicts after it has learned a sequence: adapt(x, y) first")
        if task is not None:
            raise ConfigError(f"task={task}: a learner of sequences is not told a task")
        learner, meta = self.algo.sequence_learner, self.state["meta"]
        with torch.no_grad():
            return learner.predict(self.network, meta, self.fast, learner.prepare(self.network, meta, x))

    def _fresh(self, x: Tensor) -> Tensor:
        """[outputs, width] random numbers for new weights, the same every time."""
        width = self.algo.fresh_width(self.network, self.state["meta"]["params"])
        numbers = generator(Purpose.PREDICT, 0).standard_normal((self.network.ways, width))
        return torch.from_numpy(numbers).to(x.device, x.dtype)
