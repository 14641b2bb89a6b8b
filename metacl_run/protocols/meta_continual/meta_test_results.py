"""Aggregates meta-test results: the rate chosen for each length, and scores at these rates.

A sequence of N concepts is reported at the rate chosen for N. The accuracy matrix, and with it forgetting and every other
difference, is at a single rate, the one chosen for the longest sequence: rows at different rates would be of
different learners.

Shapes: R replicates, S segments of the schedule, L candidate rates, O orders, P = S + 1 points of testing (0 concepts first), N
concepts of the longest sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metacl_run.protocols.meta_continual.meta_test_plan import MetaTestPlan
from metacl_run.protocols.meta_continual.sequence_runner import SequenceScores
from metacl_run.scoring.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class MetaTestResults:
    """A view of the results so far.

    Attributes:
        parts: by stage and replicate, the results of the parts in the order in which they were done. "select": [O, L, S] means
            over the concepts learned by then. "test": pairs (held out, memory), [O, rates run, P, N] each. "joint": [O], one
            segment after another. "untrained": pairs (held out, memory), [O, S] each, means over the concepts learned by then.
        plan: of the meta-test.
        objective: what scores are.
    """

    parts: Mapping[str, Sequence[list[Any]]]
    plan: MetaTestPlan
    objective: Objective

    @property
    def replicates(self) -> int:
        return len(self.parts["test"])

    # ------------------------------------------------------------------------------------------------ the choice of rates

    def at_points(self, held_out: Tensor) -> Tensor:
        """[O, L, S] mean over the concepts learned by then, from [O, L, S, N]."""
        means = [held_out[:, :, s, :length].mean(-1) for s, length in enumerate(self.plan.schedule)]
        return torch.stack(means, -1)

    def selection(self, replicate: int) -> Tensor | None:
        """[S, L] mean score of each candidate on the concepts used to choose the rate; None where there is no choice."""
        if self.plan.chosen_on == "train":
            scores = torch.cat(self.parts["select"][replicate])
        elif self.plan.chosen_on == "test":
            scores = self.at_points(torch.cat([held_out for held_out, _ in self.parts["test"][replicate]])[:, :, 1:])
        else:
            return None
        return scores.mean(0).T

    def chosen(self, replicate: int) -> list[float]:
        """[S] the rate for each number of concepts."""
        selection = self.selection(replicate)
        if selection is None:
            return [self.plan.rates[0]] * len(self.plan.schedule)
        better = selection if self.objective.higher_is_better else -selection
        return [self.plan.rates[index] for index in better.nan_to_num(-torch.inf).argmax(1).tolist()]

    def rates_of_test(self, replicate: int) -> list[float]:
        """The rates that are run at meta-test, in the order of the candidates."""
        if self.plan.chosen_on == "test":
            return list(self.plan.rates)
        chosen = self.chosen(replicate)
        return [rate for rate in self.plan.rates if rate in chosen]

    # ------------------------------------------------------------------------------------------- scores at these rates

    def at_chosen_rates(self) -> SequenceScores:
        """Held-out and memory scores, each [R, O, P, N] float64, after each number of concepts at the rate chosen for it."""
        return self._at([self.chosen(replicate) for replicate in range(self.replicates)])

    def along_one_rate(self) -> SequenceScores:
        """Held-out and memory scores, each [R, O, P, N] float64, all at the rate chosen for the longest sequence."""
        return self._at([[self.chosen(replicate)[-1]] * len(self.plan.schedule) for replicate in range(self.replicates)])

    def _at(self, rates: Sequence[Sequence[float]]) -> SequenceScores:
        """Held-out and memory scores, each [R, O, P, N] float64, after each number of concepts at the [R][S] rates.

        The point with 0 concepts used no rate; it is read at the first."""
        held_out: list[Tensor] = []
        memory: list[Tensor] = []
        for replicate in range(self.replicates):
            run_rates = self.rates_of_test(replicate)
            index = [run_rates.index(rate) for rate in (rates[replicate][0], *rates[replicate])]
            for scores, parts in zip((held_out, memory), zip(*self.parts["test"][replicate], strict=True), strict=True):
                whole = torch.cat(parts)
                scores.append(torch.stack([whole[:, rate, point] for point, rate in enumerate(index)], 1))
        return SequenceScores(torch.stack(held_out).double(), torch.stack(memory).double())

    def content(self, *, uses_rate: bool) -> dict[str, Any]:
        """The results as records and summary have them, as plain lists; see `storage/sequence_records.py`."""
        score, (held_out, memory) = self.objective.score_name, self.at_chosen_rates()
        selections = [self.selection(replicate) for replicate in range(self.replicates)]
        chosen = [self.chosen(replicate) for replicate in range(self.replicates)]
        joint, lengths = self.parts["joint"], len(self.plan.schedule)
        return {
            "score": score,
            "lengths": list(self.plan.schedule),
            "rates": list(self.plan.rates) if uses_rate else None,
            "tuned_on": self.plan.chosen_on,
            "chosen": chosen if uses_rate else None,
            "rate_of_matrix": [rates[-1] for rates in chosen] if uses_rate else None,
            "selection": [scores.tolist() for scores in selections if scores is not None] or None,
            score: self._by_order(held_out),
            "memory": self._by_order(memory),
            "joint": [torch.cat(own).unflatten(0, (lengths, -1)).tolist() for own in joint] if joint[0] else None,
            "untrained": self._untrained(),
            "by_place": {score: held_out[:, :, -1].mean(1).tolist(), "memory": memory[:, :, -1].mean(1).tolist()},
        }

    def _untrained(self) -> dict[str, Any] | None:
        """{score: [R][S][O], "memory": the same} of class means of random features; None where there is no such baseline."""
        parts = self.parts["untrained"]
        if not parts[0]:
            return None
        by_replicate = [[torch.cat(values).T.tolist() for values in zip(*chunks, strict=True)] for chunks in parts]
        held_out, memory = (list(values) for values in zip(*by_replicate, strict=True))
        return {self.objective.score_name: held_out, "memory": memory}

    def _by_order(self, values: Tensor) -> list[Any]:
        """[R][S][O] mean over the concepts learned by then, from [R, O, P, N]."""
        means = [values[:, :, point, :length].mean(-1) for point, length in enumerate(self.plan.schedule, 1)]
        by_order: list[Any] = torch.stack(means, 1).tolist()
        return by_order
