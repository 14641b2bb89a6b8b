"""Launches of Triton's kernels as operators of torch, and whether there can be any.

Triton comes with torch's builds for CUDA on Linux; it is imported at the first launch.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger("metacl_run.kernels")

_LIBRARY = torch.library.Library("metacl_run", "FRAGMENT")


@functools.cache
def has_triton() -> bool:
    """Whether Triton can compile kernels for this process's card; METACL_KERNELS=off forces torch operations on cards too.

    Triton needs a C compiler for the code that launches a kernel, and serves cards from compute capability 7.0 on.
    """
    if os.environ.get("METACL_KERNELS", "on") == "off" or importlib.util.find_spec("triton") is None:
        return False
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        log.warning("no kernels for the card (Triton needs gcc or clang): torch operations are used, which are slower")
        return False
    return torch.cuda.get_device_capability() >= (7, 0)


def define(operator: str, tensors: str, module: str, function: str) -> Callable[..., None]:
    """Defines an operator that launches one kernel on CUDA tensors and fills some of them.

    An operator, unlike the launch in it, is seen by torch's modes: by FakeTensorMode, which has no memory to launch on, and by
    those that count.

    Args:
        operator: its name, in torch.ops.metacl_run.
        tensors: its arguments, as in a schema of torch; those written to are marked Tensor(a!).
        module, function: what to call with the arguments, in this package; imported at the first call.

    Returns:
        the operator.
    """

    def launch(*arguments: Tensor | float | list[int]) -> None:
        getattr(importlib.import_module(f"metacl_run.kernels.{module}"), function)(*arguments)

    def launch_nothing(*_: Tensor | float | list[int]) -> None:
        """What the operator does to tensors without memory: all of them have their shapes already."""

    _LIBRARY.define(f"{operator}({tensors}) -> ()")
    _LIBRARY.impl(operator, launch, "CUDA")
    _LIBRARY.impl(operator, launch_nothing, "Meta")
    return getattr(torch.ops.metacl_run, operator).default  # type: ignore[no-any-return]
