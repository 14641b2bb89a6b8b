"""Files of tensors with a digest, which shows whether they are whole: checkpoints, and learners after a task.

Content is nested dicts, lists, tensors and builtins; reading it runs no code.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import keystr, tree_flatten_with_path


def write_digested(path: Path, content: Any) -> None:
    """Writes content and its digest. Raises OSError or, on a full disk, torch's RuntimeError."""
    torch.save({"content": content, "digest": _digest(content)}, path)


def read_digested(path: Path) -> Any:
    """Reads the content, its tensors on the CPU. Raises ValueError, with the reason, where the file is not whole."""
    try:
        stored = torch.load(path, weights_only=True, map_location="cpu")
        whole = stored["digest"] == _digest(stored["content"])
    except Exception as error:  # unpickling garbage may raise anything
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    if not whole:
        raise ValueError("its content does not match its digest")
    return stored["content"]


def _digest(content: Any) -> str:
    """SHA-256 over structure, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for path, leaf in tree_flatten_with_path(content)[0]:
        digest.update(keystr(path).encode())
        if isinstance(leaf, torch.Tensor):
            digest.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            digest.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()
