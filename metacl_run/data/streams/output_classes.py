"""The classes that the outputs of a network stand for. Shapes: R seeds (replicates), T tasks, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class OutputClasses:
    """Names of the classes, and which of them each output is: under a domain-incremental stream it depends on the task."""

    names: Sequence[str]
    """[C] of all classes of the data."""
    of_output: np.ndarray
    """[R, T, outputs] int64 positions in `names`; -1 for an output that stands for no class of the task."""
