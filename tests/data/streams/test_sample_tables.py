"""Which outputs classes have, and how samples are taken evenly from them."""

from __future__ import annotations

import numpy as np

from metacl_run.data.streams.sample_tables import Outputs, draw_evenly


def test_outputs_by_hand() -> None:
    sizes, most = [2, 3, 1], [3, 3, 2]
    domain, classes, task = (Outputs(scenario=scenario, most=most, total=6) for scenario in ("domain", "class", "task"))
    assert [outputs.count() for outputs in (domain, classes, task)] == [3, 6, 8]
    assert [outputs.first(sizes).tolist() for outputs in (domain, classes, task)] == [[0, 0, 0], [0, 2, 5], [0, 3, 6]]
    assert domain.masks() is classes.masks() is None
    assert task.masks().int().tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]]


def test_pools_give_rows_in_turn_until_they_are_used_up() -> None:
    pools = [np.arange(3), 10 + np.arange(9), 20 + np.arange(1), 30 + np.arange(9)]
    for count, expected in ((None, [3, 9, 1, 9]), (4, [1, 1, 1, 1]), (10, [3, 3, 1, 3]), (16, [3, 6, 1, 6])):
        rows, origin = draw_evenly(pools, count, np.random.default_rng(3))
        assert np.bincount(origin, minlength=4).tolist() == expected
        assert len(set(rows.tolist())) == len(rows)
        assert (rows // 10 == origin).all()
    uneven = {tuple(np.bincount(draw_evenly(pools, 9, np.random.default_rng(seed))[1], minlength=4)) for seed in range(60)}
    assert uneven == {(3, 2, 1, 3), (3, 3, 1, 2), (2, 3, 1, 3)}  # the seed decides which pool gives one less


def test_the_order_and_the_choice_are_random() -> None:
    pools = [np.arange(40), 40 + np.arange(40)]
    first, second = (draw_evenly(pools, 20, np.random.default_rng(seed))[0] for seed in range(2))
    assert set(first) != set(second)
    origins = np.stack([draw_evenly(pools, None, np.random.default_rng(seed))[1] for seed in range(400)])
    assert np.abs(origins.mean(0) - 0.5).max() < 0.12  # five standard deviations: no place belongs to a class
    assert abs((origins[:, 1:] == origins[:, :-1]).mean() - 39 / 79) < 0.02  # nor do the classes take turns
