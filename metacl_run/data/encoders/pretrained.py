"""What the encoders that are pretrained networks have in common: where they run, and what a broken one is called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from metacl_run.core.errors import DataError, UserError, described


def encoding_device() -> torch.device:
    """The first CUDA device where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def one_message(name: str, instead: str) -> Iterator[None]:
    """Turns what a broken network raises in the depths of another package into one DataError.

    Args:
        name: of the encoder.
        instead: what works without it.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, UserError):
        raise
    except Exception as error:
        raise DataError(f"data.encoder={name}: the model cannot be used ({described(error)}); {instead}.") from None
