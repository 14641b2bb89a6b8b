"""What the parts of a meta-test under `meta_continual` amount to: which rate is chosen, and the scores at the rates chosen.

A sequence of N concepts is judged at the rate chosen for N. What follows one learner along a sequence (the matrix, and with it
forgetting and every other difference) is at a single rate, the one chosen for the longest: rows at different rates would
compare learners of which none ever was where the other ended.

Shapes: R replicates, S segments of the schedule, L candidate rates, O orders, P = S + 1 points of testing (0 concepts first), N
concepts of the longest sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from metacl_run.protocols.meta_continual.meta_test import Scores
from metacl_run.scoring.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A view of the results, which may not be complete yet.

    Attributes:
        results: by phase and replicate, the parts in the order in which they were done. "select": [O, L, S] means over the
            concepts learned by then. "test": pairs (held out, memory), each [O, rates run, P, N]. "joint": [O], a segment each.
        schedule: [S] numbers of concepts, increasing.
        rates: [L].
        chosen_on: whose concepts the rate is chosen on, "train" or "test", the reported ones; None: there is no choice.
        objective: what scores are.
    """

    results: Mapping[str, Sequence[list[Any]]]
    schedule: Sequence[int]
    rates: Sequence[float]
    chosen_on: Literal["train", "test"] | None
    objective: Objective

    @property
    def replicates(self) -> int:
        return len(self.results["test"])

    # ------------------------------------------------------------------------------------------------ the choice of rates

    def at_points(self, held_out: Tensor) -> Tensor:
        """[O, L, S] mean over the concepts learned by then, from [O, L, S, N]."""
        means = [held_out[:, :, s, :length].mean(-1) for s, length in enumerate(self.schedule)]
        return torch.stack(means, -1)

    def selection(self, replicate: int) -> Tensor | None:
        """[S, L] mean score of each candidate on what the rate is chosen on."""
        if self.chosen_on == "train":
            found = torch.cat(self.results["select"][replicate])
        elif self.chosen_on == "test":
            found = self.at_points(torch.cat([held_out for held_out, _ in self.results["test"][replicate]])[:, :, 1:])
        else:
            return None
        return found.mean(0).T

    def chosen(self, replicate: int) -> list[float]:
        """[S] the rate for each number of concepts."""
        selection = self.selection(replicate)
        if selection is None:
            return [self.rates[0]] * len(self.schedule)
        better = selection if self.objective.higher_is_better else -selection
        return [self.rates[index] for index in better.nan_to_num(-torch.inf).argmax(1).tolist()]

    def rates_of_test(self, replicate: int) -> list[float]:
        """The rates that are run at meta-test, in the order of the candidates."""
        if self.chosen_on == "test":
            return list(self.rates)
        chosen = self.chosen(replicate)
        return [rate for rate in self.rates if rate in chosen]

    # -------------------------------------------------------------------------------------------------- the conclusion

    def at_chosen_rates(self) -> Scores:
        """Both [R, O, P, N] float64, after each number of concepts at the rate chosen for it."""
        return self._at([self.chosen(replicate) for replicate in range(self.replicates)])

    def along_one_rate(self) -> Scores:
        """Both [R, O, P, N] float64, all at the rate chosen for the longest sequence."""
        return self._at([[self.chosen(replicate)[-1]] * len(self.schedule) for replicate in range(self.replicates)])

    def _at(self, rates: Sequence[Sequence[float]]) -> Scores:
        """Both [R, O, P, N] float64 at the [R][S] rates after each number of concepts; before any, where no rate has been used,
        at the first."""
        held_out: list[Tensor] = []
        memory: list[Tensor] = []
        for replicate in range(self.replicates):
            ran = self.rates_of_test(replicate)
            index = [ran.index(rate) for rate in (rates[replicate][0], *rates[replicate])]
            parts_of = zip(*self.results["test"][replicate], strict=True)
            for kept, parts in zip((held_out, memory), parts_of, strict=True):
                whole = torch.cat(parts)
                kept.append(torch.stack([whole[:, rate, point] for point, rate in enumerate(index)], 1))
        return Scores(torch.stack(held_out).double(), torch.stack(memory).double())

    def content(self, *, uses_rate: bool) -> dict[str, Any]:
        """What the records and the summary say of the meta-test, as plain lists; see `storage/sequence_records.py`."""
        score, (shown, recalled) = self.objective.score_name, self.at_chosen_rates()
        replicates = range(self.replicates)
        selections = [self.selection(replicate) for replicate in replicates]
        return {
            "score": score,
            "lengths": list(self.schedule),
            "rates": list(self.rates) if uses_rate else None,
            "tuned_on": self.chosen_on,
            "chosen": [self.chosen(replicate) for replicate in replicates] if uses_rate else None,
            "rate_of_matrix": [self.chosen(replicate)[-1] for replicate in replicates] if uses_rate else None,
            "selection": None if selections[0] is None else [each.tolist() for each in selections],  # type: ignore[union-attr]
            score: self._by_order(shown),
            "memory": self._by_order(recalled),
            "joint": [torch.stack(found).tolist() for found in self.results["joint"]] if self.results["joint"][0] else None,
            "by_place": {score: shown[:, :, -1].mean(1).tolist(), "memory": recalled[:, :, -1].mean(1).tolist()},
        }

    def _by_order(self, values: Tensor) -> list[Any]:
        """[R][S][O] mean over the concepts learned by then, from [R, O, P, N]."""
        means = [values[:, :, point, :length].mean(-1) for point, length in enumerate(self.schedule, 1)]
        return torch.stack(means, 1).tolist()
