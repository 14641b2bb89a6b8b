"""Results that survive a time limit, and how work on a device is timed."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metacl_run.inner.engine import captured


class Results:
    """A JSON file of items, written after every one."""

    def __init__(self, path: Path) -> None:
        self._path, self._items = path, dict[str, Any]()

    def add(self, name: str, item: dict[str, Any]) -> None:
        self._items[name] = item
        print(f"{name}: {json.dumps(item)[:300]}", flush=True)
        self._path.write_text(json.dumps(self._items, indent=1) + "\n", encoding="utf-8")

    def attempt(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Adds what `measure` returns, or how it failed."""
        try:
            self.add(name, measure())
        except Exception as error:  # the next item may work
            self.add(name, {"error": f"{type(error).__name__}: {str(error)[:300]}"})
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def wait(device: str) -> None:
    """Waits until the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_ms(
    work: Callable[[], object], device: str, *, repeats: int = 20, seconds: float = 2.0, in_graph: bool = True
) -> float:
    """The median time of a call with the device's work, after two calls that are not counted.

    On a card it is the time of the call captured as a graph, which the host does not slow down, unless `in_graph` is false.
    """
    if device == "cuda" and in_graph:
        graph, _result = captured(work, ())
        work = graph.replay
    work(), work(), wait(device)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < repeats and (len(times) < 3 or time.perf_counter() < until):
        begun = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - begun)
    return round(1e3 * statistics.median(times), 4)


def kernels(work: Callable[[], object], device: str) -> dict[str, Any]:
    """Launches of a call, the device's time in them, and the ten that take longest."""
    from torch.profiler import ProfilerActivity, profile

    if device != "cuda":
        work()
        return {}
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        work()
        wait(device)
    count, times = 0, dict[str, float]()
    for event in record.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            count += 1
            times[event.name[:80]] = times.get(event.name[:80], 0.0) + event.device_time_total
    longest = sorted(times.items(), key=lambda item: -item[1])[:10]
    return {"launches": count, "device_ms": round(sum(times.values()) / 1e3, 4), "longest_us": dict(longest)}
