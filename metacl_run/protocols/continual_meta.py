"""Protocol `continual_meta`: meta-learn task after task; few-shot accuracy on unseen classes of every task after each.

A stream of one task is ordinary few-shot learning. A regression has mean squared error in place of accuracy, and functions that
are drawn afresh in place of classes.

Where a network has batch norm, what it says of a query depends on what passes with it. Every evaluation then learns from the
support set once and asks twice: each query with the support set alone, and all queries together. The metrics are of the first;
the second, transductive, has names of its own (`metric_table.TRANSDUCTIVE`). Meta-training passes the query set together.
Shapes: R replicates, T tasks, E episodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.algorithms.meta_learner import State
from metacl_run.core import randomness
from metacl_run.core.bounds import Count, CountFromZero, Examples, NonNegative
from metacl_run.core.errors import ConfigError, prefix_field_errors
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Episode, Params
from metacl_run.data.streams.base import FewShotData, FewShotStream
from metacl_run.inner.engine import Engine
from metacl_run.inner.forecast import chunk_for
from metacl_run.inner.shards import WHOLE
from metacl_run.models.base import Model, Network, initial_params
from metacl_run.models.layers import has_batch_norm
from metacl_run.protocols.base import EvalSplit, Outcome, Protocol, Run, refuse_beyond_memory, refuse_more_ranks_than_episodes
from metacl_run.protocols.evaluation_rows import Future, Rows
from metacl_run.protocols.insight import FEATURE_COLUMNS, FEATURE_SAMPLES, GRADIENT_EPISODES, look
from metacl_run.protocols.loop import Evaluation, Loop
from metacl_run.scoring.diagnostics import features_by_layer
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

EVALUATION_BLOCK = 100
"""Evaluation episodes are drawn in blocks of this many, so that their number does not decide the memory they take."""


@dataclass(frozen=True, kw_only=True)
class ContinualMeta(Protocol):
    """The loop over tasks and meta-updates.

    Attributes:
        updates_per_task: meta-updates on each task.
        eval_episodes: episodes each task is evaluated on, the same ones every time.
        eval_every: evaluate all tasks every so many meta-updates within a task as well; 0: only after each task.
        rows_every: evaluate all tasks learned so far after every so many tasks and after the last; 0: after 1, 2, 5, 10, 20,
            50, 100 ... tasks. The task that has just ended is evaluated every time.
        eval_future: which of the tasks to come are evaluated too: "all", the "next" one, "none".
        eval_split: which held-out classes, or draws of a regression's functions: "test" or "validation".
        log_every: meta-updates between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "continual_meta"
    learner: ClassVar[type] = EpisodeLearner
    data: ClassVar[type] = FewShotData
    unit_name: ClassVar[str] = "meta-update"

    updates_per_task: Count
    eval_episodes: Examples
    eval_every: CountFromZero
    rows_every: CountFromZero
    eval_future: Future
    eval_split: EvalSplit
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def objective(self, data: FewShotData) -> Objective:
        return data.objective

    def check(self, algo: EpisodeLearner, model: Model, data: FewShotData) -> None:
        shots, queries = training_examples(algo, data)
        with prefix_field_errors("data"):
            earlier = data.count_tasks() - 1
        kept = None
        if algo.replay != 0 and algo.replay_share is not None and algo.meta_batch_size == 1 and earlier > 0:
            raise ConfigError(
                "algo.meta_batch_size=1: with algo.replay an episode of memory would leave none of the current task. "
                "Use at least 2, or algo.replay_share=null to draw the task of every episode from all seen."
            )
        if algo.replay and earlier > 0 and data.objective is not CLASSIFICATION:
            raise ConfigError(
                f"algo.replay={algo.replay}: keeps classes, and {type(data).__name__} has none: every episode draws a new "
                "function. Use null to draw from all of every task, or 0 for none."
            )
        if algo.replay and earlier > 0:
            kept = algo.replay // earlier
            if kept < data.ways:
                raise ConfigError(
                    f"algo.replay={algo.replay}: keeps {kept} classes of each of {earlier} earlier tasks, but an episode needs "
                    f"data.ways={data.ways}. Use at least {data.ways * earlier}, null for everything, or 0 for none."
                )
        most = max(shots + queries, data.shots + data.queries)
        with prefix_field_errors("data"):
            data.check(images_per_class=most, replay_classes=kept, split=self.eval_split)
        self._check_memory(algo, data, shots + queries)
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.input_shape, algo.num_outputs(data.ways), 0, torch.float32)
        algo.check(Network(module, data.ways, objective=data.objective), params)

    def _check_memory(self, algo: EpisodeLearner, data: FewShotData, examples: int) -> None:
        pixels, setting = math.prod(data.input_shape), f"algo.meta_batch_size={algo.meta_batch_size}"
        refuse_beyond_memory(algo.meta_batch_size * data.ways * examples * pixels, setting, "a meta-batch of episodes")
        for training, shots in ((True, training_examples(algo, data)[0]), (False, data.shots)):
            steps, batch = algo.inner_batches(shots * data.ways, training) or (0, 0)
            key = "algo.inner_steps" if training else "algo.eval_inner_steps"
            refuse_beyond_memory(algo.meta_batch_size * steps * batch, f"{key}={steps}", "the batches of its inner loops")

    def count_units(self, algo: EpisodeLearner, data: FewShotData) -> int:
        return self.updates_per_task * data.count_tasks()

    def load(self, data: FewShotData, seeds: Sequence[int]) -> FewShotStream:
        return data.load(seeds)

    def check_ranks(self, algo: EpisodeLearner, ranks: int) -> None:
        refuse_more_ranks_than_episodes(ranks, algo.meta_batch_size)

    def run(self, run: Run) -> Outcome:
        return _MetaLoop(self, run).run()


def training_examples(algo: EpisodeLearner, data: FewShotData) -> tuple[int, int]:
    """(shots, queries) per class of a training episode."""
    shots = data.shots if algo.train_shots is None else algo.train_shots
    return shots, data.queries if algo.train_queries is None else algo.train_queries


def episode_tasks(algo: EpisodeLearner, task: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which task each episode of a meta-batch comes from, and how many of its classes may be drawn.

    Until the first task is over, or without replay, all come from the current task. The memory of n classes is shared out
    evenly: each of the k earlier tasks keeps its first n // k classes, in an order that the replicate's seed has shuffled.

    Returns:
        Two int arrays [E].
    """
    everything = np.iinfo(np.int64).max
    tasks = np.full(algo.meta_batch_size, task, dtype=np.int64)
    if algo.replay != 0 and task > 0:
        if algo.replay_share is None:
            tasks = generator.integers(0, task + 1, algo.meta_batch_size)
        else:
            remembered = min(max(1, round(algo.replay_share * algo.meta_batch_size)), algo.meta_batch_size - 1)
            tasks[:remembered] = generator.integers(0, task, remembered)
    kept = everything if algo.replay is None or task == 0 else algo.replay // task
    return tasks, np.where(tasks == task, everything, kept)


def each_alone(outputs: Callable[[Tensor], Tensor], episode: Episode) -> Tensor:
    """Outputs [Q, ...] for each query example when it passes with the support set and no other query.

    Batch norm then sees what a learner has who is asked one question at a time (Nichol et al. 2018, section 6.1: not
    transductive); where the query set passes together, the other queries tell it something (Finn et al. 2017: transductive).
    """
    return torch.vmap(lambda query: outputs(torch.cat([episode.support_x, query.unsqueeze(0)]))[-1])(episode.query_x)


class _MetaLoop(Loop):
    """Loaded data and the step."""

    remedy = "A smaller algo.inner_lr or algo.outer_lr, or algo.clip_norm=10"

    def __init__(self, settings: ContinualMeta, run: Run) -> None:
        self.settings, self.algo, self.data = settings, run.algo, run.data
        self.stream: FewShotStream = run.stream
        self.objective = run.data.objective
        super().__init__(
            run,
            task_names=self.stream.task_names,
            units_per_task=settings.updates_per_task,
            unit_name=settings.unit_name,
            log_every=settings.log_every,
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            rows=Rows(every=settings.rows_every, future=settings.eval_future),
            notes=self.stream.notes,
        )
        self.shots, self.queries = training_examples(self.algo, self.data)
        outputs = self.algo.num_outputs(self.data.ways)
        drawn = [initial_params(run.model, run.data.input_shape, outputs, seed, self.dtype) for seed in run.seeds]
        self.module = drawn[0][0].to(self.device)
        self.network = Network(self.module, self.data.ways, run.gpu.compute_dtype, objective=self.objective)
        self.together_differs = has_batch_norm(self.module)
        self.initial = [params for _, params in drawn]
        self.engine = Engine(kind=run.gpu.engine_kind, chunk=1, shards=run.ranks.shards)
        self.chance = 1 / self.data.ways if self.objective is CLASSIFICATION else None
        what = "images" if len(self.data.input_shape) == 3 else "points"
        self.features_on = f"{FEATURE_SAMPLES} query {what} of each task, before adaptation"

    def fresh_states(self) -> list[State]:
        starts = []
        for seed, params in zip(self.run_.seeds, self.initial, strict=True):
            drawn = torch.from_numpy(randomness.generator(Purpose.RATES, seed).random(sum(p.numel() for p in params.values())))
            starts.append(self.algo.start(self.network, params, drawn))
        return starts

    def prepare(self) -> None:
        self._choose_chunks()
        self._measure_precision()
        self._step = self.engine.prepare(self._meta_update(self.engine))

    def step(self, unit: int) -> dict[str, Tensor]:
        self.position.state, metrics = self._step(self.position.state, self._training_episodes(unit))
        return metrics

    def _meta_update(self, engine: Engine) -> Any:
        """(state, episodes) of all replicates -> (state, metrics), computed as `engine` says."""
        return engine.over_replicates(lambda s, e: self.algo.meta_update(self.network, engine, self.total, s, e))

    def _training_episodes(self, unit: int, limit: int | None = None) -> Episode:
        task = unit // self.settings.updates_per_task
        generators = [randomness.generator(Purpose.TRAIN, seed, unit) for seed in self.run_.seeds]
        chosen = [episode_tasks(self.algo, task, generator) for generator in generators]
        tasks, classes = (np.stack(part)[:, :limit] for part in zip(*chosen, strict=True))
        return self._draw(tasks, "train", self.shots, self.queries, generators, classes, training=True)

    def _draw(
        self,
        tasks: np.ndarray,
        split: Literal["train", "validation", "test"],
        shots: int,
        queries: int,
        generators: list[np.random.Generator],
        classes: np.ndarray | None,
        training: bool,
    ) -> Episode:
        batches = self.algo.inner_batches(shots * self.data.ways, training)
        episode = self.stream.sample(
            tasks, split, shots=shots, queries=queries, rngs=generators, classes=classes, batches=batches
        )
        return Episode(*(leaf.to(self.dtype) if leaf.is_floating_point() else leaf for leaf in episode))

    # ------------------------------------------------------------------------------------------------------- evaluation

    def _evaluation_episodes(self, task: int, block: int, count: int) -> Episode:
        generators = [randomness.generator(Purpose.EVALUATE, seed, task, block) for seed in self.run_.seeds]
        tasks = np.full((len(generators), count), task)
        split = self.settings.eval_split
        return self._draw(tasks, split, self.data.shots, self.data.queries, generators, None, training=False)

    def scores(self, tasks: range, *, whole: bool) -> Evaluation:
        engine = replace(self.engine, chunk=self.position.settled["chunks"]["evaluate"])
        scores = torch.stack([self._scores(engine, self.position.state, task) for task in tasks], 1).double()
        episodes, ways_of_asking = scores.shape[2:]
        half = 1.96 * scores.std(2) / episodes**0.5 if episodes > 1 else None
        alone, *together = (
            Evaluation(scores[..., way].mean(2), None if half is None else half[..., way]) for way in range(ways_of_asking)
        )
        return alone._replace(transductive=together[0] if together else None)

    def _scores(self, engine: Engine, state: State, task: int) -> Tensor:
        """The scores of every evaluation episode of a task, [R, eval_episodes, ...] as `_judge` gives them."""
        total = self.settings.eval_episodes
        parts = []
        for block, done in enumerate(range(0, total, EVALUATION_BLOCK)):
            episodes = self._evaluation_episodes(task, block, min(EVALUATION_BLOCK, total - done))
            parts.append(self._judge(engine, state, episodes))
        return torch.cat(parts, 1)

    def _judge(self, engine: Engine, state: State, episodes: Episode) -> Tensor:
        """The scores of every episode, [R, E, 1], or where there is batch norm [R, E, 2], the transductive one second."""

        def one(state: State, episode: Episode) -> Tensor:
            meta, fast = state["meta"], self.algo.learn(self.network, state["meta"], state["carry"], episode)

            def outputs(x: Tensor) -> Tensor:
                return self.algo.predict(self.network, meta, fast, x)

            answers = [outputs(episode.query_x)]
            if self.together_differs:
                answers.insert(0, each_alone(outputs, episode))
            return torch.stack([self.objective.score(answer, episode.query_y) for answer in answers])

        with torch.no_grad():
            many = engine.over_replicates(lambda state, batch: engine.map(lambda e: one(state, e), batch))
            return many(state, episodes)

    # ------------------------------------------------------------------------------------------------------- look inside

    gradients_on = f"the outer objective on {GRADIENT_EPISODES} training episodes of each task"

    def look_inside(self, task: int | None) -> dict[str, Any] | None:
        size = {"num_tasks": self.num_tasks, "num_replicates": len(self.run_.seeds)}
        return look(self, self.run_.insight, ended=task, before=self.position.features, **size)

    def learned_rates(self) -> Params | None:
        return self.position.state["meta"].get("rates")

    def gradient(self, replicate: int, task: int) -> Tensor:
        """Of what the outer optimiser follows: a meta-gradient, or Reptile's displacement."""
        generators = [randomness.generator(Purpose.INSIGHT, seed, task) for seed in self.run_.seeds]
        tasks = np.full((len(generators), GRADIENT_EPISODES), task)
        drawn = self._draw(tasks, "train", self.shots, self.queries, generators, None, training=True)
        state, episodes = tree_map(lambda leaf: leaf[replicate], (self.position.state, drawn))

        def direction(episode: Episode) -> Params:
            return self.algo.episode_update(self.network, state["meta"], state["carry"], episode).direction["params"]

        return torch.cat([leaf.flatten() for leaf in self.engine.mean(direction, episodes).values()])

    def features(self, replicate: int, task: int) -> dict[str, Tensor]:
        count = -(-FEATURE_SAMPLES // (self.data.ways * self.data.queries))
        x = self._evaluation_episodes(task, 0, count).query_x[replicate].flatten(0, 1)[:FEATURE_SAMPLES]
        params = tree_map(lambda leaf: leaf[replicate], self.position.state["meta"]["params"])
        return features_by_layer(self.module, lambda: self.network(params, x), FEATURE_COLUMNS)

    # ------------------------------------------------------------------------------------------------- memory, precision

    def _choose_chunks(self) -> None:
        """Chooses how many episodes a rank computes at once, and keeps to it: the chunk decides the order of summation."""
        settled, state = self.position.settled, self.position.state
        if "chunks" not in settled:
            budget, given = self.run_.gpu.memory_bytes, self.run_.gpu.chunk
            whole, shards = replace(self.engine, chunk=None, shards=WHOLE), self.engine.shards
            chunks: dict[str, int] = {}
            settled |= {"chunks": chunks, "forecast": {}}
            for name, size, run in (
                ("train", shards.largest(self.algo.meta_batch_size), lambda n: self._one_update(whole, state, n)),
                (
                    "evaluate",
                    shards.largest(min(self.settings.eval_episodes, EVALUATION_BLOCK)),
                    lambda n: self._one_evaluation(whole, state, n),
                ),
            ):
                if given is not None or self.engine.kind == "loop":
                    chunk, forecast = min(given or 1, size), 0
                else:
                    chunk, forecast = chunk_for(run, episodes=size, budget=budget)
                chunks[name] = chunk
                settled["forecast"][f"{name}_chunk"] = chunk
                settled["forecast"][f"{name}_mb"] = round(forecast / 1e6, 1)
        self.engine = replace(self.engine, chunk=settled["chunks"]["train"])

    def _measure_precision(self) -> None:
        """With a reduced precision, says how far the first meta-update's direction is from the full one's."""
        gpu, state = self.run_.gpu, self.position.state
        if gpu.compute_dtype == gpu.dtype or self.position.evaluations:
            return
        episodes = self._training_episodes(0, limit=self.engine.chunk)

        def direction(network: Network) -> Tensor:
            def one(state: State, episodes: Episode) -> Any:
                meta, carry = state["meta"], state["carry"]
                return self.engine.mean(lambda e: self.algo.episode_update(network, meta, carry, e).direction, episodes)

            return torch.cat([leaf.flatten() for leaf in tree_leaves(self.engine.over_replicates(one)(state, episodes))])

        full = Network(self.module, self.data.ways, objective=self.objective)
        exact, reduced = direction(full), direction(self.network)
        error = ((reduced - exact).norm() / exact.norm()).item()
        self.position.warnings.append(
            f"gpu.precision={gpu.precision}: the first meta-update's direction is {error:.1%} away from float32's"
        )

    def _one_update(self, engine: Engine, state: State, episodes: int) -> object:
        return self._meta_update(engine)(state, self._training_episodes(0, limit=episodes))

    def _one_evaluation(self, engine: Engine, state: State, episodes: int) -> object:
        return self._judge(engine, state, self._evaluation_episodes(0, 0, episodes))
