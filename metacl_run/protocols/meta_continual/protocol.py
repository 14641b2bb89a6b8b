"""Protocol `meta_continual`: meta-learn how to learn continually, then learn long sequences of unseen concepts.

Meta-training is updates on trajectories. Meta-test learns the concepts of a random order one after another, never going back,
and is tested after each number of concepts in the schedule: on what it learned (memory) and on held-out examples of the same
concepts (generalisation). Its rate is chosen among candidates on meta-train concepts; accuracy and memory after N concepts are
at the rate chosen for N.

Of the accuracy matrix, a task is a segment of the schedule, and row i is after the first i of them. All rows are at the rate
chosen for the whole schedule: forgetting and every other difference are of one learner. Means over tasks weigh each by its
number of concepts, so that `accuracy` is the one after all of them.

Differences from the published evaluations (OML, Javed and White 2019, arXiv 1905.12588, and its code):
 1. The sequences of an order are nested: the first 10 of 200 are those of the sequence of 10.
 2. A rate is the one with the best mean held-out score over the orders that it is chosen on, not the mode of the orders' bests.

Shapes: R replicates, E trajectories, S segments, L candidate rates, O orders, N concepts of the longest sequence.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import MaxLen, MinLen
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import State
from metacl_run.core.bounds import Classes, Count, CountFromZero, Examples, NonNegative, Positive, StepsFromZero
from metacl_run.core.errors import ConfigError, prefix_field_errors, require, require_all
from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.types import Params, Trajectory
from metacl_run.data.streams.base import ConceptData, ConceptPool, Half
from metacl_run.data.streams.validation import ValidationConcepts
from metacl_run.inner.engine import Engine
from metacl_run.models.base import Model, Network, initial_params
from metacl_run.protocols.base import (
    EvalSplit,
    Outcome,
    Protocol,
    Run,
    Status,
    refuse_batch_norm,
    refuse_beyond_memory,
    refuse_more_ranks_than_episodes,
)
from metacl_run.protocols.loop import Evaluation, Loop
from metacl_run.protocols.meta_continual.meta_test import MetaTest, Scores
from metacl_run.protocols.meta_continual.meta_test_plan import PHASES, TEXTS, Work, planned
from metacl_run.protocols.meta_continual.meta_test_results import Findings
from metacl_run.protocols.meta_continual.representation import GATED_CONCEPTS, LOOKED_AT, describe, gate_activity
from metacl_run.protocols.meta_continual.trajectories import draw
from metacl_run.scoring.matrix_metrics import NO_PROBES
from metacl_run.scoring.objectives import CLASSIFICATION, Objective


@dataclass(frozen=True, kw_only=True)
class MetaContinual(Protocol):
    """Meta-training and meta-test.

    Attributes:
        updates: meta-updates.
        schedule: meta-test: numbers of concepts learned in sequence, increasing.
        orders: meta-test: random choices and orders of the concepts.
        eval_split: concepts that meta-test learns: "test", or "validation", a part of the meta-train ones that then has no part
            in meta-training and in the choice of the rate (`data/streams/validation.py`).
        rates: candidates for the rate of SGD at meta-test.
        lr_selection: whose concepts the rate is chosen on: "train" or "test", the reported ones.
        selection_orders: orders that it is chosen on, with "train".
        joint_epochs: also learn the concepts shuffled, so many times over, as an upper bound; 0: not.
        eval_every: meta-updates between probes, each a meta-test of the first number of the schedule at the learner's own rate;
            0: none.
        log_every: meta-updates between two records of the training loss.
        checkpoint_every: seconds between checkpoints.
    """

    kind: ClassVar[ProtocolKind] = "meta_continual"
    learner: ClassVar[type] = TrajectoryLearner
    data: ClassVar[type] = ConceptData
    unit_name: ClassVar[str] = "meta-update"
    looks_inside: ClassVar[bool] = False

    updates: CountFromZero
    schedule: Annotated[list[Classes], MinLen(1), MaxLen(10**4)]
    orders: Examples
    eval_split: EvalSplit
    rates: Annotated[list[Positive], MinLen(1), MaxLen(1000)]
    lr_selection: Literal["train", "test"]
    selection_orders: Examples
    joint_epochs: StepsFromZero
    eval_every: CountFromZero
    log_every: Count
    checkpoint_every: NonNegative = field(metadata={"identity": False})

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.schedule, self.schedule[1:], strict=False))
        require_all(
            (rising, "schedule", self.schedule, "must be numbers of concepts, each larger than the one before"),
            (len(set(self.rates)) == len(self.rates), "rates", self.rates, "must all differ"),
        )

    def objective(self, data: ConceptData) -> Objective:
        return data.objective

    def chooses(self, algo: TrajectoryLearner) -> bool:
        """Whether there is a rate to choose."""
        return algo.uses_rate and len(self.rates) > 1

    def seen(self, data: ConceptData) -> ConceptData:
        """The data as the run sees them: where it is judged on validation, without those for meta-test."""
        return data if self.eval_split == "test" else ValidationConcepts(inner=data, least=self.schedule[-1])

    def check(self, algo: TrajectoryLearner, model: Model, data: ConceptData) -> None:
        with prefix_field_errors("data"):
            data.check_concepts(max(algo.classes, self.schedule[-1]))
            whole, data = data.count_concepts("meta_train"), self.seen(data)
            counts = {half: data.count_concepts(half) for half in ("meta_train", "meta_test")}
            learned, held_out = data.count_examples()
        longest, schedule = self.schedule[-1], f"[{','.join(map(str, self.schedule))}]"
        if counts["meta_train"] < 1:
            raise ConfigError(
                f"protocol.schedule={schedule}: {longest} concepts in sequence are to be held out for validation, but the data "
                f"has {whole} for meta-training, and some must be left. Use a shorter schedule, or protocol.eval_split=test."
            )
        left = str(counts["meta_train"])
        if counts["meta_train"] < whole:
            left += f", {whole - counts['meta_train']} others being held out for validation"
        if longest > counts["meta_test"]:
            raise ConfigError(
                f"protocol.schedule={schedule}: asks for {longest} concepts in sequence, but the data has "
                f"{counts['meta_test']} for meta-test"
            )
        if self.chooses(algo) and self.lr_selection == "train" and longest > counts["meta_train"]:
            raise ConfigError(
                f"protocol.schedule={schedule}: the rate for {longest} concepts in sequence is to be chosen on meta-train "
                f"ones, of which there are {left}. Use a shorter schedule, or a single one of protocol.rates."
            )
        drawn_from = counts["meta_train"] - counts["meta_train"] // 2 if algo.halves else counts["meta_train"]
        with prefix_field_errors("algo"):
            most = f"must be at most the {drawn_from} meta-train concepts that trajectories are drawn from"
            require(algo.classes <= drawn_from, "classes", algo.classes, most)
            most = (
                f"with {algo.step_examples} examples a step and query_examples={algo.query_examples} a trajectory takes "
                f"{algo.examples_per_class} examples of a concept, but each has {learned + held_out}"
            )
            require(algo.examples_per_class <= learned + held_out, "class_steps", algo.class_steps, most)
            most = f"must divide the {learned} examples of a concept that are learned at meta-test"
            require(learned % algo.step_examples == 0, "step_examples", algo.step_examples, most)
            if data.objective is not CLASSIFICATION:
                require(algo.remember == 0, "remember", algo.remember, "must be 0: a function has no place of its own")
        shown = algo.classes * algo.examples_per_class + algo.remember
        numbers = algo.meta_batch_size * shown * math.prod(data.input_shape)
        refuse_beyond_memory(numbers, f"algo.meta_batch_size={algo.meta_batch_size}", "a meta-batch of trajectories")
        network, params = self.network(algo, model, data, 0, torch.float32, None)
        refuse_batch_norm(network.module, model, "model=oml_small, model=conv4_image_small")
        algo.init(network, params)

    def network(
        self,
        algo: TrajectoryLearner,
        model: Model,
        data: ConceptData,
        seed: int,
        dtype: torch.dtype,
        compute_dtype: torch.dtype | None,
    ) -> tuple[Network, Params]:
        """The network of one replicate, with an output for every class that is ever learned together with others."""
        outputs = data.outputs_for(max(data.count_concepts("meta_train"), self.schedule[-1]))
        with prefix_field_errors("model"):
            module, params = initial_params(model, data.input_shape, algo.num_outputs(outputs), seed, dtype)
        return Network(module, outputs, compute_dtype, objective=data.objective), params

    def count_units(self, algo: TrajectoryLearner, data: ConceptData) -> int:
        return self.updates

    def load(self, data: ConceptData, seeds: Sequence[int]) -> ConceptPool:
        return self.seen(data).load_concepts()

    def check_ranks(self, algo: TrajectoryLearner, ranks: int) -> None:
        if algo.trains and self.updates:
            refuse_more_ranks_than_episodes(ranks, algo.meta_batch_size)

    def run(self, run: Run) -> Outcome:
        return _TrajectoryLoop(self, run).run()


class _TrajectoryLoop(Loop):
    """Loaded concepts, the meta-update and the plan of meta-test. Units: meta-updates, then the parts of meta-test."""

    remedy = "A smaller algo.inner_lr or algo.outer_lr, or algo.clip_norm=10"

    def __init__(self, settings: MetaContinual, run: Run) -> None:
        self.settings, self.algo, self.data = settings, run.algo, settings.seen(run.data)
        self.objective = self.data.objective
        self.pool: ConceptPool = run.stream
        self.updates = settings.updates if self.algo.trains else 0
        starts = [0, *settings.schedule]
        self.sizes = [end - start for start, end in zip(starts, settings.schedule, strict=False)]
        what = "classes" if self.objective is CLASSIFICATION else "functions"
        names = [f"{what} {start + 1} to {end}" for start, end in zip(starts, settings.schedule, strict=False)]
        super().__init__(
            run,
            task_names=[names for _ in run.seeds],
            units_per_task=self.updates,
            unit_name=settings.unit_name,
            log_every=settings.log_every,
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            notes=self.pool.notes,
        )
        drawn = [
            settings.network(self.algo, run.model, self.data, seed, self.dtype, run.gpu.compute_dtype) for seed in run.seeds
        ]
        self.network = drawn[0][0]
        self.network.module.to(self.device)
        self.initial = [params for _, params in drawn]
        self.engine = Engine(kind=run.gpu.engine_kind, chunk=run.gpu.chunk, shards=run.ranks.shards)
        halves: tuple[Half, Half] = "meta_train", "meta_test"
        self.counts: dict[Half, int] = {half: self.data.count_concepts(half) for half in halves}
        self.learned, self.held_out = self.data.count_examples()
        self.meta_test = MetaTest(
            self.algo,
            self.network,
            self.pool,
            Engine(kind="loop" if run.gpu.engine_kind == "loop" else "vmap"),
            counts=self.counts,
            learned=self.learned,
            held_out=self.held_out,
            outputs=self.network.ways,
            device=self.device,
            dtype=self.dtype,
        )
        self.rates = settings.rates if self.algo.uses_rate else [0.0]

    # --------------------------------------------------------------------------------------------------- meta-training

    def fresh_states(self) -> list[State]:
        return [self.algo.start(self.network, params) for params in self.initial]

    def prepare(self) -> None:
        self.width = self.algo.fresh_width(self.network, self.initial[0])
        self._step = self.engine.prepare(
            self.engine.over_replicates(lambda s, e: self.algo.meta_update(self.network, self.engine, self.updates, s, e))
        )
        self.plan = self._planned()
        self.total = self.updates + len(self.plan)

    def step(self, unit: int) -> dict[str, Tensor]:
        self.position.state, metrics = self._step(self.position.state, self._trajectories(unit))
        return metrics

    def _trajectories(self, unit: int) -> Trajectory:
        """[R, E, ...] what one meta-update learns from."""
        each = {"concepts": self.counts["meta_train"], "examples": self.learned + self.held_out, "width": self.width}
        together = max(self.algo.classes, self.settings.schedule[-1])
        places = None if self.objective is CLASSIFICATION else together
        drawn = draw(self.algo, self.pool, self.run_.seeds, unit, **each, places=places, dtype=self.dtype)
        return tree_map(lambda leaf: leaf.to(self.device), drawn)

    # ---------------------------------------------------------------------------------------------------------- the loop

    @property
    def shown_tasks(self) -> list[list[str]]:
        return [["meta-training"]] * self._replicates

    @property
    def _task(self) -> int:
        return 0

    @property
    def _within(self) -> int:
        return self.position.unit

    @property
    def _evaluation_due(self) -> bool:
        unit = self.position.unit
        return unit == self.updates or (self.eval_every > 0 and unit % self.eval_every == 0)

    def begin(self) -> None:
        if "begun" not in self.position.settled:
            self.position.settled["begun"] = True
            self._probe()

    def advance(self) -> bool:
        if self.position.unit < self.updates:
            return super().advance()
        begun = time.monotonic()
        done = self.position.unit - self.updates
        work = self.plan[done]
        self._do(work)
        self.position.unit += 1
        self.position.evaluate_s += time.monotonic() - begun
        self._record("meta_test_progress", done=done + 1, of=len(self.plan), text=TEXTS[work.phase])
        return True

    def look_around(self) -> None:
        if self.position.unit <= self.updates and self._evaluation_due:
            self._probe()
        if self.position.unit == self.total:
            self._conclude()

    def scores(self, tasks: range, *, whole: bool) -> Evaluation:
        raise NotImplementedError  # this protocol probes and meta-tests instead

    def _probe(self) -> None:
        """A meta-test of the first number of concepts at the learner's own rate."""
        if not self.eval_every or not self.updates:
            return
        begun = time.monotonic()
        length, rate = self.settings.schedule[0], getattr(self.algo, "inner_lr", 0.0)
        found = [self._scores("meta_test", r, range(self.settings.orders), [rate], [length]) for r in range(self._replicates)]
        self.position.evaluate_s += time.monotonic() - begun
        held_out, memory = (torch.stack(part).mean((1, 2, 3, 4)).tolist() for part in zip(*found, strict=True))
        self._record("probe", length=length, memory=memory, **{self._score: held_out})

    @property
    def _score(self) -> str:
        return self.objective.score_name

    @property
    def _replicates(self) -> int:
        return len(self.run_.seeds)

    # --------------------------------------------------------------------------------------------------------- meta-test

    def _planned(self) -> list[Work]:
        """Every part of meta-test; how many orders are learned at once is settled at the first start."""
        settings, settled = self.settings, self.position.settled
        if "orders_at_once" not in settled:
            meta = self._meta(0)
            settled["orders_at_once"] = self.meta_test.orders_at_once(meta, len(self.rates), self.run_.gpu.memory_bytes)
            settled["meta_test"] = {phase: [[] for _ in self.run_.seeds] for phase in PHASES}
        return planned(
            replicates=self._replicates,
            selection_orders=settings.selection_orders if self._selects_on == "train" else 0,
            orders=settings.orders,
            joint_segments=len(settings.schedule) if settings.joint_epochs else 0,
            at_once=settled["orders_at_once"],
        )

    @property
    def _selects_on(self) -> Literal["train", "test"] | None:
        return self.settings.lr_selection if self.settings.chooses(self.algo) else None

    @property
    def _findings(self) -> Findings:
        return Findings(
            results=self.position.settled["meta_test"],
            schedule=self.settings.schedule,
            rates=self.rates,
            chosen_on=self._selects_on,
            objective=self.objective,
        )

    def _meta(self, replicate: int) -> Any:
        return tree_map(lambda leaf: leaf[replicate], self.position.state["meta"])

    def _scores(self, half: Half, replicate: int, orders: Any, rates: list[float], points: list[int], of: Any = None) -> Scores:
        given = torch.tensor(rates, dtype=self.dtype, device=self.device)
        seed, meta = self.run_.seeds[replicate], self._meta(replicate)
        every, shards = list(orders if of is None else of), self.engine.shards.of(len(orders))
        own, key = orders[shards.own(len(orders))], min(self.position.unit, self.updates)
        scores = self.meta_test.run(meta, half, seed, own, given, points, of=every, key=key)
        return shards.joined(scores, len(orders))

    def _do(self, work: Work) -> None:
        settings, results = self.settings, self.position.settled["meta_test"][work.phase][work.replicate]
        if work.phase == "select":
            every = range(settings.selection_orders)
            scores = self._scores("meta_train", work.replicate, work.orders, self.rates, settings.schedule, every)
            results.append(self._findings.at_points(scores.held_out))
        elif work.phase == "test":
            rates = self._findings.rates_of_test(work.replicate)
            points = [0, *settings.schedule]
            results.append(tuple(self._scores("meta_test", work.replicate, work.orders, rates, points, range(settings.orders))))
        else:
            rate = self._findings.chosen(work.replicate)[work.segment]
            length, seed = settings.schedule[work.segment], self.run_.seeds[work.replicate]
            meta, longest, key = self._meta(work.replicate), settings.schedule[-1], self.updates
            shards = self.engine.shards.of(len(work.orders))
            own = work.orders[shards.own(len(work.orders))]
            found = self.meta_test.joint(meta, seed, own, length, rate, settings.joint_epochs, longest=longest, key=key)
            results.append(shards.joined(found, len(work.orders)))

    def _conclude(self) -> None:
        """Puts the parts together: matrix, record of meta-test."""
        held_out, _ = self._findings.along_one_rate()
        self.position.matrix = torch.stack([part.mean((1, -1)) for part in held_out.split(self.sizes, -1)], -1)
        self.run_.store.write_matrix(self.position.matrix.numpy())
        metas = [self._meta(replicate) for replicate in range(self._replicates)]
        content = {
            **self._findings.content(uses_rate=self.algo.uses_rate),
            "representation": describe(self.network, metas, self._images(LOOKED_AT, self.held_out)),
            "gate": gate_activity(self.network, metas, self._images(GATED_CONCEPTS * self.held_out, self.held_out)),
        }
        self.position.settled["content"] = content
        self._record("meta_test", **content)

    def _images(self, most: int, each: int) -> Tensor:
        """[concepts, each, ...] held-out examples of the first meta-test concepts, about `most` in all."""
        concepts = min(self.counts["meta_test"], -(-most // each))
        which = np.broadcast_to(self.learned + np.arange(each), (concepts, each))
        what = np.broadcast_to(np.arange(concepts)[:, None], which.shape)
        return self.pool.gather("meta_test", what, which, np.zeros_like(which))[0].to(self.dtype)

    # ----------------------------------------------------------------------------------------------------------- outcome

    def _outcome(self, status: Status) -> Outcome:
        outcome = super()._outcome(status)
        content = self.position.settled.get("content")
        also = {}
        if content is not None:
            also["memory"] = np.array(content["memory"])[:, -1].mean(-1)
            if content["joint"] is not None:
                also[f"joint_{self._score}"] = np.array(content["joint"])[:, -1].mean(-1)
        return replace(
            outcome,
            evaluations=outcome.evaluations._replace(probes=NO_PROBES),
            probe_tasks=[],
            units=min(outcome.units, self.updates),
            sizes=self.sizes,
            also=also,
            details={} if content is None else {"meta_test": content},
        )
