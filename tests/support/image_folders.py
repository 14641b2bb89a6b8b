"""Folders of image files for `data=image_folder`, and the images that reach a learner of each protocol from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.pngs import GREY, png

SIDE = 8
RAMP = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
LEVEL = RAMP * 4
"""[8, 8] from 0 to 252."""
RGB = np.stack([LEVEL, 255 - LEVEL, LEVEL.T], -1)
GOOD = png(LEVEL, GREY, 8)
"""An image file with nothing wrong."""

SETTINGS: dict[str, dict[str, Any]] = {
    "continual_meta": {"num_tasks": 1, "ways": 2, "shots": 1, "queries": 1, "test_classes": 0.5},
    "online": {"num_tasks": 1, "test_examples": 1, "normalize": "none"},
    "meta_continual": {"meta_test_classes": 0.5, "test_examples": 1},
}
"""By protocol: what four classes of three images suffice for."""


def equal_images(root: Path, content: bytes, name: str = "image{}.png") -> Path:
    """Makes four classes of three image files, all with the same content."""
    for number in range(4):
        (root / f"class{number}").mkdir(parents=True)
        for index in range(3):
            (root / f"class{number}" / name.format(index)).write_bytes(content)
    return root


def noise_images(root: Path, counts: Sequence[int]) -> Path:
    """Makes a class for each entry of `counts`, with so many images of noise."""
    rng = np.random.default_rng(0)
    for number, count in enumerate(counts):
        (root / f"class{number}").mkdir(parents=True)
        for index in range(count):
            (root / f"class{number}" / f"{index}.png").write_bytes(png(rng.integers(0, 256, (SIDE, SIDE)), GREY, 8))
    return root


def images_under(protocol: str, make: Callable[..., Any], root: Path, *, channels: int) -> np.ndarray:
    """[N, channels, SIDE, SIDE] in [0, 1]: images of the folder as a learner receives them, all checked and loaded anew."""
    stream = make("image_folder", protocol, root=str(root), channels=channels, image_size=SIDE, **SETTINGS[protocol])
    return IMAGES_OF[protocol](stream).reshape(-1, channels, SIDE, SIDE)


def _of_episodes(stream: Any) -> np.ndarray:
    stream.check(examples_per_class=2, replay_classes=None, split="test")
    episode = stream.load([0]).sample(np.array([[0, 0]]), "test", shots=1, queries=1, rngs=[np.random.default_rng(0)])
    return episode.support_x.numpy()


def _of_samples(stream: Any) -> np.ndarray:
    stream.check()
    pool = stream.load([0])
    return np.concatenate([pool.gather(0, np.arange(pool.samples_per_task)).x, pool.test(0, None)[0].x])


def _of_concepts(stream: Any) -> np.ndarray:
    stream.check(2)
    pool, index = stream.load([0]), np.arange(2)
    return np.concatenate([pool.gather(split, index, index, index)[0] for split in ("meta_train", "meta_test")])


IMAGES_OF: dict[str, Callable[[Any], np.ndarray]] = {
    "continual_meta": _of_episodes,
    "online": _of_samples,
    "meta_continual": _of_concepts,
}
