"""Several data sets as one source, in which every data set is a group of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import ConfigError
from metacl_run.data.images import mnist_files


@pytest.mark.parametrize(
    ("domains", "message"),
    [(["glyphs", "omniglott"], "Did you mean omniglot"), ([], "at least one"), (["mnist", "mnist"], "must all differ")],
)
def test_domains_are_known(make: Callable[..., Any], domains: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.domains=.*{message}"):
        make("domains", domains=domains)


def test_generated_characters_are_no_more_than_can_be_held(make: Callable[..., Any]) -> None:
    changes = {"glyph_classes": 100_000, "image_size": 1024}
    with pytest.raises(
        ConfigError, match=r"^data\.glyph_classes=100000: makes with image_size 2\.1e\+12 pixels; at most 2e\+09"
    ):
        make("domains", **changes)
    make("domains", **changes, domains=["omniglot"])


def test_fashion_mnist_is_a_domain_like_the_others(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder holds images whose grey level is ten times their label."""
    shapes = {name: (60 if name.startswith("train") else 20, *shape[1:]) for name, shape in mnist_files.SHAPES.items()}
    for name, value in {"SHAPES": shapes, "CLOTHES_IMAGES": np.full(10, 8), "CLOTHES_TRAIN_IMAGES": np.full(10, 6)}.items():
        monkeypatch.setattr(mnist_files, name, value)
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, shape in shapes.items():
        labels = np.arange(shape[0]) % 10
        values = np.broadcast_to(10 * labels[:, None, None], shape) if len(shape) == 3 else labels
        content = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes() + values.astype(np.uint8).tobytes()
        (folder / name).write_bytes(content)
    stream = make("domains", root=str(tmp_path), domains=["fashion_mnist", "glyphs"], glyph_classes=60, mnist_images=4)
    stream.check(examples_per_class=2, replay_classes=None, split="test")
    pool = stream.load([0])
    assert pool.task_names == [["fashion mnist", "glyphs"]]
    episode = pool.sample(np.array([[0]]), "test", shots=1, queries=1, rngs=[np.random.default_rng(0)])
    levels = (episode.support_x * 255).round().flatten(3)
    assert (levels == levels[..., :1]).all()
    assert set(levels[..., 0].flatten().tolist()) <= {10.0 * label for label in range(10)}
    assert torch.equal(levels, (episode.query_x * 255).round().flatten(3))  # of the same classes


def test_real_domains(make: Callable[..., Any], real_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METACL_CACHE")  # decoding takes ten seconds: share the user's cache
    stream = make("domains", root=real_data, glyph_classes=60)
    stream.check(examples_per_class=2, replay_classes=None, split="test")
    pool = stream.load([0])
    assert pool.task_names == [["glyphs", "omniglot", "mnist"]]
    assert pool.members["test"].sizes[0, :3].tolist() == [30, 812, 5]
    episode = pool.sample(np.array([[0, 1, 2]]), "test", shots=1, queries=1, rngs=[np.random.default_rng(0)])
    ink = episode.query_x.mean((0, 2, 3, 4, 5))
    assert ((ink > 0.03) & (ink < 0.3)).all()
