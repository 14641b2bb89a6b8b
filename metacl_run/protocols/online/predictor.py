"""A learner of a stream outside a run: predicts with the parameters that it has at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metacl_run.algorithms.online.stream_learner import StreamLearner, StreamState
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.models.network import Network
from metacl_run.protocols.predictor import Predictor, Task


@dataclass(frozen=True, kw_only=True)
class StreamPredictor(Predictor):
    """A network, without masks, and the state of the learner that predicts with it.

    Attributes:
        algo: the learner.
        learned: the state of one replicate.
        num_tasks: T; it may read the data.
        masks: reads the data and returns the outputs of each task, [T, outputs] bool; None where tasks share all outputs.
        input_scale: how inputs are scaled; None: they are not. It may read the data.
    """

    algo: StreamLearner[Any]
    learned: StreamState
    num_tasks: Callable[[], int]
    masks: Callable[[], Tensor | None]
    input_scale: Callable[[], InputScale | None]

    learns_in_sequence = True

    @property
    def params(self) -> Params:
        return self.learned["params"]

    def learn(self, x: Tensor, y: Tensor, rate: float | None = None) -> StreamPredictor:
        raise ConfigError(
            "a learner under protocol online has learned its stream and does not adapt: its replay buffer is not kept after "
            "the run. Train module() further, or take a run under continual_meta or meta_continual"
        )

    def inputs(self, x: Tensor) -> Tensor:
        scale = self.input_scale()
        return x if scale is None else scale.to(x.device).apply(x)

    def outputs(self, x: Tensor, *, together: bool = False, task: Task | None = None) -> Tensor:
        network, tasks = self.network, None
        if task is None and self.algo.needs_task:
            raise ConfigError(
                f"task=None: {type(self.algo).__name__} has weights of its own for every task; say which one the inputs belong "
                "to, as in task=0"
            )
        if task is not None:
            masks = self.masks()
            if masks is None and not self.algo.needs_task:
                raise ConfigError(f"task={task}: the tasks of this run share all outputs, so that the learner is told none")
            masks = None if masks is None else masks.to(x.device)
            network = Network(network.module, network.ways, network.compute_dtype, masks, network.objective)
            tasks = self._tasks(task, len(x)).to(x.device)
        with torch.no_grad():
            return self.algo.predict(network, self.learned, self.inputs(x), tasks)

    def _tasks(self, task: Task, examples: int) -> Tensor:
        """Returns the task of every example, [N] int64. Raises ConfigError."""
        tasks, count = torch.as_tensor(task), self.num_tasks()
        if tasks.is_floating_point() or tasks.shape not in ((), (examples,)):
            raise ConfigError(f"task: must be a number, or one for each of the {examples} examples, not {list(tasks.shape)}")
        if outside := [number for number in tasks.reshape(-1).tolist() if not 0 <= number < count]:
            raise ConfigError(f"task={outside[0]}: must be from 0 to {count - 1}; the run has {count} tasks")
        return tasks.long().expand(examples)
