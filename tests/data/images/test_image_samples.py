"""Augmentation and scaling of images under protocol `online`, against images altered one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.core.randomness import Purpose
from metacl_run.core.types import Observation
from metacl_run.data.images.crop_flip import PADDING, CropFlip
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.protocols.online.observations import Observations
from metacl_run.protocols.online.setup import StreamSetup
from tests.support.runs import context_of

STREAM = [
    *("data=split_glyphs", "data.num_classes=12", "data.num_scripts=3", "data.tasks_from=characters"),
    *(
        "data.num_tasks=2",
        "data.classes_per_task=4",
        "data.image_size=8",
        "data.shift=none",
        "model.hidden=[4]",
        "gpu.threads=1",
    ),
]


@pytest.fixture
def setup_of(experiment: Callable[..., Experiment]) -> Callable[..., StreamSetup]:
    def build(*overrides: str) -> StreamSetup:
        algo = [] if any(word.startswith("algo=") for word in overrides) else ["algo=er", "algo.memory=20"]
        return StreamSetup.of(context_of(experiment(*algo, *STREAM, *overrides, tiny=[])), 1)

    return build


def one_by_one(images: np.ndarray, uniforms: np.ndarray, black: np.ndarray) -> np.ndarray:
    """Each image with a black border, cropped and perhaps mirrored."""
    altered = []
    for image, (row, column, mirror) in zip(images, uniforms, strict=True):
        height, width = image.shape[1:]
        framed = np.tile(black.reshape(-1, 1, 1), (1, height + 2 * PADDING, width + 2 * PADDING))
        framed[:, PADDING : PADDING + height, PADDING : PADDING + width] = image
        top, left = int(row * (2 * PADDING + 1)), int(column * (2 * PADDING + 1))
        crop = framed[:, top : top + height, left : left + width]
        altered.append(crop[:, :, ::-1] if mirror < 0.5 else crop)
    return np.stack(altered)


def test_an_image_is_a_crop_of_itself_in_a_black_frame_perhaps_mirrored() -> None:
    rng = np.random.default_rng(0)
    images, uniforms, black = rng.random((60, 3, 7, 10)), rng.random((60, 3)), np.array([0.0, -1.5, 2.0])
    altered = CropFlip(black=torch.from_numpy(black).view(3, 1, 1)).apply(torch.from_numpy(images), torch.from_numpy(uniforms))
    np.testing.assert_array_equal(altered.numpy(), one_by_one(images, uniforms, black))


def test_a_scale_gives_every_channel_mean_0_and_deviation_1() -> None:
    examples = np.random.default_rng(0).integers(0, 256, (4500, 3, 4, 5)).astype(np.uint8)
    examples[:, 1] //= 3
    examples[:, 2] = 7
    scaled = InputScale.of(examples).apply(torch.from_numpy(examples).double() / 255)
    np.testing.assert_allclose(scaled.mean((0, 2, 3)), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std((0, 2, 3), correction=0), [1, 1, 0], atol=1e-9)


def blocks(setup: StreamSetup) -> Observation:
    return Observations(setup).block(range(0, 4))


def test_batch_and_replayed_samples_are_altered_and_nothing_else(setup_of: Callable[..., StreamSetup]) -> None:
    plain, altered = setup_of(), setup_of("data.augment=crop_flip")
    before, after = blocks(plain), blocks(altered)
    for old, new in ((before.batch, after.batch), (before.replay, after.replay)):
        assert torch.equal(old.y, new.y)
        is_other = (old.x != new.x).flatten(-3).any(-1).double().mean()
        assert is_other > 0.9
    for index, part in enumerate(("order", "weight", "slot", "write")):
        assert torch.equal(getattr(before, part), getattr(after, part)), index
    for get in (lambda own: own.pool.test(1, None)[0].x, lambda own: own.random_samples(0, 1, 9, Purpose.END_OF_TASK).x):
        assert torch.equal(get(plain), get(altered))


def test_images_under_a_shift_are_not_altered_as_if_they_were_plain(setup_of: Callable[..., StreamSetup]) -> None:
    with pytest.raises(ConfigError, match=r"^data\.augment=crop_flip: must be none with data\.shift=permute: "):
        setup_of("data.augment=crop_flip", "data.shift=permute")


def test_a_seed_draws_the_same_alone_as_beside_others_and_wherever_a_run_goes_on(setup_of: Callable[..., StreamSetup]) -> None:
    words = "data.augment=crop_flip"
    together, alone = blocks(setup_of(words, "seeds=[3,5]")), blocks(setup_of(words, "seeds=[5]"))
    later = Observations(setup_of(words, "seeds=[5]")).block(range(2, 4))
    for both, one, resumed in zip(*map(tree_leaves, (together, alone, later)), strict=True):
        assert torch.equal(both[:, 1], one[:, 0])
        assert torch.equal(one[2:4], resumed[:2])


def test_draws_of_tasks_to_come_may_be_left_out(setup_of: Callable[..., StreamSetup]) -> None:
    words = ["algo=gem", "algo.memories_per_task=3", "data.augment=crop_flip"]
    drawn: list[Tensor] = []
    for skips in (True, False):
        observations = Observations(setup_of(*words))
        observations._skips_empty_draws = skips
        drawn.append(observations.block(range(7, 9)).replay.x[:, 0, 0])
    assert torch.equal(*drawn)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_what_is_evaluated_is_scaled_as_what_is_learned(split: str, setup_of: Callable[..., StreamSetup]) -> None:
    plain, scaled = (setup_of(f"data.normalize={kind}", f"protocol.eval_split={split}") for kind in ("none", "channels"))
    shift = [(own.pool.test(0, None)[0].x, own.gather(0, np.arange(30)).x) for own in (plain, scaled)]
    for old, new in zip(*shift, strict=True):
        ratio = (new - new.mean()) / (old - old.mean())
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=1e-4)
    assert scaled.pool.test(0, None)[0].x.min() < 0


def test_a_learner_outside_its_run_scales_its_inputs(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=er", "algo.memory=20", *STREAM, "data.normalize=channels", tiny=[])
    setup = StreamSetup.of(context_of(built), 1)
    (state,) = setup.initial_learners()
    predictor = built.protocol.predictor(built.algo, built.model, built.data, built.gpu, state)
    raw: Any = setup.pool
    x = raw._inputs(torch.arange(5))
    expected = setup.network(state["params"], setup.pool.scale.apply(x))  # type: ignore[attr-defined]
    torch.testing.assert_close(predictor.outputs(x), expected)
    assert not torch.allclose(setup.network(state["params"], x), expected)
