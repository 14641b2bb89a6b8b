"""The shape of examples that are token numbers."""

from __future__ import annotations


class TokenShape(tuple[int, ...]):
    """The shape (length,) of an example that is a row of token numbers, with the number of tokens that there are.

    Attributes:
        vocabulary: token numbers are smaller; 0 is none, and fills up shorter texts.
    """

    vocabulary: int

    def __new__(cls, length: int, vocabulary: int) -> TokenShape:
        shape = super().__new__(cls, (length,))
        shape.vocabulary = vocabulary
        return shape

    def __getnewargs__(self) -> tuple[int, int]:
        return self[0], self.vocabulary
