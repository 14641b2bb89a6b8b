"""A CUDA card that is not there: tensors say they are on "cuda", and operations on them are checked and counted, not computed.

    with fake_card() as card:
        ... a whole run with gpu=cuda ...
    card.phases["unit"].launches

torch's FakeTensorMode propagates shapes, dtypes and devices, and raises for an operation on tensors of two devices. Counted
here, by phase: operations that launch a kernel (one for each operation that is no view: a lower bound), waits of the host for
the card (`.item()`, `.tolist()`, `.cpu()`, a mask as an index), and copies from pageable memory, which wait as well. Within
`capture` whatever a CUDA graph cannot hold raises `NotCapturable`.

Memory is that of the tensors, without workspaces. It cannot show numbers, times, or what a library refuses or waits for inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import shutil
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metacl_run.inner.engine import CudaGraph
from metacl_run.inner.forecast import LiveBytes
from metacl_run.kernels.build import cache_dir

SOURCE = Path(__file__).with_name("no_op_cuda.cpp")
MEMORY = 80 * 10**9
NO_LAUNCH = {
    f"aten::{name}"
    for name in (
        *("alias", "detach", "detach_", "lift", "lift_fresh", "set_", "resize_", "_unsafe_view", "_reshape_alias", "_conj"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "sym_size", "sym_numel", "sym_stride"),
        *("is_same_size", "is_pinned", "_has_same_storage_numel", "_local_scalar_dense", "item"),
    )
} | {"prim::device"}
"""Operations that launch nothing although they are not marked as views."""
READ_BY_HOST = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "_linalg_check_errors"}
"""Operations whose result the host reads from the card to go on."""
NUMBERS = {torch.bool: True, torch.int64: 1, torch.int32: 1}
"""The value that a fake number has for the host; 0.5 for floats."""


class NotCapturable(RuntimeError):  # noqa: N818
    """A CUDA graph cannot hold this."""


@dataclass
class Phase:
    """Counts of one kind of work."""

    calls: int = 0
    launches: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    """By the operation and the line of metacl_run that it comes from."""
    pageable: Counter[str] = field(default_factory=Counter)


class Card:
    """The counts of a fake card, by phase; outside of all phases they are of "rest".

    Args:
        total_memory: bytes.
    """

    def __init__(self, total_memory: int) -> None:
        self.memory, self.total_memory = LiveBytes(), total_memory
        self.phases: dict[str, Phase] = {}
        self._open = ["rest"]
        self._is_capturing = False

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._open.append(name)
        self._now.calls += 1
        try:
            yield
        finally:
            self._open.pop()

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        """Stands for `torch.cuda.graph`: refuses whatever cannot be captured."""
        self._is_capturing = True
        try:
            with self.phase(f"graph of {self.now}"):
                yield
        finally:
            self._is_capturing = False

    @property
    def now(self) -> str:
        """The name of the phase at hand."""
        return self._open[-1]

    def forget_peak(self) -> None:
        self.memory.peak = self.memory.live

    def wait(self, what: str) -> None:
        self._now.waits[f"{what} at {_line()}"] += 1
        self._refuse_in_graph(f"the host waits for the card ({what})")

    def pageable_copy(self) -> None:
        self._now.pageable[_line()] += 1
        self._refuse_in_graph("a copy from pageable memory")

    def index_from_cpu(self) -> None:
        self._refuse_in_graph("an index on the CPU")

    def launch(self, name: str, count: int = 1) -> None:
        self._now.launches += count
        self._now.operations[name] += count

    @property
    def _now(self) -> Phase:
        return self.phases.setdefault(self._open[-1], Phase())

    def _refuse_in_graph(self, what: str) -> None:
        if self._is_capturing:
            raise NotCapturable(f"{what} at {_line()}")


def is_possible() -> bool:
    """Whether there is the compiler that it takes."""
    return shutil.which("g++") is not None


@contextlib.contextmanager
def fake_card(total_memory: int = MEMORY) -> Iterator[Card]:
    """Makes the card, with so many bytes, the device "cuda" of this process."""
    card = Card(total_memory)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_device())
        for patch in _patches(card):
            stack.enter_context(patch)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_Counting(card))
        yield card


class _Counting(TorchDispatchMode):
    def __init__(self, card: Card) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._card = card

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        reads_card = any(leaf.is_cuda for leaf in inputs)
        if name in ("_local_scalar_dense", "item"):
            if reads_card:
                self._card.wait(name)
            return NUMBERS.get(args[0].dtype, 0.5)
        if name in READ_BY_HOST and reads_card:
            self._card.wait(name)
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor) and leaf.is_cuda]
        for leaf in outputs:
            self._card.memory.add(leaf.untyped_storage())
        writes_card = bool(outputs)
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            if isinstance(source, torch.Tensor) and source.is_cuda != writes_card:
                self._transfer(source, args, kwargs)
                return result
        if reads_card and name.startswith(("index", "_index_put")) and any(not leaf.is_cuda and leaf.dim() for leaf in inputs):
            self._card.index_from_cpu()
        if (reads_card or writes_card) and not func.is_view and func._schema.name not in NO_LAUNCH:
            parts = sum(args[10][:2]) if name == "convolution_backward" else 1
            grouped = name.startswith("convolution") and args[9 if name == "convolution_backward" else 8] > 1
            self._card.launch(f"grouped {name}" if grouped else name, parts)
        return result

    def _transfer(self, source: torch.Tensor, args: Any, kwargs: Any) -> None:
        """A copy between host and card: to the host it waits; to the card it waits unless from pinned memory, non-blocking."""
        if source.is_cuda:
            self._card.wait("to the host")
        elif not (source.__dict__.get("is_pinned_fake") and (kwargs.get("non_blocking") or args[2:] == (True,))):
            self._card.pageable_copy()
        else:
            self._card.launch("copy from pinned memory")


def _line() -> str:
    """The innermost line of metacl_run on the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "/metacl_run/" in file and "/tests/" not in file:
            return f"{file.rpartition('/metacl_run/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


# ------------------------------------------------------------------------------------------------------------ the device


@contextlib.contextmanager
def _device() -> Iterator[None]:
    library = ctypes.CDLL(str(_compiled()))
    assert library.no_op_cuda_on() == 1, "there is a fake card already"
    try:
        yield
    finally:
        library.no_op_cuda_off()


def _compiled() -> Path:
    torch_folder = Path(torch.__file__).parent
    digest = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = cache_dir() / f"no-op-cuda-{digest}-py{sys.version_info.minor}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        unfinished = library.with_suffix(f".{digest}.{id(library)}")
        command = ["g++", "-O0", "-std=c++20", "-shared", "-fPIC", f"-I{torch_folder / 'include'}", str(SOURCE)]
        command += [f"-L{torch_folder / 'lib'}", "-lc10", "-ltorch_cpu", "-o", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.replace(library)
    return library


def _patches(card: Card) -> list[Any]:
    properties = types.SimpleNamespace(total_memory=card.total_memory, name="fake card", multi_processor_count=132)
    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "set_device": lambda device: None,
        "current_device": lambda: 0,
        "get_device_properties": lambda device=None: properties,
        "get_device_name": lambda device=None: properties.name,
        "memory_allocated": lambda device=None: card.memory.live,
        "max_memory_allocated": lambda device=None: card.memory.peak,
        "reset_peak_memory_stats": lambda device=None: card.forget_peak(),
        "synchronize": lambda device=None: card.wait("synchronize"),
        "_lazy_init": lambda: None,
        "Stream": lambda: types.SimpleNamespace(wait_stream=lambda stream: None),
        "current_stream": lambda device=None: types.SimpleNamespace(wait_stream=lambda stream: None),
        "stream": lambda stream: contextlib.nullcontext(),
        "CUDAGraph": lambda: types.SimpleNamespace(replay=lambda: card.launch("graph")),
        "graph": lambda graph: card.capture(),
    }
    return [
        mock.patch("metacl_run.kernels.operators.has_triton", return_value=True),
        *(mock.patch(f"torch.cuda.{name}", function) for name, function in cuda.items()),
        mock.patch("torch._subclasses.fake_tensor.init_gpu_context", return_value=None),
        mock.patch.object(FakeTensorMode, "avoid_device_init", property(lambda self: True)),
        mock.patch.object(torch.nn.Module, "_apply", _apply_to_module),
        mock.patch.object(torch.Tensor, "tolist", _tolist(card)),
        mock.patch.object(torch.Tensor, "numpy", _numpy),
        mock.patch.object(torch.Tensor, "pin_memory", _pinned),
        mock.patch.object(CudaGraph, "WARM_UP_CALLS", 0),
    ]


def _tolist(card: Card) -> Callable[[torch.Tensor], Any]:
    real = torch.Tensor.tolist

    def tolist(self: torch.Tensor) -> Any:
        if not isinstance(self, FakeTensor):
            return real(self)
        if self.is_cuda:
            card.wait("tolist")
        return np.full(tuple(self.shape), NUMBERS.get(self.dtype, 0.5)).tolist()

    return tolist


REAL_NUMPY = torch.Tensor.numpy


def _numpy(self: torch.Tensor, *arguments: Any, **settings: Any) -> Any:
    if not isinstance(self, FakeTensor):
        return REAL_NUMPY(self, *arguments, **settings)
    if self.is_cuda:
        raise TypeError("can't convert cuda device type tensor to numpy")
    return np.ones(tuple(self.shape), np.dtype(str(self.dtype).removeprefix("torch.")))


def _pinned(self: torch.Tensor, *_: Any) -> torch.Tensor:
    pinned = self.clone()
    pinned.is_pinned_fake = True  # type: ignore[attr-defined]
    return pinned


def _apply_to_module(self: torch.nn.Module, function: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
    """`Module._apply` without its assignment to `.data`, which a fake tensor of another device refuses."""
    for child in self.children() if recurse else ():
        child._apply(function)
    for name, parameter in self._parameters.items():
        if parameter is not None:
            self._parameters[name] = torch.nn.Parameter(function(parameter.detach()), parameter.requires_grad)
    return self
