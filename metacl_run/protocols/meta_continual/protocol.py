"""Protocol `meta_continual`: meta-learn how to learn in sequence, then learn long sequences of unseen concepts.

Meta-training does updates on trajectories. Meta-test learns concepts in a random order, one after another, without seeing an
earlier one again. After each number of concepts in the schedule, the learner is tested on the examples that it learned
(memory), and on held-out examples of the same concepts (generalisation). The learning rate of SGD is chosen among candidates on
meta-train concepts; accuracy and memory after N concepts are measured with the rate chosen for N.

A task of the accuracy matrix is a segment of the schedule; row i is measured after the first i segments. All rows use the rate
chosen for the whole schedule, so that forgetting and other differences describe a single learner. Means over tasks weight each
task by its number of concepts, so that `accuracy` is the accuracy after all of them.

Differences from the published evaluations (OML, Javed and White 2019, arXiv 1905.12588, and its code):
 1. The sequences of an order are nested: the first 10 concepts of the sequence of 200 are the sequence of 10.
 2. The chosen rate has the best mean held-out score over the selection orders; in that code it is the mode of the orders' best
    rates.

Shapes: R replicates, E trajectories, S segments, L candidate rates, O orders, N concepts of the longest sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from annotated_types import MaxLen, MinLen

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.core.bounds import (
    AT_EVALUATION,
    Classes,
    Count,
    CountFromZero,
    Examples,
    NoEffectWith,
    NonNegative,
    Positive,
    StepsFromZero,
)
from metacl_run.core.errors import prefix_field_errors, require_all
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.types import Pytree
from metacl_run.data.streams.concept_stream import ConceptPool, ConceptStream
from metacl_run.data.streams.validation import ValidationConcepts
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.protocols.best_state import Keep
from metacl_run.protocols.keeping import kept_details
from metacl_run.protocols.loop import run_phases
from metacl_run.protocols.meta_continual.fit import ConceptCounts, check_schedule, check_trajectories, count_left
from metacl_run.protocols.meta_continual.meta_test import MetaTestPhase, segment_sizes
from metacl_run.protocols.meta_continual.meta_test_plan import MetaTestPlan
from metacl_run.protocols.meta_continual.predictor import SequencePredictor
from metacl_run.protocols.meta_continual.probe_evaluator import ProbeEvaluator
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.meta_continual.trainer import TrajectoryTrainer
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.protocol_interface import EvalSplit, Protocol
from metacl_run.protocols.protocol_result import ProtocolResult, Status, result_of
from metacl_run.protocols.refusals import refuse_batch_norm, refuse_more_ranks_than_episodes, refuse_running_averages
from metacl_run.protocols.resume import first_learner, same_kernels, start_evaluation, start_or_resume
from metacl_run.protocols.run_context import RunContext
from metacl_run.protocols.training import TrainingPhase
from metacl_run.runtime.device import Gpu
from metacl_run.scoring.matrix_metrics import NO_PROBES
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

Context: TypeAlias = RunContext[TrajectoryLearner, ConceptStream, ConceptPool]


@dataclass(frozen=True, kw_only=True)
class MetaContinual(Protocol[TrajectoryLearner, ConceptStream, ConceptPool]):
    """Meta-training and meta-test.

    Attributes:
        updates: meta-updates.
        schedule: meta-test: numbers of concepts learned in sequence, increasing.
        orders: meta-test: random choices and orders of the concepts.
        eval_split: concepts that meta-test learns: "test", or "validation", a part of the meta-train concepts that is then not
            used for meta-training and for the choice of the rate (`data/streams/validation.py`).
        rates: candidates for the rate of SGD at meta-test.
        lr_selection: the concepts on which the rate is chosen: "train", or "test", the reported ones.
        selection_orders: number of random orders on which the rate is chosen, with "train".
        joint_epochs: number of epochs of also learning the concepts shuffled, as an upper bound; 0: do not.
        eval_every: meta-updates between probes, each a meta-test of the first entry of the schedule at the learner's own rate;
            0: no probes.
        keep: "last": test and save the state after all meta-updates; "best": the state with the best probe, for each seed.
            Probes then learn the last fifth of the meta-train concepts, which nothing else uses.
        log_every: meta-updates between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "meta_continual"
    learner: ClassVar[type] = TrajectoryLearner
    data: ClassVar[type] = ConceptStream
    unit_name: ClassVar[str] = "meta-update"
    memory_remedy: ClassVar[str] = (
        "A smaller gpu.chunk computes fewer trajectories of meta-training at once, a smaller gpu.memory_gb fewer sequences of "
        "meta-test"
    )
    looks_inside: ClassVar[bool] = False

    updates: CountFromZero
    schedule: Annotated[list[Classes], MinLen(1), MaxLen(10**4), AT_EVALUATION]
    orders: Annotated[Examples, AT_EVALUATION]
    eval_split: Annotated[EvalSplit, AT_EVALUATION]
    rates: Annotated[list[Positive], MinLen(1), MaxLen(1000), AT_EVALUATION]
    lr_selection: Annotated[Literal["train", "test"], AT_EVALUATION]
    selection_orders: Annotated[Examples, AT_EVALUATION, NoEffectWith("lr_selection", ("test",))]
    joint_epochs: Annotated[StepsFromZero, AT_EVALUATION]
    eval_every: CountFromZero
    keep: Keep
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.schedule, self.schedule[1:], strict=False))
        require_all(
            (rising, "schedule", self.schedule, "must be numbers of concepts, each larger than the one before"),
            (len(set(self.rates)) == len(self.rates), "rates", self.rates, "must all differ"),
            (self.keep == "last" or self.eval_every > 0, "keep", self.keep, "must be last with eval_every=0, without probes"),
            (self.keep == "last" or self.updates > 0, "keep", self.keep, "must be last with updates=0: nothing is trained"),
        )

    def chooses(self, algo: TrajectoryLearner) -> bool:
        """Whether there is a rate to choose."""
        return algo.sequence_learner.own_rate is not None and len(self.rates) > 1

    def data_of_run(self, data: ConceptStream) -> ConceptStream:
        """The data that the run reads: without those for meta-test where it is evaluated on validation."""
        return data if self.eval_split == "test" else ValidationConcepts(inner=data, least=self.schedule[-1])

    def count_outputs(self, data: ConceptStream) -> int:
        """Outputs for every class that is ever learned together with others."""
        return data.outputs_for(max(data.count_concepts("meta_train"), self.schedule[-1]))

    def count_outputs_of_run(self, data: ConceptStream) -> int:
        return self.count_outputs(self.data_of_run(data))

    def _outputs(self, algo: TrajectoryLearner, data: ConceptStream, run_outputs: int | None) -> int:
        """Outputs for the data, or those of the run that is evaluated: with a head of classes as many as it has, or what the
        schedule needs."""
        own = self.count_outputs_of_run(data)
        if run_outputs is None or data.objective is not CLASSIFICATION or algo.num_outputs(own) is None:
            return own
        return max(run_outputs, data.outputs_for(self.schedule[-1]))

    def check(self, algo: TrajectoryLearner, model: Model, data: ConceptStream) -> None:
        with prefix_field_errors("data"):
            data.check(max(algo.classes, self.schedule[-1]))
            whole, data = data.count_concepts("meta_train"), self.data_of_run(data)
            meta_train, meta_test = data.count_concepts("meta_train"), data.count_concepts("meta_test")
        if self._keeps_best(algo):
            meta_train = count_left(meta_train)
        check_schedule(
            self.schedule,
            concepts=ConceptCounts(meta_train=meta_train, meta_test=meta_test, whole=whole),
            chosen_on_train=self.chooses(algo) and self.lr_selection == "train",
        )
        check_trajectories(algo, data, meta_train)
        outputs = self.count_outputs(data)
        learned = algo.model_of(model, data.objective)
        with prefix_field_errors("model"):
            module, params = initial_params(learned, data.input_shape, algo.num_outputs(outputs), 0, torch.float32)
        refuse_batch_norm(module, model, "model=oml_small, model=conv4_image_small")
        refuse_running_averages(module, model, self.kind, "model.norm=image")
        algo.init(Network(module, outputs, objective=data.objective), params)

    def count_units(self, algo: TrajectoryLearner, data: ConceptStream) -> int:
        return self.updates

    def load(self, data: ConceptStream, seeds: Sequence[int]) -> ConceptPool:
        return self.data_of_run(data).load(seeds)

    def check_ranks(self, algo: TrajectoryLearner, ranks: int) -> None:
        if algo.trains and self.updates:
            refuse_more_ranks_than_episodes(ranks, algo.meta_batch_size)

    def run(self, context: Context) -> ProtocolResult:
        algo, data = context.algo, self.data_of_run(context.data)
        whole = SequenceSetup.of(context, data, self.count_outputs(data))
        setup, probed = self._divided(algo, whole)
        updates = self.updates if algo.trains else 0
        state = start_or_resume(context, setup.initial_learners, len(self.schedule), context.pool.notes)
        progress = Progress(context=context, state=state, num_tasks=1, units_per_task=updates)
        places = None if data.objective is CLASSIFICATION else max(algo.classes, self.schedule[-1])
        with same_kernels(state, setup.device):
            probes = ProbeEvaluator(
                progress=progress,
                setup=probed,
                length=min(self.schedule[0], probed.counts["meta_test"]),
                orders=self.orders,
                rate=algo.sequence_learner.own_rate or 0.0,
                eval_every=self.eval_every,
                budget=context.gpu.memory_bytes,
                keeps_best=self._keeps_best(algo),
            )
            training = TrainingPhase(
                trainer=TrajectoryTrainer(setup, updates, places),
                evaluator=probes,
                progress=progress,
                unit_name=self.unit_name,
                log_every=self.log_every,
                first=partial(first_learner, context, setup.initial_learners),
            )
            meta_test = MetaTestPhase(self._plan(algo, data.objective), setup, progress, context.gpu.memory_bytes)
            context.started([["meta-training"] for _ in context.seeds], state.unit, updates, None, warnings=state.warnings)
            status = run_phases(progress, [training, meta_test], checkpoint_every=self.checkpoint_every)
            cost = training.cost(status)
        return replace(self._result(progress, status, data.objective), cost=cost)

    def unused_settings(self, algo: TrajectoryLearner) -> list[str]:
        without_rate = ["rates", "lr_selection", "selection_orders"] if algo.sequence_learner.own_rate is None else []
        return without_rate if algo.trains else ["updates", "eval_every", "keep", *without_rate]

    @property
    def division(self) -> tuple[object, ...]:
        """With keep=best, the state is chosen by concepts that another run may have learned."""
        return self.eval_split, self.keep, self.schedule[-1] if self.eval_split == "validation" else None

    def check_evaluation(self, trained: MetaContinual) -> None:
        learned = (
            "the run has learned from all meta-train concepts, with protocol.eval_split=test: none are left for validation"
        )
        same = (
            f"must be the run's, [{','.join(map(str, trained.schedule))}]: its length decides which concepts are for validation"
        )
        on_validation = self.eval_split == "validation"
        require_all(
            (not on_validation or trained.eval_split == "validation", "eval_split", self.eval_split, learned),
            (not on_validation or self.schedule[-1] == trained.schedule[-1], "schedule", self.schedule, same),
        )

    def evaluate(self, context: Context, learner: Pytree) -> ProtocolResult:
        data, outputs = self.data_of_run(context.data), self._outputs(context.algo, context.data, context.run_outputs)
        setup, _ = self._divided(context.algo, SequenceSetup.of(context, data, outputs))
        state = start_evaluation(context, learner, setup.initial_learners(), len(self.schedule), context.pool.notes)
        progress = Progress(context=context, state=state, num_tasks=1, units_per_task=0)
        with same_kernels(state, setup.device):
            meta_test = MetaTestPhase(self._plan(context.algo, data.objective), setup, progress, context.gpu.memory_bytes)
            context.started([["meta-training"] for _ in context.seeds], state.unit, 0, None, warnings=state.warnings)
            status = run_phases(progress, [meta_test], checkpoint_every=self.checkpoint_every)
        return self._result(progress, status, data.objective)

    def predictor(
        self,
        algo: TrajectoryLearner,
        model: Model,
        data: ConceptStream,
        gpu: Gpu,
        learner: Pytree,
        run_outputs: int | None = None,
    ) -> SequencePredictor:
        outputs = self._outputs(algo, data, run_outputs)
        learned = algo.model_of(model, data.objective)
        module, _ = initial_params(learned, data.input_shape, algo.num_outputs(outputs), 0, gpu.dtype)
        network = Network(module.to(gpu.torch_device), outputs, gpu.compute_dtype, objective=data.objective)
        return SequencePredictor(algo=algo, network=network, state=learner)

    def _keeps_best(self, algo: TrajectoryLearner) -> bool:
        """Whether the best state is kept: not where nothing is trained."""
        return self.keep == "best" and algo.trains

    def _divided(self, algo: TrajectoryLearner, whole: SequenceSetup) -> tuple[SequenceSetup, SequenceSetup]:
        """The setup of meta-training and meta-test, and that of probes."""
        return (whole.without_validation(), whole.on_validation()) if self._keeps_best(algo) else (whole, whole)

    def _plan(self, algo: TrajectoryLearner, objective: Objective) -> MetaTestPlan:
        return MetaTestPlan(
            schedule=self.schedule,
            rates=self.rates if algo.sequence_learner.own_rate is not None else [0.0],
            chosen_on=self.lr_selection if self.chooses(algo) else None,
            selection_orders=self.selection_orders,
            orders=self.orders,
            joint_epochs=self.joint_epochs,
            has_untrained=objective is CLASSIFICATION,
        )

    def _segment_names(self, objective: Objective) -> list[str]:
        bounds = zip([0, *self.schedule], self.schedule, strict=False)
        return [f"{objective.concepts} {start + 1} to {end}" for start, end in bounds]

    def _result(self, progress: Progress, status: Status, objective: Objective) -> ProtocolResult:
        """The result with what the meta-test adds, once it has ended."""
        names = [self._segment_names(objective) for _ in progress.context.seeds]
        result = result_of(progress, status, task_names=names, chance=None)
        content: dict[str, Any] | None = progress.state.results.get("content")
        extra_metrics = {}
        if content is not None:
            extra_metrics["memory"] = np.array(content["memory"])[:, -1].mean(-1)
            if content["untrained"] is not None:
                untrained = np.array(content["untrained"][content["score"]])
                extra_metrics[f"untrained_{content['score']}"] = untrained[:, -1].mean(-1)
            if content["joint"] is not None:
                extra_metrics[f"joint_{content['score']}"] = np.array(content["joint"])[:, -1].mean(-1)
        return replace(
            result,
            evaluations=result.evaluations._replace(probes=NO_PROBES),
            units=min(result.units, result.units_per_task),
            sizes=segment_sizes(self.schedule),
            forward_transfer=objective is not CLASSIFICATION,  # the outputs of classes to come are untrained
            extra_metrics=extra_metrics,
            details={**kept_details(progress), **({} if content is None else {"meta_test": content})},
        )
