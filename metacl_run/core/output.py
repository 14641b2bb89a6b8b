"""What a program prints, on terminals that cannot show every letter."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def any_letter_printed() -> Iterator[None]:
    """Inside, a letter that the encoding of the terminal does not have is printed as "?", and does not end the program."""
    strict = [
        stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict"
    ]
    for stream in strict:
        stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream in strict:
            with contextlib.suppress(ValueError):  # it was closed
                stream.reconfigure(errors="strict")
