"""The phase of meta-test under `meta_continual`: unseen concepts, learned one after another; a unit is a part of the plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from metacl_run.core.types import Pytree
from metacl_run.data.streams.concept_stream import MetaSplit
from metacl_run.protocols.loop import Phase
from metacl_run.protocols.meta_continual.meta_test_plan import STAGES, TEXTS, MetaTestPart, MetaTestPlan
from metacl_run.protocols.meta_continual.meta_test_results import MetaTestResults
from metacl_run.protocols.meta_continual.prepared_sequences import PreparedSequences
from metacl_run.protocols.meta_continual.representation_record import describe, gate_activity
from metacl_run.protocols.meta_continual.sequence_runner import SequenceRunner
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.progress import Progress


class MetaTestPhase(Phase):
    """Chooses the rate, learns the reported sequences, and in the end fills the accuracy matrix.

    The results so far are in `TrainState.results["meta_test"]`, the conclusion in `results["content"]`.

    Args:
        plan: of the meta-test.
        setup: the learner, and the concepts.
        progress: of the run; its meta-updates come before.
        budget: bytes that the sequences learned together may take.
    """

    def __init__(self, plan: MetaTestPlan, setup: SequenceSetup, progress: Progress, budget: int) -> None:
        self._plan, self._setup, self._progress = plan, setup, progress
        self._learner = SequenceRunner(setup)
        self._sequences: tuple[tuple[MetaSplit, int, bool], PreparedSequences] | None = None
        self._means = setup.with_class_means()
        choices, results = progress.state.fixed_choices, progress.state.results
        if "orders_at_once" not in choices:
            at_once, means = self._learner.orders_at_once(self._meta(0), len(plan.rates), budget), SequenceRunner(self._means)
            untrained = means.orders_at_once(self._fresh(0), 1, budget) if plan.has_untrained else 1
            # Ranks share out parts, so that all must have the same, whatever the memory of their cards.
            at_once, untrained = progress.context.ranks.from_first((at_once, untrained))
            choices |= {"orders_at_once": at_once, "untrained_at_once": untrained}
            results["meta_test"] = {stage: [[] for _ in setup.seeds] for stage in STAGES}
        self._parts = plan.parts(len(setup.seeds), choices["orders_at_once"], choices["untrained_at_once"])

    @property
    def length(self) -> int:
        return len(self._parts)

    def step(self, unit: int) -> int:
        begun, part = time.monotonic(), self._parts[unit]
        stages = {"select": self._select, "test": self._test, "joint": self._joint, "untrained": self._untrained}
        result = stages[part.stage](part)
        self._results.parts[part.stage][part.replicate].append(result)
        self._progress.state.evaluate_s += time.monotonic() - begun
        return 1

    def after_step(self) -> None:
        done = self._progress.state.unit - self._progress.training_units
        text = TEXTS[self._parts[done - 1].stage]
        self._progress.record("meta_test_progress", done=done, of=len(self._parts), text=text)
        if done == len(self._parts):
            self._conclude()

    # ----------------------------------------------------------------------------------------------------------- parts

    @property
    def _results(self) -> MetaTestResults:
        parts = self._progress.state.results["meta_test"]
        return MetaTestResults(parts=parts, plan=self._plan, objective=self._setup.network.objective)

    def _meta(self, replicate: int) -> Pytree:
        return tree_map(lambda leaf: leaf[replicate], self._progress.state.learner["meta"])

    def _fresh(self, replicate: int) -> Pytree:
        """The parameters of an untrained network, in the place of what is meta-learned."""
        return {"params": tree_map(lambda leaf: leaf.to(self._setup.device), self._setup.fresh_params[replicate])}

    def _prepared(self, half: MetaSplit, replicate: int, *, untrained: bool = False) -> PreparedSequences:
        """The sequences of one replicate; the last ones are cached, since consecutive parts use the same sequences."""
        key = half, replicate, untrained
        if self._sequences is None or self._sequences[0] != key:
            self._sequences = None  # makes room for the next
            orders = self._plan.selection_orders if half == "meta_train" else self._plan.orders
            prepared = PreparedSequences(
                self._means if untrained else self._setup,
                self._fresh(replicate) if untrained else self._meta(replicate),
                half,
                self._setup.seeds[replicate],
                orders=orders,
                length=self._plan.longest,
            )
            self._sequences = key, prepared
        return self._sequences[1]

    def _select(self, part: MetaTestPart) -> torch.Tensor:
        sequences = self._prepared("meta_train", part.replicate)
        scores = self._learner.learn(sequences, part.orders, self._plan.rates, self._plan.schedule)
        return self._results.at_points(scores.held_out)

    def _test(self, part: MetaTestPart) -> tuple[torch.Tensor, ...]:
        sequences, rates = self._prepared("meta_test", part.replicate), self._results.rates_of_test(part.replicate)
        return tuple(self._learner.learn(sequences, part.orders, rates, [0, *self._plan.schedule]))

    def _joint(self, part: MetaTestPart) -> torch.Tensor:
        length, rate = self._plan.schedule[part.segment], self._results.chosen(part.replicate)[part.segment]
        sequences = self._prepared("meta_test", part.replicate)
        return self._learner.learn_shuffled(sequences, part.orders, length, rate, self._plan.joint_epochs)

    def _untrained(self, part: MetaTestPart) -> tuple[torch.Tensor, ...]:
        """Held-out and memory scores, [O, S] each."""
        sequences = self._prepared("meta_test", part.replicate, untrained=True)
        scores = SequenceRunner(self._means).learn(sequences, part.orders, [0.0], self._plan.schedule)
        return tuple(self._results.at_points(values)[:, 0] for values in scores)

    # ------------------------------------------------------------------------------------------------------ conclusion

    def _conclude(self) -> None:
        """Fills the accuracy matrix and writes the record of the whole meta-test."""
        state, setup = self._progress.state, self._setup
        held_out, _ = self._results.along_one_rate()
        segments = torch.split(held_out, segment_sizes(self._plan.schedule), -1)
        state.scores.matrix = torch.stack([segment.mean((1, -1)) for segment in segments], -1)
        self._progress.context.store.write_matrix(state.scores.matrix.numpy())
        metas = [self._meta(replicate) for replicate in range(len(setup.seeds))]
        content: dict[str, Any] = {
            **self._results.content(uses_rate=setup.algo.sequence_learner.own_rate is not None),
            "representation": describe(setup, metas),
            "gate": gate_activity(setup, metas),
        }
        state.results["content"] = content
        self._progress.record("meta_test", **content)


def segment_sizes(schedule: Sequence[int]) -> list[int]:
    """[S] the concepts that each segment of a schedule adds."""
    return [end - start for start, end in zip([0, *schedule], schedule, strict=False)]
