"""The parts of a run under `meta_continual` that meta-training and meta-test share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from metacl_run.algorithms.meta_continual.class_scores import distance_scores
from metacl_run.algorithms.meta_continual.class_sums import ClassSumsLearner
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Params
from metacl_run.data.streams.concept_stream import ConceptPool, ConceptStream, MetaSplit
from metacl_run.data.streams.validation import ValidationConceptPool, count_held_out
from metacl_run.inner.engine import Engine
from metacl_run.inner.shards import Shards
from metacl_run.models.network import Network, fresh_params
from metacl_run.protocols.run_context import RunContext


@dataclass(frozen=True, kw_only=True)
class SequenceSetup:
    """A learner, its network and its concepts, on the run's device.

    Attributes:
        algo, pool: of the run.
        network: with an output for every class that is ever learned together with others.
        initial_params: [R] its parameters before any learning.
        fresh_params: [R] the same, where they are another run's: as they would have been drawn.
        sequence_learner: learns sequences; that of `algo`, but for baselines.
        fresh_width: random numbers for the new weights of each output.
        seeds: [R].
        counts: concepts for meta-training and for meta-test.
        learned, held_out: K and H, examples of each concept to learn from at meta-test, and to test on.
        train_engine, test_engine: compute meta-updates, and sequences.
        shards: the part of the orders that this rank computes.
        device, dtype: of inputs and parameters.
    """

    algo: TrajectoryLearner
    pool: ConceptPool
    network: Network
    initial_params: list[Params]
    fresh_params: list[Params]
    sequence_learner: SequenceLearner
    fresh_width: int
    seeds: Sequence[int]
    counts: dict[MetaSplit, int]
    learned: int
    held_out: int
    train_engine: Engine
    test_engine: Engine
    shards: Shards
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(
        cls, context: RunContext[TrajectoryLearner, ConceptStream, ConceptPool], data: ConceptStream, outputs: int
    ) -> SequenceSetup:
        """The setup of a run on `data`, which may be a part of the context's, with `outputs` of the network."""
        algo, gpu = context.algo, context.gpu
        size, model = algo.num_outputs(outputs), algo.model_of(context.model, data.objective)
        networks = [fresh_params(model, data.input_shape, size, seed, gpu.dtype) for seed in context.seeds]
        fresh = [params for _, params in networks]
        network = Network(networks[0][0].to(gpu.torch_device), outputs, gpu.compute_dtype, objective=data.objective)
        learned, held_out = data.count_examples()
        shards, kind = context.ranks.shards, gpu.engine_kind_of(context.ranks.count)
        return cls(
            algo=algo,
            pool=context.pool,
            network=network,
            initial_params=[model.start(params, seed) for params, seed in zip(fresh, context.seeds, strict=True)],
            fresh_params=fresh,
            sequence_learner=algo.sequence_learner,
            fresh_width=algo.fresh_width(network, fresh[0]),
            seeds=context.seeds,
            counts={"meta_train": data.count_concepts("meta_train"), "meta_test": data.count_concepts("meta_test")},
            learned=learned,
            held_out=held_out,
            train_engine=Engine(kind=kind, chunk=gpu.chunk, shards=shards),
            test_engine=Engine(kind="vmap" if kind == "compile" else kind),
            shards=shards,
            device=gpu.torch_device,
            dtype=gpu.dtype,
        )

    @property
    def examples(self) -> int:
        """Examples of each concept."""
        return self.learned + self.held_out

    def initial_learners(self) -> list[MetaState]:
        """[R] the learner's state of each replicate before any learning."""
        return [self.algo.start(self.network, params) for params in self.initial_params]

    def with_class_means(self) -> SequenceSetup:
        """The same with the nearest class mean as the learner of sequences; with `fresh_params`, of random features."""
        return replace(self, sequence_learner=ClassSumsLearner(scores=distance_scores))

    def without_validation(self) -> SequenceSetup:
        """The same with the last of the meta-train concepts left out: those of `on_validation`."""
        whole = self.counts["meta_train"]
        return replace(self, counts={**self.counts, "meta_train": whole - count_held_out(whole)})

    def on_validation(self) -> SequenceSetup:
        """The same with those concepts in place of the meta-test ones."""
        whole = self.counts["meta_train"]
        held_out = count_held_out(whole)
        pool = ValidationConceptPool(inner=self.pool, meta_train=whole - held_out)
        return replace(self, pool=pool, counts={"meta_train": whole - held_out, "meta_test": held_out})
