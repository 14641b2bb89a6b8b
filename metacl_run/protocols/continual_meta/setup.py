"""The parts of a run under `continual_meta` that trainer, scorer and the rest share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Params
from metacl_run.data.streams.stream import EpisodePool, EpisodeStream
from metacl_run.inner.engine import Engine
from metacl_run.models.network import Network, initial_params
from metacl_run.protocols.continual_meta.episodes import EpisodeSampler
from metacl_run.protocols.protocol_interface import EvalSplit
from metacl_run.protocols.run_context import RunContext


@dataclass(frozen=True, kw_only=True)
class FewShotSetup:
    """A learner, its network and its episodes, on the run's device.

    Attributes:
        algo, data: of the run.
        module, network: the network, and how it is called.
        initial_params: [R] its parameters before any learning.
        episodes: draws the episodes.
        engine: computes meta-updates; its chunk is not chosen yet.
        total_units: meta-updates in the whole run.
    """

    algo: EpisodeLearner
    data: EpisodeStream
    module: nn.Module
    network: Network
    initial_params: list[Params]
    episodes: EpisodeSampler
    engine: Engine
    total_units: int

    @classmethod
    def of(
        cls, context: RunContext[EpisodeLearner, EpisodeStream, EpisodePool], eval_split: EvalSplit, total_units: int
    ) -> FewShotSetup:
        algo, data, gpu = context.algo, context.data, context.gpu
        outputs = algo.num_outputs(data.outputs)
        networks = [initial_params(context.model, data.network_shape, outputs, seed, gpu.dtype) for seed in context.seeds]
        module = networks[0][0].to(gpu.torch_device)
        return cls(
            algo=algo,
            data=data,
            module=module,
            network=Network(module, data.outputs, gpu.compute_dtype, objective=data.objective, rollout=data.rollout),
            initial_params=[params for _, params in networks],
            episodes=EpisodeSampler(
                algo=algo,
                data=data,
                pool=context.pool,
                seeds=context.seeds,
                eval_split=eval_split,
                purpose=Purpose.EVALUATE,
                dtype=gpu.dtype,
            ),
            engine=Engine(kind=gpu.engine_kind_of(context.ranks.count), chunk=1, shards=context.ranks.shards),
            total_units=total_units,
        )

    def initial_learners(self) -> list[MetaState]:
        """[R] the learner's state of each replicate before any learning."""
        states = []
        for seed, params in zip(self.episodes.seeds, self.initial_params, strict=True):
            size = sum(value.numel() for value in params.values())
            rates = torch.from_numpy(generator(Purpose.RATES, seed).random(size))
            states.append(self.algo.start(self.network, params, rates))
        return states

    def on_validation(self) -> FewShotSetup:
        """The same with evaluation episodes of the validation split, other than those that are reported on it."""
        return replace(self, episodes=replace(self.episodes, eval_split="validation", purpose=Purpose.KEEP))
