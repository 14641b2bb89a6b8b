"""Imports torchvision where the published wheel cannot be imported: next to a CPU-only torch.

That wheel is built against CUDA, its C++ library does not load, and registering the meta kernels then fails with
"operator torchvision::nms does not exist" (pytorch/vision issues 9077 and 9085). The two operators only have to be
declared; nothing here calls them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def torchvision_module(name: str) -> ModuleType:
    """A module of torchvision, as `datasets`; declares the missing operators where its import fails for want of them."""
    try:
        return importlib.import_module(f"torchvision.{name}")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for module in [module for module in sys.modules if module.split(".")[0] == "torchvision"]:
        del sys.modules[module]  # half-imported
    _declare_operators()
    return importlib.import_module(f"torchvision.{name}")


@functools.cache
def _declare_operators() -> torch.library.Library:
    """Declares the operators. The cache keeps the Library alive: its operators vanish with it."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    return library
