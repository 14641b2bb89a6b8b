"""Reads stream.npz (`protocols/osaka/stream_record.py`). Shapes: R replicates, U steps, D domains."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metacl_run.core.errors import StorageError
from metacl_run.core.files import regular_file
from metacl_run.storage.records import COMPUTE_ANEW


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
    """Returns what the file says; None where there is none.

    Raises:
        StorageError: the file is truncated or no such file.
    """
    if not path.exists():
        return None
    try:
        regular_file(path)
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            steps = StreamSteps(*(arrays[name] for name in StreamSteps._fields))
        if {array.shape for array in steps} != {steps.score.shape} or steps.score.ndim != 2:
            raise ValueError("arrays of different shapes")
        if any(array.dtype != TYPES[name] for name, array in steps._asdict().items()):
            raise ValueError("arrays of other types")
        return steps
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise StorageError(f"{path}: is truncated or damaged. {COMPUTE_ANEW}") from None
