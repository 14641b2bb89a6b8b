"""Probes of meta-training under `meta_continual`: small meta-tests between meta-updates.

With `protocol.keep=best` they learn validation concepts, which nothing else uses, and decide which state is tested.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_map

from metacl_run.protocols.evaluator import Evaluator
from metacl_run.protocols.keeping import keep_better, return_to_best
from metacl_run.protocols.meta_continual.prepared_sequences import PreparedSequences
from metacl_run.protocols.meta_continual.sequence_runner import SequenceRunner
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.progress import Progress


@dataclass(frozen=True, kw_only=True)
class ProbeEvaluator(Evaluator):
    """Learns sequences of `length` of the setup's meta-test concepts at one rate, and records the scores; fills no matrix.

    Attributes:
        progress: of the run.
        setup: the learner, and the concepts.
        length: concepts in sequence.
        orders: sequences.
        rate: of SGD; 0 for a learner that needs none.
        eval_every: meta-updates between probes; 0: none.
        budget: bytes that the sequences learned together may take.
        keeps_best: whether the state with the best held-out score is the learner's in the end, the untrained one among them.
    """

    progress: Progress
    setup: SequenceSetup
    length: int
    orders: int
    rate: float
    eval_every: int
    budget: int
    keeps_best: bool

    def begin(self) -> None:
        if not self.progress.state.evaluations:
            self.evaluate()

    def is_due(self, units_done: int) -> bool:
        is_last = units_done == self.progress.training_units
        return is_last or (self.eval_every > 0 and units_done % self.eval_every == 0)

    def evaluate(self) -> None:
        if not self.eval_every:
            return
        state, begun, runner = self.progress.state, time.monotonic(), SequenceRunner(self.setup)
        scores, shares = [], self._parts(runner)
        for replicate, seed in enumerate(self.setup.seeds):
            meta = tree_map(lambda leaf: leaf[replicate], state.learner["meta"])  # noqa: B023
            sequences = PreparedSequences(self.setup, meta, "meta_test", seed, orders=self.orders, length=self.length)
            parts = [runner.learn(sequences, orders, [self.rate], [self.length]) for orders in shares]
            scores.append([torch.cat(values) for values in zip(*parts, strict=True)])
        state.evaluate_s += time.monotonic() - begun
        state.evaluations += 1
        held_out, memory = (torch.stack(values).mean((1, 2, 3, 4)) for values in zip(*scores, strict=True))
        objective = self.setup.network.objective
        content = {objective.score_name: held_out.tolist(), "memory": memory.tolist()}
        self.progress.record("probe", length=self.length, **content)
        if self.keeps_best:
            keep_better(self.progress, held_out, higher=objective.higher_is_better)
            if state.unit == self.progress.training_units:
                return_to_best(self.progress)

    def _parts(self, runner: SequenceRunner) -> list[range]:
        """The orders that are learned together, as the first probe of the run has chosen."""
        state = self.progress.state
        if "probe_orders_at_once" not in state.fixed_choices:
            meta = tree_map(lambda leaf: leaf[0], state.learner["meta"])
            at_once = runner.orders_at_once(meta, 1, self.budget)
            # Ranks share out parts, so that all must have the same, whatever the memory of their cards.
            state.fixed_choices["probe_orders_at_once"] = self.progress.context.ranks.from_first(at_once)
        at_once = state.fixed_choices["probe_orders_at_once"]
        return [range(first, min(first + at_once, self.orders)) for first in range(0, self.orders, at_once)]
