"""Models that normalise every image alone: of images that would be left with one position nothing could be learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metacl_run.core.errors import SettingError
from metacl_run.models.anml import Anml
from metacl_run.models.conv4 import Conv4
from metacl_run.models.network import Model, Network, initial_params
from metacl_run.models.resnet18 import ResNet18


def conv4(**changes: Any) -> Conv4:
    return Conv4(**{"channels": 3, "blocks": 4, "down": "stride", "features": "flatten", "norm": "image", **changes})


ANML = Anml(channels=3, gate_channels=2)
RESNET = ResNet18(channels=2, norm="image")


@pytest.mark.parametrize(
    ("model", "side", "message"),
    [
        (
            conv4(),
            16,
            r"^blocks=4: is too many for 16x16 images with model\.norm=image and model\.down=stride: .* one position",
        ),
        (ANML, 21, r"^channels=3: needs images of at least 22x22, not 21x21: .* one position"),
        (RESNET, 8, r"^norm=image: needs images of at least 9x9, not 8x8: .* one position"),
    ],
)
def test_images_that_become_one_position_are_refused(model: Model, side: int, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        model.build((1, side, side), 5)


@pytest.mark.parametrize(
    ("model", "shape"),
    [(conv4(), (17, 17)), (conv4(), (16, 17)), (conv4(down="maxpool"), (16, 16)), (ANML, (22, 18)), (RESNET, (9, 8))],
)
def test_the_smallest_images_have_outputs_of_their_own(model: Model, shape: tuple[int, int]) -> None:
    module, params = initial_params(model, (1, *shape), 5, 0, torch.float64)
    outputs = Network(module, 5)(params, torch.rand(4, 1, *shape, dtype=torch.float64))
    assert outputs.std(0).max() > 1e-3


def test_the_norm_of_a_batch_does_without() -> None:
    conv4(norm="batch").build((1, 16, 16), 5)
    ResNet18(channels=2, norm="batch").build((1, 8, 8), 5)
