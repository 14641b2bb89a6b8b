"""The sine functions of OML: their ranges, and the seed that decides them."""

from __future__ import annotations

import numpy as np

from metacl_run.data.sources.sine_functions import SineFunctions


def test_functions_are_sines_with_amplitudes_and_phases_in_their_ranges() -> None:
    x, y = (values[..., 0] for values in SineFunctions(generator_seed=0).draw(300, 45))
    assert np.abs(x).max() <= 5
    for xs, ys in zip(x, y, strict=True):
        basis = np.stack([np.sin(xs), np.cos(xs)], axis=1)
        coefficients, *_ = np.linalg.lstsq(basis, ys, rcond=None)
        np.testing.assert_allclose(basis @ coefficients, ys, atol=1e-9)
        assert 0.1 <= np.hypot(*coefficients) <= 5.1
        assert coefficients[1] >= 0  # a phase in 0 to pi


def test_the_generator_seed_decides_the_functions() -> None:
    first, again, other = (SineFunctions(generator_seed=seed).draw(5, 4)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
