"""Triton's kernels against torch operations: interpreted, compiled for a card that is not there, and run on one that is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.config.load import Experiment
from metacl_run.inner.engine import Engine
from metacl_run.kernels.norm_relu_pool import fused, reference
from metacl_run.models.network import Network, initial_params
from tests.support import norm_blocks
from tests.support.episodes import toy_episode

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
Run = Callable[..., None]

CASES = [
    *(((2, 2, 7, 5), 1, -0.7), ((2, 2, 7, 5), 3, 1.3), ((4, 1, 3, 3), 2, 0.0)),
    *(((2, 1, 19, 22), 2, -0.7), ((1, 1, 34, 6), 3, -0.7), ((2, 1, 3, 41), 2, 1.3)),
]
"""Odd sides, images narrower than a window is wide, several blocks, channels that a scale of 0 or less turns around."""


@pytest.mark.parametrize(("size", "pool", "scale"), CASES)
def test_equals_torch_operations(size: tuple[int, ...], pool: int, scale: float, interpreted: Run) -> None:
    interpreted(norm_blocks.check_against_reference, size, pool, scale, torch.float64, "cpu", 1e-9)


@pytest.mark.parametrize(("axes", "twice"), [((1, None, None), True), ((0, 0, None), False), ((None, 1, 0), False)])
def test_vmap_equals_a_loop(axes: tuple[int | None, ...], twice: bool, interpreted: Run) -> None:
    interpreted(norm_blocks.check_under_vmap, axes, 2, twice, "cpu", 1e-9)


def test_layout_does_not_matter(interpreted: Run) -> None:
    interpreted(norm_blocks.check_layouts, 2, "cpu", 1e-9)


def test_an_equal_window_goes_to_its_first_element(interpreted: Run) -> None:
    interpreted(norm_blocks.check_ties, "cpu")


def test_every_image_alone(interpreted: Run) -> None:
    interpreted(norm_blocks.check_every_image_alone, "cpu")


def test_bf16_is_computed_in_float32(interpreted: Run) -> None:
    interpreted(norm_blocks.check_reduced, torch.bfloat16, "cpu")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_shows(interpreted: Run) -> None:
    interpreted(norm_blocks.check_what_is_not_finite_shows, 2, "cpu")


@pytest.mark.parametrize(("name", "pointers"), [("forward", 4), ("backward", 7), ("double_backward", 10)])
def test_compiles_for_a_card(name: str, pointers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from metacl_run.kernels import norm_relu_pool_triton

    kernel = getattr(norm_relu_pool_triton, f"_{name}")
    real = triton.language.float32
    constants = {"H": 7, "W": 9, "P": 2, "EPS": 1e-5, "REAL": real, "BLOCK": 64, "WINDOWS": 16}
    names = kernel.arg_names
    types = {key: "constexpr" if key in constants else "i64" for key in names} | dict.fromkeys(names[:pointers], "*bf16")
    source = ASTSource(kernel, types | {"C": "i32", "N": "i32"}, {(names.index(key),): constants[key] for key in constants})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})
    assert compiled.asm["cubin"]
    assert " atom." not in compiled.asm["ptx"]


# ------------------------------------------------------------------------------------------------------------- on a card


@pytest.mark.gpu
@pytest.mark.parametrize(("size", "pool", "scale"), CASES[:4])
def test_a_card_equals_torch_operations(size: tuple[int, ...], pool: int, scale: float) -> None:
    norm_blocks.check_against_reference(size, pool, scale, torch.float64, "cuda", 1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(5, 64, 28, 28), (25, 4, 84, 84), (1, 4096, 3, 3)])
def test_a_card_in_float32(size: tuple[int, ...]) -> None:
    """Compared with float64 of the same values; which of two nearly equal elements wins may differ in a few of a million."""
    *args, weights = (tensor.cuda() for tensor in norm_blocks.inputs(size, 1.3, torch.float32))
    exact = norm_blocks.second_derivative(norm_blocks.scalar(reference, 2, weights.double()))(*(t.double() for t in args))
    actual = norm_blocks.second_derivative(norm_blocks.scalar(fused, 2, weights))(*args)
    for one, wanted in zip(actual, exact, strict=True):
        assert (one - wanted).norm() < 1e-3 * wanted.norm()


@pytest.mark.gpu
def test_a_card_has_vmap_layouts_ties_and_what_is_not_finite() -> None:
    for axes in ((0, 0, 0), (1, None, None), (2, 0, None), (None, 1, 0)):
        for twice in (False, True):
            norm_blocks.check_under_vmap(axes, 2, twice, "cuda", 1e-9)
    norm_blocks.check_layouts(2, "cuda", 1e-9)
    norm_blocks.check_ties("cuda")
    norm_blocks.check_what_is_not_finite_shows(2, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_card_computes_reduced_types_in_float32(dtype: torch.dtype) -> None:
    norm_blocks.check_reduced(dtype, "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("norm", ["batch", "image"])
def test_a_meta_gradient_on_a_card_equals_that_of_the_cpu(norm: str, experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=maml", "model=conv4", "model.channels=8", "model.blocks=2", f"model.norm={norm}")
    module, params = initial_params(built.model, (1, 28, 28), 3, 0, torch.float64)
    episodes = toy_episode(episodes=3, size=28)

    def gradient(device: str) -> list[torch.Tensor]:
        network = Network(module.to(device), 3)
        meta, batch = tree_map(lambda leaf: leaf.to(device), ({"params": params}, episodes))
        update = lambda episode: built.algo.episode_update(network, meta, {}, episode).direction  # noqa: E731
        return [leaf.cpu() for leaf in tree_leaves(Engine(kind="vmap").mean(update, batch))]

    for on_card, on_cpu in zip(gradient("cuda"), gradient("cpu"), strict=True):
        assert_close(on_card, on_cpu, rtol=1e-7, atol=1e-9)
