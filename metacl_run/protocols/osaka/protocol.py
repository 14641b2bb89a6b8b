"""Protocol `osaka`: predict each batch, then learn from it, in a stream of recurring tasks without known boundaries.

The score is that of the predictions made before learning, from the first step on (Caccia et al. 2020, OSAKA, arXiv 2003.05856).
A learner may be pre-trained on the first domain. The accuracy matrix has a column for each domain; only its last row is filled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar, TypeAlias

import torch

from metacl_run.algorithms.osaka.task_free_learner import Observed, TaskFreeLearner
from metacl_run.core.bounds import AT_EVALUATION, Count, NonNegative, Steps
from metacl_run.core.errors import ConfigError, prefix_field_errors
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Pytree
from metacl_run.data.streams.recurring_stream import RecurringPool, RecurringStream
from metacl_run.models.layers import has_batch_norm
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.protocols.evaluator import Evaluator
from metacl_run.protocols.loop import run_phases
from metacl_run.protocols.osaka.predictor import RecurringPredictor
from metacl_run.protocols.osaka.setup import RecurringSetup, RecurringState
from metacl_run.protocols.osaka.stream_record import SCORE, StreamRecord
from metacl_run.protocols.osaka.trainer import RecurringTrainer
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_interface import EvalSplit, Protocol
from metacl_run.protocols.protocol_result import ProtocolResult, result_of
from metacl_run.protocols.refusals import refuse_beyond_memory, refuse_running_averages
from metacl_run.protocols.resume import first_learner, same_kernels, start_evaluation, start_or_resume
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.train_state import TrainState
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.device import Gpu
from metacl_run.scoring.objectives import CLASSIFICATION

Context: TypeAlias = RunContext[TaskFreeLearner, RecurringStream, RecurringPool]


@dataclass(frozen=True, kw_only=True)
class Osaka(Protocol[TaskFreeLearner, RecurringStream, RecurringPool]):
    """One stream.

    Attributes:
        steps: steps of the stream.
        eval_split: the examples that the stream shows: "test", or "validation", which are kept for choosing settings.
        log_every: units between two records of the loss and of the scores so far.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "osaka"
    learner: ClassVar[type] = TaskFreeLearner
    data: ClassVar[type] = RecurringStream
    unit_name: ClassVar[str] = "step"
    memory_remedy: ClassVar[str] = "Fewer seeds, a smaller data.shots, algo.meta_batch_size or model needs less"
    looks_inside: ClassVar[bool] = False

    steps: Annotated[Steps, AT_EVALUATION]
    eval_split: Annotated[EvalSplit, AT_EVALUATION]
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def check(self, algo: TaskFreeLearner, model: Model, data: RecurringStream) -> None:
        with prefix_field_errors("data"):
            data.check(pretrains=algo.count_pretraining() > 0, part=self.eval_split)
        numbers = math.prod(data.input_shape)
        refuse_beyond_memory(data.batch_size * numbers, f"data: a batch has {data.batch_size} examples", "their inputs")
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.input_shape, data.outputs, 0, torch.float32)
        refuse_running_averages(module, model, self.kind, "model.norm=batch or model.norm=image")
        count = algo.count_noise(params)
        refuse_beyond_memory(count, f"algo: {type(algo).__name__} draws {count} random numbers at every step", "they")
        rates = torch.zeros(sum(value.numel() for value in params.values()))
        y = torch.zeros(1, dtype=torch.int64) if data.objective is CLASSIFICATION else torch.zeros(1, data.outputs)
        algo.init(
            Network(module, data.outputs, objective=data.objective), params, rates, Observed(torch.zeros(1), y, rates[:0])
        )

    def count_units(self, algo: TaskFreeLearner, data: RecurringStream) -> int:
        return algo.count_pretraining() + self.steps

    def load(self, data: RecurringStream, seeds: Sequence[int]) -> RecurringPool:
        return data.load(seeds, steps=self.steps, part=self.eval_split)

    def check_ranks(self, algo: TaskFreeLearner, ranks: int) -> None:
        if ranks > 1:
            raise ConfigError(
                f"protocol=osaka: takes one step after another, which {ranks} processes cannot share. Start one; it computes "
                "several seeds side by side (seeds=[0,1,2]). A sweep's jobs can be started as commands of their own."
            )

    def run(self, context: Context) -> ProtocolResult:
        setup = RecurringSetup.of(context)
        domains = len(context.pool.domain_names)
        state = start_or_resume(context, setup.initial_learners, domains, self._notes(context, setup))
        return self._run(context, setup, state, context.algo.count_pretraining())

    @property
    def division(self) -> None:
        """None: a run learns from its whole stream, after every prediction."""
        return None

    def learned(self, learner: Pytree) -> Pytree:
        """The state after the stream, not the one before it."""
        return learner["now"]

    def check_evaluation(self, trained: Osaka) -> None:
        """Another stream is another draw of the same examples, and predictions come before learning in any."""

    def evaluate(self, context: Context, learner: Pytree) -> ProtocolResult:
        """Puts a learner on a stream as it was before its own: with what it was pre-trained to, if it was."""
        learner = RecurringState(now=learner["at_start"], at_start=learner["at_start"])
        setup = RecurringSetup.of(context)
        notes, domains = self._notes(context, setup), len(context.pool.domain_names)
        state = start_evaluation(context, learner, setup.initial_learners(), domains, notes)
        return self._run(context, setup, state, pretraining=0)

    def predictor(
        self,
        algo: TaskFreeLearner,
        model: Model,
        data: RecurringStream,
        gpu: Gpu,
        learner: Pytree,
        run_outputs: int | None = None,
    ) -> RecurringPredictor:
        module, _ = initial_params(model, data.input_shape, data.outputs, 0, gpu.dtype)
        network = Network(module.to(gpu.torch_device), data.outputs, gpu.compute_dtype, objective=data.objective)
        return RecurringPredictor(algo=algo, network=network, state=learner["now"], batch_size=data.batch_size)

    def _notes(self, context: Context, setup: RecurringSetup) -> list[str]:
        notes = list(context.pool.notes)
        if has_batch_norm(setup.network.module):
            notes.append(
                "the network has batch norm, so that the examples of a batch are predicted together and help to normalise each "
                "other, as in the paper's code; one without it (model=conv4_image_small) predicts every example alone"
            )
        return notes

    def _run(self, context: Context, setup: RecurringSetup, state: TrainState, pretraining: int) -> ProtocolResult:
        pool, units = context.pool, pretraining + self.steps
        names = pool.domain_names
        progress = Progress(context=context, state=state, num_tasks=1, units_per_task=units)
        record = StreamRecord(state, pool.visits, len(names), setup.device)
        task_names = [names for _ in context.seeds]
        chance = 1 / context.data.outputs if context.data.objective is CLASSIFICATION else None
        with same_kernels(state, setup.device):
            training = TrainingPhase(
                trainer=RecurringTrainer(setup, record, pretraining),
                evaluator=ScoreSoFar(progress, record, pretraining, self.log_every, context.data.score.score_name),
                progress=progress,
                unit_name=self.unit_name,
                log_every=self.log_every,
                first=partial(first_learner, context, setup.initial_learners),
            )
            context.started(task_names, state.unit, units, chance, TaskLengths.equal(1, units), warnings=state.warnings)
            status = run_phases(progress, [training], checkpoint_every=self.checkpoint_every)
        metrics = {}
        if status == "completed":
            scores = torch.from_numpy(record.by_domain(SCORE))
            state.scores.set_row(len(names), range(len(names)), scores)
            context.store.write_matrix_row(len(names), scores.numpy())
            context.store.write_stream(record.content())
            metrics = {context.data.score.score_name: record.overall(SCORE)}
            metrics |= record.detection() if context.algo.detects_switches else {}
        return replace(
            result_of(progress, status, task_names=task_names, chance=chance),
            forward_transfer=False,
            extra_metrics=metrics,
            cost=training.cost(status),
            details={"pretraining": pretraining},
        )


class ScoreSoFar(Evaluator):
    """Records the score of the predictions so far in every domain, every so many steps of the stream and at its end.

    Args:
        progress, record: of the run.
        pretraining: meta-updates before the stream.
        every: steps between two records.
        score_name: of the score.
    """

    def __init__(self, progress: Progress, record: StreamRecord, pretraining: int, every: int, score_name: str) -> None:
        self._progress, self._record, self._pretraining = progress, record, pretraining
        self._every, self._score_name = every, score_name

    def begin(self) -> None:
        pass

    def is_due(self, units_done: int) -> bool:
        steps = units_done - self._pretraining
        return steps > 0 and (steps % self._every == 0 or units_done == self._progress.training_units)

    def evaluate(self) -> None:
        scores = self._record.by_domain(SCORE)
        content = {self._score_name: scores.tolist(), "ci95": None, "so_far": self._record.overall(SCORE).tolist()}
        self._progress.record("eval", row=None, **{**content, "task": scores.shape[1] - 1})
        self._progress.state.evaluations += 1
