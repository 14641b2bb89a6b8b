"""Protocol `online`: learn a stream task by task, in small batches; after each task, measure accuracy on every task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import torch

from metacl_run.algorithms.online.stream_learner import ReplaySpec, StreamLearner
from metacl_run.core.bounds import AT_EVALUATION, Count, CountFromZero, NoEffectWith, NonNegative, Steps, added_setting
from metacl_run.core.errors import ConfigError, prefix_field_errors, require
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Pytree
from metacl_run.data.streams.stream import SamplePool, SampleStream
from metacl_run.data.streams.validation import ValidationSamples
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.models.running_norm import RunningBatchNorm
from metacl_run.protocols.evaluation_rows import EvaluationRows, Future
from metacl_run.protocols.evaluator import MatrixEvaluator
from metacl_run.protocols.final_evaluation import FinalEvaluation
from metacl_run.protocols.insight import InsightRecorder
from metacl_run.protocols.loop import run_phases
from metacl_run.protocols.online import out_of_scope
from metacl_run.protocols.online.acting_scorer import ActingScorer
from metacl_run.protocols.online.insight_subject import StreamSubject
from metacl_run.protocols.online.predictions import PredictionRecorder
from metacl_run.protocols.online.predictor import StreamPredictor
from metacl_run.protocols.online.rollout_recorder import RolloutRecorder
from metacl_run.protocols.online.scorer import StreamScorer
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.online.trainer import StreamTrainer
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_interface import EvalSplit, Protocol
from metacl_run.protocols.protocol_result import ProtocolResult, result_of
from metacl_run.protocols.recorder import EndRecorder
from metacl_run.protocols.refusals import refuse_batch_norm, refuse_beyond_memory
from metacl_run.protocols.resume import first_learner, same_kernels, start_evaluation, start_or_resume
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.scorer import Scorer
from metacl_run.protocols.task_state_recorder import KeepStates, task_state_recorders
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.device import Gpu
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

Context: TypeAlias = RunContext[StreamLearner[Any], SampleStream, SamplePool]


@dataclass(frozen=True, kw_only=True)
class Online(Protocol[StreamLearner[Any], SampleStream, SamplePool]):
    """One pass over a stream of samples, or several passes over each task before the next task.

    Attributes:
        epochs: passes over each task. Samples enter a replay buffer in the first pass.
        eval_split: samples on which accuracy is measured: "test", or "validation", a part of each task's training samples that
            is then not learned (`data/streams/validation.py`).
        eval_every: observations between probes of all tasks within a task; 0: only after each task.
        probe_samples: samples of each task in a probe within a task; null: all.
        rows_every: number of tasks from one evaluation of all tasks learned so far to the next; the last task is always
            followed by one. 0: after 1, 2, 5, 10, 20, 50, 100 ... tasks. The task that has just ended is evaluated every time.
        eval_future: which future tasks are evaluated too: "all", the "next" one, "none".
        keep_states: "last": the run keeps the learner at its end; "tasks": also the learner after every task, as it was when it
            was evaluated. No number depends on it.
        log_every: observations between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "online"
    learner: ClassVar[type] = StreamLearner
    data: ClassVar[type] = SampleStream
    unit_name: ClassVar[str] = "observation"
    memory_remedy: ClassVar[str] = "Fewer seeds, a smaller algo.batch_size or a smaller model needs less"

    epochs: Steps
    eval_split: Annotated[EvalSplit, AT_EVALUATION]
    eval_every: CountFromZero
    probe_samples: Annotated[Count | None, NoEffectWith("eval_every", (0,))]
    rows_every: CountFromZero
    eval_future: Future
    keep_states: KeepStates = field(metadata=added_setting("keeps_task_states", off="last"))
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    @property
    def keeps_task_states(self) -> bool:
        return self.keep_states == "tasks"

    def data_of_run(self, data: SampleStream) -> SampleStream:
        """The data that the run reads: without their test half where it is evaluated on validation."""
        return data if self.eval_split == "test" else ValidationSamples(inner=data)

    def check(self, algo: StreamLearner[Any], model: Model, data: SampleStream) -> None:
        with prefix_field_errors("data"):
            data.check()
            tasks, whole, samples = data.count_tasks(), data.count_samples(), self.data_of_run(data).count_samples()
        if samples < 1:
            raise ConfigError(
                "protocol.eval_split=validation: holds out at least one training sample of every task, but a task has "
                f"{whole}. Take more training samples of a task, or protocol.eval_split=test."
            )
        if self.eval_split == "validation" and data.has_blurred_borders:
            raise ConfigError(
                "protocol.eval_split=validation: holds out training samples of every task, which with data.blur are not "
                "all its own. Choose settings with data.blur=0, or use protocol.eval_split=test."
            )
        if algo.needs_task and not data.task_is_known:
            raise ConfigError(
                f"algo: {type(algo).__name__} predicts every task with weights of its own, so that it must know the task. Use "
                "data.scenario=task, or data with that setting, such as data=planar_skills."
            )
        others = f", {whole - samples} others being held out for validation" if samples < whole else ""
        with prefix_field_errors("algo"):
            most = f"must be at most the {samples} training samples of a task{others}"
            require(algo.batch_size <= samples, "batch_size", algo.batch_size, most)
            spec = algo.replay_spec(tasks)
        self._check_replay(algo, data, spec, samples, tasks)
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.input_shape, data.count_outputs(), 0, torch.float32)
        options = "model.norm=running where the model has it, model=mlp_small, model=conv_plain"
        refuse_batch_norm(module, model, options, in_own_module=f"{RunningBatchNorm.__module__}.{RunningBatchNorm.__name__}")
        algo.init(Network(module, data.count_outputs(), objective=data.objective), params, tasks)

    def _check_replay(self, algo: StreamLearner[Any], data: SampleStream, spec: ReplaySpec, samples: int, tasks: int) -> None:
        """Refuses a replay buffer and a consolidation that the `samples` of a task cannot fill."""
        replayed, name = spec.draws * spec.size, type(algo).__name__
        numbers = replayed * math.prod(data.input_shape)
        refuse_beyond_memory(numbers, f"algo: {name} replays {replayed} samples at once", "their inputs")
        usable = samples // algo.batch_size * algo.batch_size
        if spec.by_class:
            _check_classes(data, spec, tasks)
        if spec.keep == "last" and spec.capacity // tasks > usable:
            raise ConfigError(
                f"algo: {name} keeps {spec.capacity // tasks} samples of each task, but a task has {usable} "
                "to keep. Keep fewer (algo.memories_per_task), or take more training samples."
            )
        if algo.num_consolidation_samples > usable:
            setting = algo.consolidation_setting
            key = "algo" if setting is None else f"algo.{setting}={algo.num_consolidation_samples}"
            raise ConfigError(
                f"{key}: {name} reads {algo.num_consolidation_samples} samples of a task again when it ends; data gives "
                f"{usable} to learn from. Ask for fewer, or for more training samples of a task."
            )

    def count_units(self, algo: StreamLearner[Any], data: SampleStream) -> int:
        return self.epochs * sum(length // algo.batch_size for length in self.data_of_run(data).sample_lengths().lengths)

    def load(self, data: SampleStream, seeds: Sequence[int]) -> SamplePool:
        return self.data_of_run(data).load(seeds)

    def check_ranks(self, algo: StreamLearner[Any], ranks: int) -> None:
        if ranks > 1:
            raise ConfigError(
                f"protocol=online: learns one observation after another, which {ranks} processes cannot share. Start one; it "
                "computes several seeds side by side (seeds=[0,1,2]). A sweep's jobs can be started as commands of their own."
            )

    def scorer(self, setup: StreamSetup, probe_samples: int | None) -> Scorer:
        """Lets the learner act where the data say so, else compares its outputs with targets.

        Args:
            setup: of the run.
            probe_samples: most test samples of a task within a task; None: all.
        """
        acting = setup.pool.acting
        return StreamScorer(setup, probe_samples) if acting is None else ActingScorer(setup, acting, probe_samples)

    def run(self, context: Context) -> ProtocolResult:
        pool, setup = context.pool, StreamSetup.of(context, self.epochs)
        task_names = [list(names) for names in pool.task_names]
        notes = [
            *pool.notes,
            *_incomplete_batch(pool.lengths, setup.algo.batch_size),
            *_probes_that_never_come(self.eval_every, setup.units_per_task),
            *out_of_scope.notes(pool),
        ]
        state = start_or_resume(context, setup.initial_learners, setup.num_tasks, notes)
        progress = Progress(
            context=context,
            state=state,
            num_tasks=setup.num_tasks,
            units_per_task=setup.units_per_task,
            task_units=setup.units,
        )
        at_end: list[EndRecorder] = [*_prediction_recorders(setup, progress), *_rollout_recorders(setup, progress)]
        evaluator = MatrixEvaluator(
            progress=progress,
            scorer=self.scorer(setup, self.probe_samples),
            rows=EvaluationRows(every=self.rows_every, future=self.eval_future),
            eval_every=self.eval_every,
            recorders=[
                InsightRecorder(StreamSubject(setup, self.eval_split), progress),
                *at_end,
                *task_state_recorders(self.keep_states, progress),
            ],
        )
        chance = _chance(pool, context.data.count_outputs(), context.data.objective)
        with same_kernels(state, setup.device):
            training = TrainingPhase(
                trainer=StreamTrainer(setup),
                evaluator=evaluator,
                progress=progress,
                unit_name=self.unit_name,
                log_every=self.log_every,
                first=partial(first_learner, context, setup.initial_learners),
            )
            context.started(task_names, state.unit, setup.units_per_task, chance, progress.task_units, warnings=state.warnings)
            status = run_phases(progress, [training], checkpoint_every=self.checkpoint_every)
            for recorder in at_end if status == "completed" else ():
                recorder.write()
            metrics = out_of_scope.metrics(setup, state.learner) if status == "completed" else {}
            cost = training.cost(status)
        result = result_of(progress, status, task_names=task_names, chance=chance)
        result = replace(result, test_samples=_test_samples(context), extra_metrics=metrics)
        return replace(result, forward_transfer=not context.data.new_outputs, cost=cost)

    def check_evaluation(self, trained: Online) -> None:
        learned = "the run has learned from all training samples, with protocol.eval_split=test: none are left for validation"
        require(self.eval_split == "test" or trained.eval_split == "validation", "eval_split", self.eval_split, learned)

    def evaluate(self, context: Context, learner: Pytree) -> ProtocolResult:
        pool, setup = context.pool, StreamSetup.of(context, self.epochs)
        task_names = [list(names) for names in pool.task_names]
        notes = [*pool.notes, *out_of_scope.notes(pool)]
        state = start_evaluation(context, learner, setup.initial_learners(), setup.num_tasks, notes)
        progress = Progress(context=context, state=state, num_tasks=setup.num_tasks, units_per_task=1)
        chance = _chance(pool, context.data.count_outputs(), context.data.objective)
        with same_kernels(state, setup.device):
            context.started(task_names, state.unit, 1, chance, warnings=state.warnings)
            phase = FinalEvaluation(scorer=self.scorer(setup, None), progress=progress)
            status = run_phases(progress, [phase], checkpoint_every=self.checkpoint_every)
            metrics = out_of_scope.metrics(setup, state.learner) if status == "completed" else {}
        result = result_of(progress, status, task_names=task_names, chance=chance)
        return replace(result, test_samples=_test_samples(context), extra_metrics=metrics)

    def predictor(
        self,
        algo: StreamLearner[Any],
        model: Model,
        data: SampleStream,
        gpu: Gpu,
        learner: Pytree,
        run_outputs: int | None = None,
    ) -> StreamPredictor:
        outputs = data.count_outputs()
        module, _ = initial_params(model, data.input_shape, outputs, 0, gpu.dtype)
        network = Network(module.to(gpu.torch_device), outputs, gpu.compute_dtype, objective=data.objective)
        network = network.in_mode("evaluation")
        return StreamPredictor(
            network=network,
            algo=algo,
            learned=learner,
            num_tasks=data.count_tasks,
            masks=lambda: data.load([0]).masks,
            input_scale=data.input_scale,
        )


def _check_classes(data: SampleStream, spec: ReplaySpec, tasks: int) -> None:
    """Refuses a replay buffer by class where there are no classes, or a ring with fewer places than classes."""
    with prefix_field_errors("algo"):
        others = "must be another one for real targets, which belong to no class"
        require(data.objective is CLASSIFICATION, "buffer", spec.keep, others)
    outputs, text = data.count_outputs(), f"{data.count_outputs()} classes"
    apart = data.labels_recur or (spec.past and data.has_blurred_borders)
    most, text = (outputs * tasks, f"{text} of each of {tasks} tasks") if apart else (outputs, text)
    if spec.keep == "ring" and spec.capacity < most:
        raise ConfigError(
            f"algo.buffer=ring: keeps one sample or more of each of the {text}, {most} in all, but the replay buffer has "
            f"{spec.capacity} places. Give it more, or another algo.buffer."
        )


def _prediction_recorders(setup: StreamSetup, progress: Progress) -> list[PredictionRecorder]:
    """The recorder of predictions, where outputs are classes that have names."""
    classes = setup.pool.classes
    if classes is None or setup.network.objective is not CLASSIFICATION:
        return []
    return [PredictionRecorder(setup, progress, classes)]


def _rollout_recorders(setup: StreamSetup, progress: Progress) -> list[RolloutRecorder]:
    """The recorder of paths, where a learner acts."""
    acting = setup.pool.acting
    return [] if acting is None else [RolloutRecorder(setup, progress, acting)]


def _test_samples(context: Context) -> np.ndarray | None:
    """[R, T] how many test samples each task has, where every task brings classes of its own."""
    return context.pool.count_test() if context.data.new_outputs else None


def _chance(pool: SamplePool, outputs: int, objective: Objective) -> float | None:
    """The accuracy of a guess among the outputs of a task, mean over tasks; None for another score."""
    if objective is not CLASSIFICATION:
        return None
    counts = torch.tensor([outputs]) if pool.masks is None else pool.masks.sum(1)
    return float((1 / counts.double()).mean())


def _incomplete_batch(samples: TaskLengths, batch: int) -> list[str]:
    """A note on the samples of a task that fill no batch."""
    left = [length % batch for length in samples.lengths]
    if not any(left):
        return []
    if samples.are_equal:
        numbers = f"{left[0]} of the {samples.longest} training samples of each task"
    else:
        numbers = f"{sum(left)} of the {samples.total} training samples of all tasks"
    return [f"{numbers} are left out: observations are of {batch}"]


def _probes_that_never_come(eval_every: int, units: int) -> list[str]:
    """A note on probes that are set further apart than a task is long."""
    if eval_every < units or not eval_every:
        return []
    return [
        f"protocol.eval_every={eval_every}: has no effect, since a task has {units} observations. Give less to probe within "
        "tasks"
    ]
