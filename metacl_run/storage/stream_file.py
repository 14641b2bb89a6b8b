"""Reads stream.npz (`protocols/osaka/stream_record.py`). Shapes: R replicates, U steps, D domains."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metacl_run.storage.optional_file import read_optional


class StreamSteps(NamedTuple):
    """The steps of a completed stream."""

    score: np.ndarray
    """[R, U] float32, of predictions made before learning."""
    detected: np.ndarray
    """[R, U] bool, whether the learner took the task to have changed."""
    is_switch: np.ndarray
    """[R, U] bool, whether it had."""
    domain: np.ndarray
    """[R, U] int32, from 0."""


TYPES = {"score": np.float32, "detected": np.bool_, "is_switch": np.bool_, "domain": np.int32}


def read(path: Path) -> StreamSteps | None:
    """Returns what the file says; see `read_optional`."""
    return read_optional(path, _read)


def _read(path: Path) -> StreamSteps:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        steps = StreamSteps(*(arrays[name] for name in StreamSteps._fields))
    if {array.shape for array in steps} != {steps.score.shape} or steps.score.ndim != 2:
        raise ValueError("arrays of different shapes")
    if any(array.dtype != TYPES[name] for name, array in steps._asdict().items()):
        raise ValueError("arrays of other types")
    return steps
