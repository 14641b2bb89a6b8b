"""Which trials a search ends early, on curves whose right answer is plain."""

from __future__ import annotations

import numpy as np

from metacl_run.sweeps.pruning import Curve, falls_behind, share_done

TASKS = 10


def curve(first: float, last: float, tasks: int = TASKS) -> dict[int, float]:
    """A score that falls evenly from the first task to the last."""
    values = np.linspace(first, last, tasks)
    return {share_done(task + 1, tasks): float(value) for task, value in enumerate(values)}


def ended_after(own: Curve, others: list[Curve], *, higher_is_better: bool = True) -> int | None:
    """After how many thousandths a trial with this curve is ended."""
    for share in own:
        so_far = {place: value for place, value in own.items() if place <= share}
        if falls_behind(so_far, others, higher_is_better=higher_is_better):
            return share
    return None


OTHERS = [curve(0.95, 0.80 + 0.001 * i) for i in range(5)]


def test_a_trial_that_forgets_is_ended_and_the_most_stable_one_is_not() -> None:
    """Optuna's pruner kept the first of these curves to its end, and ended the second after its first task."""
    assert ended_after(curve(0.96, 0.20), OTHERS) == 500
    assert ended_after(curve(0.90, 0.88), [*OTHERS, curve(0.96, 0.20)]) is None


def test_trials_are_compared_at_the_same_share_of_the_stream() -> None:
    """With batches of ten a run of 1,000 units is over; with batches of one it has done its first task."""
    falling = np.linspace(0.95, 0.5, 10).tolist()
    others = [{share_done(unit, 10_000): value for unit, value in zip(range(1000, 10_001, 1000), falling, strict=True)}] * 5
    own = {share_done(unit, 1000): 0.93 for unit in range(100, 1001, 100)}
    assert ended_after(own, others) is None


def test_a_median_needs_five_others_that_came_as_far() -> None:
    bad = curve(0.3, 0.1)
    assert ended_after(bad, OTHERS[:4]) is None
    stopped = {share: value for share, value in OTHERS[0].items() if share <= 600}
    assert ended_after(bad, [*OTHERS[:4], stopped]) == 500
    assert ended_after({700: 0.1}, [*OTHERS[:4], stopped]) is None


def test_probes_at_other_moments_count_by_the_last_one_before() -> None:
    often = [dict.fromkeys(range(50, 1001, 50), 0.5)] * 5
    assert ended_after({575: 0.4}, often) == 575
    assert ended_after({575: 0.6}, often) is None


def test_an_error_is_behind_when_it_is_larger() -> None:
    assert ended_after(curve(2.0, 2.0), [curve(1.0, 1.0)] * 5, higher_is_better=False) == 500
    assert ended_after(curve(0.5, 0.5), [curve(1.0, 1.0)] * 5, higher_is_better=False) is None
