"""Short digests, by which ids, folders and files are told apart."""

from __future__ import annotations

import hashlib


def hex_digest(content: str | bytes, length: int = 12) -> str:
    """The first digits of the SHA-256 of a text or of bytes, in hexadecimal.

    With 12 digits, the chance that any two of a million things have the same is one in 500.

    Letters of file names that are no UTF-8 are taken as they are.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:length]
