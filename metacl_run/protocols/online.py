"""Protocol `online`: learn a stream once through, in small batches; accuracy on every task after each task.

Shapes: R replicates, T tasks, U observations in a block, B samples of an observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.stream_learner import State, StreamLearner, loss_on
from metacl_run.core.bounds import Count, CountFromZero, NonNegative
from metacl_run.core.errors import ConfigError, prefix_field_errors, require
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Observation, Params, Samples
from metacl_run.data.streams.base import SampleData, SampleStream
from metacl_run.data.streams.validation import ValidationSamples
from metacl_run.inner.engine import Engine
from metacl_run.models.base import Model, Network, initial_params
from metacl_run.protocols.base import EvalSplit, Outcome, Protocol, Run, refuse_batch_norm, refuse_beyond_memory
from metacl_run.protocols.evaluation_rows import Future, Rows
from metacl_run.protocols.held_out import HeldOut
from metacl_run.protocols.insight import FEATURE_COLUMNS, FEATURE_SAMPLES, GRADIENT_SAMPLES, look
from metacl_run.protocols.loop import Evaluation, Loop
from metacl_run.protocols.replay_schedule import Memory
from metacl_run.scoring.diagnostics import features_by_layer

BLOCK_BYTES = 64e6
"""Observations are gathered in blocks of about this size, so that gathering costs next to nothing for each."""
LONGEST_BLOCK = 200


@dataclass(frozen=True, kw_only=True)
class Online(Protocol):
    """The loop over a stream of samples.

    Attributes:
        eval_split: samples that accuracy is measured on: "test", or "validation", a part of each task's training samples that
            is then not learned from (`data/streams/validation.py`).
        eval_every: probe all tasks every so many observations within a task as well; 0: only after each task.
        probe_samples: samples of each task that such a probe looks at; null: all.
        rows_every: evaluate all tasks learned so far after every so many tasks and after the last; 0: after 1, 2, 5, 10, 20,
            50, 100 ... tasks. The task that has just ended is evaluated every time.
        eval_future: which of the tasks to come are evaluated too: "all", the "next" one, "none".
        log_every: observations between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "online"
    learner: ClassVar[type] = StreamLearner
    data: ClassVar[type] = SampleData
    unit_name: ClassVar[str] = "observation"

    eval_split: EvalSplit
    eval_every: CountFromZero
    probe_samples: Count | None
    rows_every: CountFromZero
    eval_future: Future
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def seen(self, data: SampleData) -> SampleData:
        """The data as the run sees them: without their test half where it is judged on validation."""
        return data if self.eval_split == "test" else ValidationSamples(inner=data)

    def check(self, algo: StreamLearner, model: Model, data: SampleData) -> None:
        with prefix_field_errors("data"):
            data.check_samples()
            tasks, whole, samples = data.count_tasks(), data.count_samples(), self.seen(data).count_samples()
        if samples < 1:
            raise ConfigError(
                "protocol.eval_split=validation: holds out at least one training sample of every task, but a task has "
                f"{whole}. Take more training samples of a task, or protocol.eval_split=test."
            )
        others = f", {whole - samples} others being held out for validation" if samples < whole else ""
        with prefix_field_errors("algo"):
            most = f"must be at most the {samples} training samples of a task{others}"
            require(algo.batch_size <= samples, "batch_size", algo.batch_size, most)
            recall = algo.recall(tasks)
        shown, pixels = recall.draws * recall.size, math.prod(data.input_shape)
        refuse_beyond_memory(shown * pixels, f"algo: {type(algo).__name__} replays {shown} samples at once", "their images")
        usable = samples // algo.batch_size * algo.batch_size
        if recall.keep == "ring" and recall.capacity // tasks > usable:
            raise ConfigError(
                f"algo: {type(algo).__name__} keeps {recall.capacity // tasks} samples of each task, but a task has {usable} "
                "to keep. Keep fewer (algo.memories_per_task), or take more training samples."
            )
        if algo.samples_at_end > usable:
            raise ConfigError(
                f"algo: {type(algo).__name__} is shown {algo.samples_at_end} samples of a task again when it ends, but data "
                f"gives {samples} to learn from. Ask for fewer, or for more training samples of a task."
            )
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.input_shape, data.count_outputs(), 0, torch.float32)
        refuse_batch_norm(module, model, "model=mlp_small, model=conv_plain")
        algo.init(Network(module, data.count_outputs()), params, tasks)

    def count_units(self, algo: StreamLearner, data: SampleData) -> int:
        return data.count_tasks() * (self.seen(data).count_samples() // algo.batch_size)

    def load(self, data: SampleData, seeds: Sequence[int]) -> SampleStream:
        return self.seen(data).load_samples(seeds)

    def check_ranks(self, algo: StreamLearner, ranks: int) -> None:
        if ranks > 1:
            raise ConfigError(
                f"protocol=online: learns one observation after another, which {ranks} processes cannot share. Start one; it "
                "computes several seeds side by side (seeds=[0,1,2]). A sweep's jobs can be started as commands of their own."
            )

    def run(self, run: Run) -> Outcome:
        return StreamLoop(self, run).run()


class StreamLoop(Loop):
    """Loaded data, memories and the step."""

    remedy = "A smaller learning rate (algo.lr, algo.inner_lr)"

    def __init__(self, settings: Online, run: Run) -> None:
        self.settings, self.algo = settings, run.algo
        self.stream: SampleStream = run.stream
        self.features_on = f"up to {FEATURE_SAMPLES} {settings.eval_split} samples of each task"
        batch = self.algo.batch_size
        super().__init__(
            run,
            task_names=self.stream.task_names,
            units_per_task=self.stream.samples_per_task // batch,
            unit_name=settings.unit_name,
            log_every=settings.log_every,
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            rows=Rows(every=settings.rows_every, future=settings.eval_future),
            notes=[
                *self.stream.notes,
                *_beyond_batches(self.stream.samples_per_task, batch),
                *_beyond_tasks(settings.eval_every, self.stream.samples_per_task // batch),
            ],
        )
        limits = {None, settings.probe_samples}
        self.held_out = {limit: HeldOut(self.stream, self.num_tasks, limit, self.dtype) for limit in limits}
        outputs = run.data.count_outputs()
        drawn = [initial_params(run.model, run.data.input_shape, outputs, seed, self.dtype) for seed in run.seeds]
        module = drawn[0][0].to(self.device)
        self.network = Network(module, outputs, run.gpu.compute_dtype, self.stream.masks)
        self.initial = [params for _, params in drawn]
        own = torch.tensor([outputs]) if self.stream.masks is None else self.stream.masks.sum(1)
        self.chance = float((1 / own).mean())
        self.forward_transfer = not run.data.new_outputs
        self.engine = Engine(kind=run.gpu.engine_kind)
        recall = self.algo.recall(self.num_tasks)
        sizes: dict[str, Any] = {"samples_per_task": self.units_per_task * batch, "batch_size": batch}
        self.memories = [Memory(recall, seed, num_tasks=self.num_tasks, **sizes) for seed in run.seeds]
        shown = len(run.seeds) * (batch + recall.draws * recall.size) * math.prod(run.data.input_shape)
        self.block_length = max(1, min(LONGEST_BLOCK, int(BLOCK_BYTES / (shown * self.dtype.itemsize))))
        self.block: Observation | None = None
        self.block_start = 0
        # Draws of tasks to come are empty. An engine that is compiled or captured for one shape is handed them all the same.
        self.only_past_draws = recall.by_task and run.gpu.engine_kind in ("loop", "vmap")
        self.probes_look_at_less = settings.probe_samples is not None

    # ----------------------------------------------------------------------------------------------------------- learning

    def fresh_states(self) -> list[State]:
        return [self.algo.init(self.network, params, self.num_tasks) for params in self.initial]

    def prepare(self) -> None:
        one = self.engine.over_replicates(lambda state, observed: self.algo.observe(self.network, state, observed))
        self._observe = self.engine.prepare(one)

    def step(self, unit: int) -> dict[str, Tensor]:
        self.position.state, metrics = self._observe(self.position.state, self._observation(unit))
        return metrics

    def task_ended(self, task: int) -> None:
        learn = self.engine.over_replicates(lambda state, samples: self.algo.end_task(self.network, state, samples))
        self.position.state = learn(self.position.state, self._samples_at_end(task, self.algo.samples_at_end))

    def _samples_at_end(self, task: int, count: int) -> Samples:
        """[R, count] training samples of a task, drawn at random."""
        replicates = range(len(self.run_.seeds))
        return self._stacked([self._samples_for(replicate, task, count, Purpose.END_OF_TASK) for replicate in replicates])

    def _samples_for(self, replicate: int, task: int, count: int, purpose: Purpose) -> Samples:
        """[at most count] training samples of a task, drawn at random for one replicate."""
        first, per_task = task * self.stream.samples_per_task, self.units_per_task * self.algo.batch_size
        drawn = generator(purpose, self.run_.seeds[replicate], task).permutation(per_task)[:count]
        samples = self.stream.gather(replicate, first + drawn)
        return samples._replace(x=samples.x.to(self.dtype))

    def _observation(self, unit: int) -> Observation:
        """[R, ...] what every replicate is shown."""
        if self.block is None or not 0 <= unit - self.block_start < len(self.block.write):
            self.block = None  # makes room for the next
            self.block, self.block_start = self._gather(unit), unit
        return tree_map(lambda leaf: leaf[unit - self.block_start], self.block)

    def _gather(self, first: int) -> Observation:
        """[U, R, ...] the next observations."""
        count, batch = min(self.block_length, self.total - first), self.algo.batch_size
        draws = slice(None)
        if self.only_past_draws:
            task, within = divmod(first, self.units_per_task)
            count, draws = min(count, self.units_per_task - within), slice(max(1, task))
        numbers = first * batch + np.arange(count * batch).reshape(count, batch)
        parts = []
        for replicate, memory in enumerate(self.memories):
            drawn = memory.draw(first, count)
            drawn = drawn._replace(**{name: getattr(drawn, name)[:, draws] for name in ("number", "weight", "slot")})
            parts.append(
                Observation(
                    self.stream.gather(replicate, self._numbers(numbers)),
                    torch.from_numpy(drawn.order).to(self.device),
                    self.stream.gather(replicate, self._numbers(drawn.number)),
                    torch.from_numpy(drawn.weight).to(self.device, self.dtype),
                    torch.from_numpy(drawn.slot).to(self.device),
                    torch.from_numpy(drawn.write).to(self.device),
                )
            )
        stacked = self._stacked(parts, 1)
        batch_, replay = (each._replace(x=each.x.to(self.dtype)) for each in (stacked.batch, stacked.replay))
        return stacked._replace(batch=batch_, replay=replay)

    def _numbers(self, numbers: np.ndarray) -> np.ndarray:
        """The stream's numbers of samples, where the last ones of a task that fill no batch are left out of ours."""
        used = self.units_per_task * self.algo.batch_size
        return numbers // used * self.stream.samples_per_task + numbers % used

    @staticmethod
    def _stacked(parts: list[Any], axis: int = 0) -> Any:
        return tree_map(lambda *leaves: torch.stack(leaves, axis), *parts)

    # --------------------------------------------------------------------------------------------------------- evaluation

    def scores(self, tasks: range, *, whole: bool) -> Evaluation:
        held_out = self.held_out[None if whole else self.settings.probe_samples]
        params = [self._params_of(replicate) for replicate in range(len(self.memories))]
        with torch.no_grad():
            right, sizes = held_out.count(tasks, lambda replicate, x, task: self.network(params[replicate], x, task).argmax(-1))
        accuracy = right / sizes
        return Evaluation(accuracy, 1.96 * (accuracy * (1 - accuracy) / sizes).sqrt())

    def _params_of(self, replicate: int) -> Params:
        return {name: value[replicate] for name, value in self.position.state["params"].items()}

    # ------------------------------------------------------------------------------------------------------- look inside

    gradients_on = f"the loss on up to {GRADIENT_SAMPLES} training samples of each task"

    def look_inside(self, task: int | None) -> dict[str, Any] | None:
        size = {"num_tasks": self.num_tasks, "num_replicates": len(self.memories)}
        return look(self, self.run_.insight, ended=task, before=self.position.features, **size)

    def learned_rates(self) -> Params | None:
        states = [tree_map(lambda leaf: leaf[i], self.position.state) for i in range(len(self.memories))]  # noqa: B023
        rates = [self.algo.rates(state) for state in states]
        return None if rates[0] is None else self._stacked(rates)

    def gradient(self, replicate: int, task: int) -> Tensor:
        samples = self._samples_for(replicate, task, GRADIENT_SAMPLES, Purpose.INSIGHT)
        gradients = grad(lambda params: loss_on(self.network, params, samples))(self._params_of(replicate))
        return torch.cat([gradient.flatten() for gradient in gradients.values()])

    def features(self, replicate: int, task: int) -> dict[str, Tensor]:
        params, x = self._params_of(replicate), self.stream.test(task, FEATURE_SAMPLES)[replicate].x.to(self.dtype)
        return features_by_layer(self.network.module, lambda: self.network(params, x), FEATURE_COLUMNS)


def _beyond_batches(samples: int, batch: int) -> list[str]:
    """What to say of a task's samples that fill no batch."""
    left = samples % batch
    return [f"{left} of the {samples} training samples of each task are left out: observations are of {batch}"] if left else []


def _beyond_tasks(eval_every: int, units: int) -> list[str]:
    """What to say of probes that never come."""
    if eval_every < units or not eval_every:
        return []
    return [
        f"protocol.eval_every={eval_every}: has no effect, since a task has {units} observations. Give less to probe within "
        "tasks"
    ]
