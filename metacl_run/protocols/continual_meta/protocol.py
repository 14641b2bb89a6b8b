"""Protocol `continual_meta`: meta-learn task after task; after each task, measure few-shot accuracy on unseen classes of every
task.

A stream of one task is ordinary few-shot learning. A regression has mean squared error in place of accuracy, and newly drawn
functions in place of classes. In meta-training, the query set of an episode always passes through the network together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar, TypeAlias

import torch

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.core.bounds import AT_EVALUATION, Count, CountFromZero, Examples, NonNegative, added_setting
from metacl_run.core.errors import ConfigError, SettingError, prefix_field_errors, require
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.types import Pytree
from metacl_run.data.streams.stream import EpisodePool, EpisodeStream
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.protocols.best_state import Keep
from metacl_run.protocols.continual_meta.adaptation import AdaptationReport, adaptation_report
from metacl_run.protocols.continual_meta.chunks import chunked_engines, evaluation_engine
from metacl_run.protocols.continual_meta.episodes import training_examples
from metacl_run.protocols.continual_meta.insight_subject import FewShotSubject
from metacl_run.protocols.continual_meta.precision import precision_error
from metacl_run.protocols.continual_meta.predictor import FewShotPredictor
from metacl_run.protocols.continual_meta.scorer import FewShotScorer
from metacl_run.protocols.continual_meta.setup import FewShotSetup
from metacl_run.protocols.continual_meta.trainer import EpisodeTrainer, check_code
from metacl_run.protocols.evaluation_rows import EvaluationRows, Future
from metacl_run.protocols.evaluator import MatrixEvaluator
from metacl_run.protocols.final_evaluation import FinalEvaluation
from metacl_run.protocols.insight import InsightRecorder
from metacl_run.protocols.keeping import KeepingEvaluator, kept_details
from metacl_run.protocols.loop import run_phases
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_interface import EvalSplit, Protocol
from metacl_run.protocols.protocol_result import ProtocolResult, Status, result_of
from metacl_run.protocols.refusals import refuse_beyond_memory, refuse_more_ranks_than_episodes, refuse_running_averages
from metacl_run.protocols.resume import first_learner, same_kernels, start_evaluation, start_or_resume
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.task_state_recorder import KeepStates, task_state_recorders
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.device import Gpu
from metacl_run.scoring.objectives import CLASSIFICATION

Context: TypeAlias = RunContext[EpisodeLearner, EpisodeStream, EpisodePool]


@dataclass(frozen=True, kw_only=True)
class ContinualMeta(Protocol[EpisodeLearner, EpisodeStream, EpisodePool]):
    """Meta-updates on one task after another.

    Attributes:
        updates_per_task: meta-updates on each task.
        eval_episodes: episodes on which each task is evaluated, the same ones every time.
        eval_every: meta-updates between further evaluations of all tasks within a task; 0: only after each task.
        rows_every: number of tasks from one evaluation of all tasks learned so far to the next; the last task is always
            followed by one. 0: after 1, 2, 5, 10, 20, 50, 100 ... tasks. The task that has just ended is evaluated every time.
        eval_future: which future tasks are evaluated too: "all", the "next" one, "none".
        eval_split: which held-out classes are used, or which draws of functions: "test" or "validation".
        keep: "last": keep the state after the last meta-update of each task; "best": at the end of a task, return to its best
            state, by the mean score on validation episodes of the tasks learned so far, at evaluations within the task and at
            its end. Every seed has its own best state. With eval_split=validation, the reported episodes are different ones, of
            the same classes.
        by_step: at the end, also measure the score after 0, 1 ... inner steps, on as many episodes as the score itself.
        keep_states: "last": the run keeps the learner at its end; "tasks": also the learner after every task, as it was when it
            was evaluated. No number depends on it.
        log_every: meta-updates between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "continual_meta"
    learner: ClassVar[type] = EpisodeLearner
    data: ClassVar[type] = EpisodeStream
    unit_name: ClassVar[str] = "meta-update"
    memory_remedy: ClassVar[str] = "A smaller gpu.chunk or gpu.memory_gb computes fewer episodes at once"

    updates_per_task: Count
    eval_episodes: Annotated[Examples, AT_EVALUATION]
    eval_every: CountFromZero
    rows_every: CountFromZero
    eval_future: Future
    eval_split: Annotated[EvalSplit, AT_EVALUATION]
    keep: Keep
    by_step: Annotated[bool, AT_EVALUATION]
    keep_states: KeepStates = field(metadata=added_setting("keeps_task_states", off="last"))
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def __post_init__(self) -> None:
        within = "must be last unless there are evaluations within a task: eval_every of at least 1, below updates_per_task"
        require(self.keep == "last" or 0 < self.eval_every < self.updates_per_task, "keep", self.keep, within)

    @property
    def keeps_task_states(self) -> bool:
        return self.keep_states == "tasks"

    def check(self, algo: EpisodeLearner, model: Model, data: EpisodeStream) -> None:
        shots, queries = training_examples(algo, data)
        with prefix_field_errors("data"):
            earlier = data.count_tasks() - 1
        buffered = self._check_replay(algo, data, earlier) if algo.replay != 0 and earlier > 0 else None
        most = max(shots + queries, data.shots + data.queries)
        with prefix_field_errors("data"):
            data.check(examples_per_class=most, replay_classes=buffered, split=self.eval_split)
        if self.keep == "best":
            with prefix_field_errors("protocol.keep=best: data"):
                data.check(examples_per_class=most, replay_classes=buffered, split="validation")
        self._check_training_ways(algo, data, most, buffered)
        self._check_memory(algo, data, shots + queries)
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.network_shape, algo.num_outputs(data.outputs), 0, torch.float32)
        refuse_running_averages(module, model, self.kind, "model.norm=batch or model.norm=image")
        algo.check(Network(module, data.outputs, objective=data.objective, rollout=data.rollout), params)

    def _check_training_ways(self, algo: EpisodeLearner, data: EpisodeStream, most: int, buffered: int | None) -> None:
        """Refuses training episodes of more classes than a task has for training."""
        ways = algo.training_ways(data.ways)
        if ways == data.ways:
            return
        own = dataclasses.replace(data, ways=ways)  # type: ignore[type-var]
        try:
            own.check(examples_per_class=most, replay_classes=buffered, split="train")
        except SettingError as error:
            key, allowed = (
                ("algo.train_ways", error.allowed) if error.field == "ways" else (f"data.{error.field}", error.allowed)
            )
            raise ConfigError(f"{key}={error.value}: {allowed}") from None

    def _check_replay(self, algo: EpisodeLearner, data: EpisodeStream, earlier: int) -> int | None:
        """The classes that the replay buffer keeps of each of the earlier tasks; None: all."""
        if algo.replay_share is not None and algo.meta_batch_size == 1:
            raise ConfigError(
                "algo.meta_batch_size=1: with algo.replay an episode from the replay buffer would leave none of the current "
                "task. Use at least 2, or algo.replay_share=null to draw the task of every episode from all seen."
            )
        if algo.replay is None:
            return None
        if data.objective is not CLASSIFICATION:
            raise ConfigError(
                f"algo.replay={algo.replay}: keeps classes, and {type(data).__name__} has none: its episodes are drawn "
                "afresh. Use null to draw from all of every task, or 0 for none."
            )
        buffered = algo.replay // earlier
        if buffered < data.ways:
            raise ConfigError(
                f"algo.replay={algo.replay}: keeps {buffered} classes of each of {earlier} earlier tasks, but an episode needs "
                f"data.ways={data.ways}. Use at least {data.ways * earlier}, null for everything, or 0 for none."
            )
        return buffered

    def _check_memory(self, algo: EpisodeLearner, data: EpisodeStream, examples: int) -> None:
        numbers, setting = math.prod(data.input_shape), f"algo.meta_batch_size={algo.meta_batch_size}"
        ways = algo.training_ways(data.ways)
        refuse_beyond_memory(algo.meta_batch_size * ways * examples * numbers, setting, "a meta-batch of episodes")
        for training, support in ((True, ways * training_examples(algo, data)[0]), (False, data.ways * data.shots)):
            steps, batch = algo.inner_batches(support, training) or (0, 0)
            key = "algo.inner_steps" if training else "algo.eval_inner_steps"
            refuse_beyond_memory(algo.meta_batch_size * steps * batch, f"{key}={steps}", "the batches of its inner loops")

    def count_units(self, algo: EpisodeLearner, data: EpisodeStream) -> int:
        return self.updates_per_task * data.count_tasks()

    def load(self, data: EpisodeStream, seeds: Sequence[int]) -> EpisodePool:
        return data.load(seeds)

    def check_ranks(self, algo: EpisodeLearner, ranks: int) -> None:
        refuse_more_ranks_than_episodes(ranks, algo.meta_batch_size)

    def run(self, context: Context) -> ProtocolResult:
        task_names, gpu = [list(names) for names in context.pool.task_names], context.gpu
        num_tasks = len(task_names[0])
        setup = FewShotSetup.of(context, self.eval_split, num_tasks * self.updates_per_task)
        state = start_or_resume(context, setup.initial_learners, num_tasks, context.pool.notes)
        progress = Progress(context=context, state=state, num_tasks=num_tasks, units_per_task=self.updates_per_task)
        chance = 1 / context.data.ways if context.data.objective is CLASSIFICATION else None
        with same_kernels(state, gpu.torch_device):
            if context.checks_code:  # before the memory that it takes is measured
                check_code(setup, state.learner)
            engines = chunked_engines(setup, state, gpu, self.eval_episodes)
            if gpu.compute_dtype != gpu.dtype and not state.evaluations:
                error = precision_error(setup, engines.train, state.learner)
                if error is not None:
                    state.warnings.append(
                        f"gpu.precision={gpu.precision}: the first meta-update's direction is {error:.1%} away from float32's"
                    )
            evaluator = MatrixEvaluator(
                progress=progress,
                scorer=FewShotScorer(setup, engines.evaluate, self.eval_episodes),
                rows=EvaluationRows(every=self.rows_every, future=self.eval_future),
                eval_every=self.eval_every,
                recorders=[
                    InsightRecorder(FewShotSubject(setup, engines.train), progress),
                    *task_state_recorders(self.keep_states, progress),
                ],
            )
            scorer = FewShotScorer(setup.on_validation(), engines.evaluate, self.eval_episodes)
            keeping = KeepingEvaluator(evaluator=evaluator, scorer=scorer, progress=progress)
            training = TrainingPhase(
                trainer=EpisodeTrainer(setup, engines.train, self.updates_per_task),
                evaluator=keeping if self.keep == "best" else evaluator,
                progress=progress,
                unit_name=self.unit_name,
                log_every=self.log_every,
                first=partial(first_learner, context, setup.initial_learners),
            )
            context.started(task_names, state.unit, self.updates_per_task, chance, warnings=state.warnings)
            status = run_phases(progress, [training], checkpoint_every=self.checkpoint_every)
            beside = self._adaptation(setup, engines.evaluate, progress, status)
            cost = training.cost(status)
        details = {**kept_details(progress), **beside.details}
        result = result_of(progress, status, task_names=task_names, chance=chance)
        return replace(result, cost=cost, **{**beside._asdict(), "details": details})

    def _adaptation(self, setup: FewShotSetup, engine: Engine, progress: Progress, status: Status) -> AdaptationReport:
        if status != "completed":
            return AdaptationReport({}, {})
        state, tasks = progress.state, progress.num_tasks
        return adaptation_report(setup, engine, state.learner, tasks, self.eval_episodes, by_step=self.by_step)

    @property
    def division(self) -> tuple[object, ...]:
        """With keep=best, the state is chosen by episodes of the part that is tested, or of the validation part."""
        return self.eval_split, self.keep

    def check_evaluation(self, trained: ContinualMeta) -> None:
        """Validation and test classes are apart from those to learn from, whatever is evaluated."""

    def evaluate(self, context: Context, learner: Pytree) -> ProtocolResult:
        pool = context.pool
        task_names = [list(names) for names in pool.task_names]
        setup = FewShotSetup.of(context, self.eval_split, total_units=1)
        state = start_evaluation(context, learner, setup.initial_learners(), len(task_names[0]), pool.notes)
        progress = Progress(context=context, state=state, num_tasks=len(task_names[0]), units_per_task=1)
        chance = 1 / context.data.ways if context.data.objective is CLASSIFICATION else None
        with same_kernels(state, context.gpu.torch_device):
            engine = evaluation_engine(setup, state, context.gpu, self.eval_episodes)
            scorer = FewShotScorer(setup, engine, self.eval_episodes)
            context.started(task_names, state.unit, 1, chance, warnings=state.warnings)
            phase = FinalEvaluation(scorer=scorer, progress=progress)
            status = run_phases(progress, [phase], checkpoint_every=self.checkpoint_every)
            beside = self._adaptation(setup, engine, progress, status)
        return replace(result_of(progress, status, task_names=task_names, chance=chance), **beside._asdict())

    def predictor(
        self, algo: EpisodeLearner, model: Model, data: EpisodeStream, gpu: Gpu, learner: Pytree, run_outputs: int | None = None
    ) -> FewShotPredictor:
        module, _ = initial_params(model, data.network_shape, algo.num_outputs(data.outputs), 0, gpu.dtype)
        network = Network(
            module.to(gpu.torch_device), data.outputs, gpu.compute_dtype, objective=data.objective, rollout=data.rollout
        )
        return FewShotPredictor(algo=algo, network=network, state=learner)
