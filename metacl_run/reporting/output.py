"""Writes one derived file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from metacl_run.errors import StorageError


def write_whole(path: Path, content: bytes) -> Path:
    """Puts `content` at `path` by renaming a finished neighbour; StorageError when the disk does not let it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
