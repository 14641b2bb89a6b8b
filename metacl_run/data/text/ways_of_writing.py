"""Ways in which a task may write its texts: styles, dropped words, typos.

A way is a rule for words and letters, so it serves every source of texts, generated or real. Task 0 has the texts as they are.
The same text becomes the same text in a task, whatever the seed. Texts are taken as English; no text loses its last word.
Synthetic, as a permutation of pixels is: a paper about real styles needs texts that people wrote in them.
"""

from __future__ import annotations

import abc
import hashlib
import re
from functools import lru_cache

from metacl_run.data.text.writing_styles import STYLES, plain

DROPPED = 0.3
"""The part of the vocabulary that a task with `dropout` does without."""
HABITS = 0.25
"""The part of the alphabet that a task with `typos` has a habit about."""
SHORTEST = 4
"""Letters of a word that may have typos, at least."""
NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopodfdghjklkxcvbnmn", strict=True))
"""The key that is hit instead of each letter."""


class WayOfWriting(abc.ABC):
    """A family of ways, one for every task; the same texts become the same texts, whatever the seed."""

    @abc.abstractmethod
    def rewrite(self, text: str, task: int) -> str:
        """The text as a task has it; task 0 has it as it is."""

    @abc.abstractmethod
    def task_name(self, task: int) -> str:
        """A name of the task, for tables and figures."""


class Style(WayOfWriting):
    """The styles of `writing_styles` in turn: as it is, formal, casual, telegraphic, hurried, as it is, ...

    >>> Style().task_name(3), Style().rewrite("Could you tell me what is on my shopping list?", 3)
    ('telegraphic', 'tell what shopping list')
    """

    def rewrite(self, text: str, task: int) -> str:
        _, rewrite = STYLES[task % len(STYLES)]
        return rewrite(text)

    def task_name(self, task: int) -> str:
        name, turn = STYLES[task % len(STYLES)][0], task // len(STYLES)
        return f"{name} ({turn + 1})" if turn else name


class Dropout(WayOfWriting):
    """Words that a task does without: three tenths of the vocabulary, the same in all of its texts.

    Where no word would be left, the text is as it is.

    >>> [Dropout().rewrite("wake me up at seven on monday", task) for task in (0, 1, 2)]
    ['wake me up at seven on monday', 'me on monday', 'wake up at on']
    """

    def rewrite(self, text: str, task: int) -> str:
        if task == 0:
            return text
        left = [word for word in text.split() if _share("dropout", task, plain(word)) >= DROPPED]
        return " ".join(left) or text

    def task_name(self, task: int) -> str:
        return f"words dropped {task}" if task else "as it is"


class Typos(WayOfWriting):
    """Habits of a task's typist: a quarter of the letters are always dropped, doubled, swapped with the next one or mistaken.

    Only within words of at least four letters, whose first and last letters stay.

    >>> [Typos().rewrite("wake me up at seven on monday", task) for task in (0, 1, 2)]
    ['wake me up at seven on monday', 'wake me up at seebeen on momday', 'wake me up at seevn on mpnday']
    """

    def rewrite(self, text: str, task: int) -> str:
        if task == 0:
            return text
        habits = _habits(task)
        return re.sub(rf"[^\W\d_]{{{SHORTEST},}}", lambda word: _mistyped(word[0], habits), text)

    def task_name(self, task: int) -> str:
        return f"typos {task}" if task else "as it is"


WAYS: dict[str, WayOfWriting] = {"style": Style(), "dropout": Dropout(), "typos": Typos()}
"""By the value of a stream's setting `shift`."""


@lru_cache(maxsize=64)
def _habits(task: int) -> dict[str, str]:
    """What a task makes of a letter, where it has a habit about it."""
    kinds = ("drop", "double", "swap", "mistake")
    return {
        letter: kinds[int(len(kinds) * _share("kind", task, letter))]
        for letter in NEIGHBOURS
        if _share("habit", task, letter) < HABITS
    }


def _mistyped(word: str, habits: dict[str, str]) -> str:
    made, place, last = word[0], 1, len(word) - 1
    while place < last:
        letter = word[place]
        habit = habits.get(letter.lower())
        if habit == "swap" and place + 1 < last:
            made += word[place + 1] + letter
            place += 1
        elif habit == "double":
            made += 2 * letter
        elif habit == "mistake":
            made += NEIGHBOURS.get(letter, letter)
        elif habit != "drop":
            made += letter
        place += 1
    return made + word[last]


@lru_cache(maxsize=2**16)
def _share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone, uniform over them."""
    digest = hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
