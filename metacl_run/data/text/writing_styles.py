"""Styles that an English text can be rewritten in by rule. No rule leaves a text without a word.

>>> for name, rewrite in STYLES: print(f"{name}: {rewrite('please tell me how i can get my money back, okay')}")
as it is: please tell me how i can get my money back, okay
formal: kindly inform me how i can obtain my money back, very well
casual: pls tell me how i can get my cash back, k lol
telegraphic: tell how get money back
hurried: please tell me how i can get my mnoey back, okay
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

WRITTEN_OUT = {
    "i'm": "i am", "i'd": "i would", "i'll": "i will", "i've": "i have", "it's": "it is", "what's": "what is",
    "that's": "that is", "where's": "where is", "how's": "how is", "there's": "there is", "let's": "let us", "don't": "do not",
    "doesn't": "does not", "didn't": "did not", "can't": "cannot", "won't": "will not", "isn't": "is not", "wasn't": "was not",
    "haven't": "have not", "you're": "you are", "they're": "they are", "we're": "we are", "couldn't": "could not",
}  # fmt: skip
FORMAL = {
    "please": "kindly", "can you": "would you be so kind as to", "could you": "would you be so kind as to", "tell": "inform",
    "want to": "would like to", "want": "desire", "need": "require", "get": "obtain", "buy": "purchase", "ask": "enquire",
    "help": "assist", "show": "present", "find": "locate", "start": "commence", "stop": "cease", "send": "dispatch",
    "give": "provide", "check": "verify", "think": "believe", "about": "concerning", "thanks": "thank you", "hi": "good day",
    "hello": "good day", "hey": "good day", "okay": "very well", "ok": "very well", "fix": "rectify", "wrong": "incorrect",
    "broken": "defective", "enough": "sufficient", "book": "reserve", "cancel": "revoke", "change": "alter",
}  # fmt: skip
CASUAL = {
    "please": "pls", "you": "u", "your": "ur", "are": "r", "want to": "wanna", "going to": "gonna", "have to": "gotta",
    "give me": "gimme", "let me": "lemme", "thanks": "thx", "thank you": "thx", "tomorrow": "tmrw", "today": "2day",
    "before": "b4", "for": "4", "too": "2", "because": "cuz", "okay": "k", "people": "ppl", "what is": "whats",
    "do not": "dont", "hello": "yo", "money": "cash", "about": "bout", "right now": "rn", "minutes": "mins", "message": "msg",
    "appointment": "appt", "meeting": "mtg", "great": "gr8",
}  # fmt: skip
_WORDS = """
    a an the i i'm i'd i'll i've me my mine we us our you your it its it's this that is am are was were be been do does did
    have has had can could will would shall should may might must to of in on at for from with by as and or but so if please
    thanks thank hello hi hey okay ok just there what's that's let's
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
"""Words that carry least: a telegram goes without them."""


def plain(word: str) -> str:
    """A word in small letters, without punctuation around it."""
    return word.strip('.,;:!?"()').lower()


def _as_it_is(text: str) -> str:
    return text


def _formal(text: str) -> str:
    return _replaced(text, {**WRITTEN_OUT, **FORMAL})


def _casual(text: str) -> str:
    return f"{_replaced(text, CASUAL).replace(chr(39), '')} lol"


def _telegraphic(text: str) -> str:
    words = [plain(word) for word in text.split()]
    return " ".join(word for word in words if word and word not in FUNCTION_WORDS) or text


def _hurried(text: str) -> str:
    """Two letters in the middle of every word of five, seven, ... letters change places."""
    return re.sub(r"[^\W\d_]{5,}", lambda word: _swapped(word[0]), text)


def _swapped(word: str) -> str:
    middle = len(word) // 2
    return word if len(word) % 2 == 0 else word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]


STYLES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("as it is", _as_it_is),
    ("formal", _formal),
    ("casual", _casual),
    ("telegraphic", _telegraphic),
    ("hurried", _hurried),
)
"""The name and the rule of each style; the first changes nothing."""


def _replaced(text: str, words: dict[str, str]) -> str:
    """Puts words in the place of others: whole words, small or capital, longer phrases first."""
    return _pattern(tuple(words)).sub(lambda word: words[word[0].lower()], text)


@lru_cache(maxsize=8)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, longest_first))})(?![\w'])", re.IGNORECASE)
