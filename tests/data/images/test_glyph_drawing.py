"""Generated characters: repeatable, like ink on paper, and neither too easy nor too hard to tell apart."""

from __future__ import annotations

import numpy as np

from metacl_run.data.images.glyph_drawing import _ink, draw_glyphs, script_sizes


def draw(**changes: int) -> np.ndarray:
    settings = {"num_classes": 60, "num_scripts": 4, "writers": 20, "image_size": 28, "seed": 0}
    return draw_glyphs(**{**settings, **changes})


def test_same_seed_same_pixels() -> None:
    first = draw()
    assert np.array_equal(first, draw())
    assert first.shape == (1200, 1, 28, 28)
    assert not np.array_equal(first, draw(seed=1))


def test_drawings_are_ink_on_paper() -> None:
    pixels = draw(image_size=40).reshape(1200, -1)
    ink = pixels.mean(1) / 255
    assert ((ink > 0.01) & (ink < 0.4)).all()
    assert (pixels.max(1) > 200).all()
    grey = ((pixels > 20) & (pixels < 235)).mean()
    assert 0.01 < grey < 0.2  # edges are anti-aliased, most is ink or paper


def test_a_class_is_recognised_by_its_nearest_drawing_but_not_always() -> None:
    glyphs = draw(num_classes=200).reshape(200, 20, -1) / 255
    rng, right = np.random.default_rng(0), []
    for _ in range(600):
        classes = rng.choice(200, 5, replace=False)
        support, query = glyphs[classes, 3], glyphs[classes, rng.integers(4, 20)]
        distance = ((query[:, None] - support) ** 2).sum(-1)
        right.append((distance.argmin(1) == np.arange(5)).mean())
    assert 0.4 < np.mean(right) < 0.75  # chance is 0.2; raw pixels of Omniglot give 0.47


def test_scripts_have_styles_of_their_own() -> None:
    ink = draw(num_classes=400, num_scripts=8).reshape(8, 50, -1).mean(-1) / 255
    between, within = ink.mean(1).std(), ink.std(1).mean() / np.sqrt(50)
    assert between > 2 * within


def test_ink_of_a_long_line_is_that_of_a_distance_field() -> None:
    pen, x = 0.08, np.linspace(-3, 3, 400)
    line = np.stack([x, np.full_like(x, 0.1)], -1)[None, None]
    ink = _ink(line, np.array([pen]), 28)[0]
    rows = (2 * np.arange(28) + 1) / 28 - 1
    dose = np.exp(-0.5 * ((rows - 0.1) / pen) ** 2)
    paper, black, grey = (1 / (1 + np.exp(-9 * (amount - 0.5))) for amount in (0, 8.5 / 9, dose))
    expected = np.clip((grey - paper) / (black - paper), 0, 1)
    np.testing.assert_allclose(ink, np.repeat(expected[:, None], 28, 1), atol=1e-3)


def test_script_sizes_are_even_and_complete() -> None:
    assert script_sizes(10, 4).tolist() == [3, 3, 2, 2]
