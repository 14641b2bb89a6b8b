"""Any command line has an answer: status 0 or 1, and then one message that names what is wrong; never a traceback or a hang.

Command lines are drawn at random from the keys of all shipped configs. They are answered in this process; what they would start
is left out.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from metacl_run import experiment
from metacl_run.cli import exit_status
from metacl_run.config import config_dir
from metacl_run.sweeps import sweep
from metacl_run.sweeps.job import COMPLETED, Ended

GROUPS = ("algo", "model", "data", "protocol", "gpu", "logger")
TOP = ("seeds", "insight", "output_dir", "rerun", "progress", "sweep.status", "search.trials", "search.metric", "table.size")
LIMIT_S = 10.0
"""Processor time that an answer may take here, beside other tests; a budget is two seconds."""
TYPED = """
0 -1 1 2 0.5 1e-9 1e9 1e30 1e300 1e400 inf -inf nan true null 1000000000 1000000000000 0x10 1_000 007 2024-01-01 1:30
fast größe 日本 🙂 a=b a:b a/b ../x ~ ~nobody/x /dev/null/x * # ! %s {0} a\\b `ls` $(ls) $HOME int(x) float(1)
[] [1] [0,1] [[1],[2]] [1, {} {a:1} {a:{b:{c:1}}} [null] [a,b] [1e999] 'a 'it''s' '' "a
${seeds} ${nope} ${oc.env:NOPE} ${oc.env:HOME} ${ ${algo} ${.}
a,b 1,2 , choice(1,2) choice() range(0,3) range(0,0) range(0,1,0) range(0,1e15) interval(0,1) glob(*) glob(
sort(2,1) shuffle(1,2) tag(a,choice(1,2))
"""
"""Values as one would type them, a word each."""
VALUES = [*TYPED.split(), "", "a b", "' '", "1" + "0" * 400, "9" * 5000, "x" * 300, "[" * 30]
ANY_KEY = re.compile(rf"\b({'|'.join(GROUPS)})[.=]")
"""Of a key that was not given: an option has values of its own, which may not fit."""
FLAGS = ("-m", "--multirun", "--cfg", "--nope", "--resolve", "--version", "--config-dir", "--info", "-mm", "--", "-")


class Key(NamedTuple):
    """A setting of a shipped option, and what chooses the option."""

    name: str
    choice: tuple[str, ...]


def shipped() -> list[Key]:
    keys = [Key(name, ()) for name in TOP]
    for group in GROUPS:
        for path in sorted((config_dir() / group).glob("*.yaml")):
            settings = [name for name in yaml.safe_load(path.read_text(encoding="utf-8")) if name != "defaults"]
            keys += [Key(f"{group}.{name}", (f"{group}={path.stem}",)) for name in settings]
        keys.append(Key(group, ()))
    return keys


KEYS = shipped()


def drawn(rng: random.Random) -> list[str]:
    """A command line: mostly one or two settings of one option, some with flags, prefixes or misspelt keys."""
    key = rng.choice(KEYS)
    words = [*key.choice, _override(key.name, rng)]
    while rng.random() < 0.3:
        words.append(_override(rng.choice(KEYS).name, rng))
    if rng.random() < 0.2:
        words += ["-m", "sweep.status=true"]
    if rng.random() < 0.15:
        words.append(rng.choice(FLAGS))
    rng.shuffle(words)
    return words


def _override(key: str, rng: random.Random) -> str:
    if rng.random() < 0.1:
        place = rng.randrange(len(key))
        key = key[:place] + rng.choice(["", "x", ".", "@", "ü", "/", " ", "="]) + key[place + 1 :]
    return rng.choice(["", "", "", "", "", "", "+", "++", "~"]) + key + "=" + rng.choice(VALUES)


def key_of(word: str) -> str:
    """What a message about a word must have of it: its whole key, or the flag."""
    return word.partition("=")[0].lstrip("+~")[:100]


Answer = Callable[..., tuple[int, str]]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    """The exit status of words and what they print on stderr; nothing is run."""
    monkeypatch.setattr(experiment, "run", lambda built, ranks: 0)
    monkeypatch.setattr(sweep, "run", lambda jobs, launch: [Ended(COMPLETED) for _ in jobs])
    monkeypatch.setattr(sweep, "stored", lambda jobs: [Ended(COMPLETED) for _ in jobs])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METACL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("METACL_DATA", str(tmp_path / "data"))

    def ask(*words: str) -> tuple[int, str]:
        status = exit_status(words)
        return status, capsys.readouterr().err

    return ask


def mistakes(words: Sequence[str], ask: Answer) -> list[str]:
    """What is wrong with the answer to a command line."""
    began = time.process_time()
    try:
        status, said = ask(*words)
    except BaseException as error:  # whatever it is, it should not have come out
        return [f"{words}: raised {type(error).__name__}: {str(error)[:300]}"]
    took = time.process_time() - began
    wrong = []
    if took > LIMIT_S:
        wrong.append(f"took {took:.1f} s")
    if status not in (0, 1):
        wrong.append(f"status {status}")
    if "Traceback" in said or "HYDRA_FULL_ERROR" in said:
        wrong.append("speaks of itself")
    if status == 1 and not said.startswith("metacl-run: "):
        wrong.append("no message" if not said.strip() else "another message")
    if status == 1 and not any(key_of(word) in said for word in words) and not ANY_KEY.search(said):
        wrong.append("names no key")
    return [f"{words}: {', '.join(wrong)}: {said[:600]}"] if wrong else []


def test_any_command_line_is_answered(answer: Answer) -> None:
    rng = random.Random(0)
    assert not [mistake for _ in range(300) for mistake in mistakes(drawn(rng), answer)]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_command_lines_are_answered(answer: Answer) -> None:
    rng = random.Random(1)
    assert not [mistake for _ in range(5000) for mistake in mistakes(drawn(rng), answer)]
