"""Any command line has an answer: status 0 or 1, and then one message that names what is wrong; never a traceback or a hang.

Command lines are drawn at random from the keys of all shipped configs. They are answered in this process; what they would start
is left out.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from metacl_run import experiment
from metacl_run.cli import exit_status, main
from metacl_run.config.components import config_dir
from metacl_run.config.compose import single_experiment
from metacl_run.core.exit_status import COMPLETED
from metacl_run.reproduction import table_command
from metacl_run.sweeps import grid_command
from metacl_run.sweeps.job import JobResult

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


def is_named(key: str, said: str) -> bool:
    """Whether the message has the key, or with its whole content a part above it that is unknown."""
    parts = key.split(".")
    return key in said or any(f"{'.'.join(parts[:count])}={{" in said for count in range(1, len(parts)))


Answer = Callable[..., tuple[int, str]]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Answer]:
    """The exit status of words and what they print on stderr; nothing is run."""
    monkeypatch.setattr(experiment, "run", lambda built, ranks: 0)
    for module in (grid_command, table_command):
        monkeypatch.setattr(module, "run_jobs", lambda jobs, launch: [JobResult(COMPLETED) for _ in jobs])
        monkeypatch.setattr(module, "stored_results", lambda jobs: [JobResult(COMPLETED) for _ in jobs])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METACL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("METACL_DATA", str(tmp_path / "data"))

    def ask(*words: str) -> tuple[int, str]:
        status = exit_status(words)
        return status, capsys.readouterr().err

    handlers = list(logging.root.handlers)
    yield ask
    logging.root.handlers[:] = handlers  # --info has left one of this test's output


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
    if status == 1 and not any(is_named(key_of(word), said) for word in words) and not ANY_KEY.search(said):
        wrong.append("names no key")
    return [f"{words}: {', '.join(wrong)}: {said[:600]}"] if wrong else []


ZEROS = "1" + "0" * 400
NAMED = [
    (["describe=data"], "describe=data: is a group; `metacl-run list data` lists its options, describe=data/NAME says more"),
    (["lists"], "lists: there is no such command. Did you mean list?"),
    (["--help", "algo=../algo/er"], "algo=../algo/er: there is no such option."),
    (["describe=algo/../algo/er"], "algo=../algo/er: there is no such option."),
    (["--nope"], "unrecognized arguments: --nope"),
    (["--config-dir"], "argument --config-dir/-cd: expected one argument"),
    (["--config-dir", "/nowhere"], "--config-dir=/nowhere: there is no such folder"),
    (["--config-name", "nope"], "--config-name: there is one"),
    (["--config-path", "/nope"], "--config-path: the shipped options cannot be replaced"),
    (["--experimental-rerun", "/nope"], "--experimental-rerun: would run what a pickle says"),
    (["-m", "--cfg", "job"], "--cfg: does not go with --multirun"),
    (["--cfg", "job", "algo=nope"], "algo=nope: there is no such option."),
    (["--help", "algo=nope"], "algo=nope: there is no such option."),
    (["--help", "algo.nope"], "algo.nope: settings have the form key=value"),
    (["--cfg", "job", "table=mer"], "table=mer: has no place in the config of one run, which --cfg job shows"),
    (["--cfg", "job", "hydra/launcher=joblib"], "hydra/launcher=joblib: has no place in the config of one run"),
    (["evaluate=nowhere"], "evaluate=nowhere: there is no such folder"),
    (["--cfg", "job", "algo.nope=1"], "algo.nope=1: Maml has no such setting."),
    (["--cfg", "job", "--resolve", "output_dir=${nope}"], "Interpolation key 'nope' not found"),
    (["--shell-completion", "nope"], "Expecting one subcommand"),
    (["algo=nope"], "Options of one's own come with --config-dir FOLDER."),
    (["data=../data/rotated_digits"], "data=../data/rotated_digits: must be the plain name of an option"),
    (["algo=sgd.yaml"], "algo=sgd.yaml: must be the plain name of an option"),
    (["pair=nope"], "pair=nope: follows from algo, model and data"),
    (["hydra.run.dir=/dev/null/x"], "hydra.run.dir=/dev/null/x: has no effect on a single run"),
    (["hydra.job.chdir=true"], "hydra.job.chdir=true: has no effect on a single run"),
    (
        ["-m", "hydra.job.chdir=true"],
        "hydra.job.chdir=true: has no effect; of Hydra's settings a sweep looks at",
    ),
    (["=1"], "=1: settings have the form key=value"),
    (["a=1"] * 1001, "more than 1000 settings"),
    (["~algo"], "~algo: every run has one option of a group"),
    (["experiment=../experiment/oml"], "experiment=../experiment/oml: must be the plain name of an option"),
    (["algo.inner_lr=-1"], "algo.inner_lr=-1: must be greater than 0, or null; null learns the rates"),
    (["-m", "search.trials=2", "algo.inner_lr=glob(*)"], "algo.inner_lr=glob(*): gives no values to sweep over"),
    (["~sweep"], "~sweep: sweep cannot be left out"),
    (["-m", "sweep=null"], "sweep=null: must have the settings status"),
    (["-m", "search=1"], "search=1: must have the settings trials, metric"),
    (["-m", "sweep.status=true,false"], "sweep.status=true,false: takes one value"),
    (["-m", "search.trials=0", "algo.inner_lr=0.1,0.2"], "search.trials=0: must be at least 1"),
    (["search.trials=2"], "search.trials=2: goes with metacl-run -m"),
    (["sweep.status=false"], "sweep.status=false: goes with metacl-run -m"),
    (["table.size=smoke"], "table.size=smoke: has no effect without table=<name>"),
    (["-m", "algo.inner_lr=range(0,0)"], "algo.inner_lr=range(0,0): gives no values to sweep over"),
    (["-m", "algo.inner_lr=range(0,1,0)"], "algo.inner_lr=range(0,1,0): gives no values to sweep over"),
    (["-m", "algo=glob(nope*)"], "algo=glob(nope*): gives no values to sweep over"),
    (["-m", "data.shots=range(0,1e12)"], "data.shots=range(0,1e12): makes more than 10000 jobs"),
    (["k" * 10_000 + "=1"], "a key has at most 200 characters"),
    (["algo" + ".y" * 60 + "=1"], "is nested more than 20 levels deep"),
    (["seeds=" + "[" * 500], "is nested more than 20 levels deep"),
    ([f"protocol.checkpoint_every={ZEROS}"], "(401 characters): must be from -"),
    (["algo.inner_steps=" + "9" * 5000], "algo.inner_steps=999"),
    (["output_dir=" + "d" * 300], "a folder's name has at most 255 bytes"),
    (
        ["algo=er", "data=split_mnist", "data.root=~nosuchuser/x"],
        "data.root=~nosuchuser/x: there is no home folder of that user",
    ),
    (["output_dir=${output_dir}"], "output_dir: Recursive interpolation detected"),
    (["seeds=[" + ",".join(map(str, range(1001))) + "]"], "must have at most 1000 entries"),
    (["data.num_classes=1000000000000000000"], "data.num_classes=1000000000000000000: must be at most 100000"),
    (["model.channels=1000000"], "model: Conv4 would have 2.7e+13 parameters"),
    (["algo.meta_batch_size=1000000"], "algo.meta_batch_size=1000000: a meta-batch of episodes would be 7.8e+09 numbers"),
    (["data=sinusoid", "model=oml_small"], "model: OmlNetwork takes images"),
    (["data=sinusoid", "model=anml_small"], "model: Anml takes images"),
    (["data=split_cifar10", "algo=maml"], "Algorithms for these data: a_gem, anml_er, c_maml, der_pp, er"),
    (
        ["algo.outer_lr=-1", "algo.meta_batch_size=0", "protocol.log_every=0"],
        "algo.meta_batch_size=0: must be at least 1\nalgo.outer_lr=-1: must be greater than 0\nprotocol.log_every=0: must be",
    ),
    (["algo=er", "data=planar_skills", "algo.buffer=balanced"], "algo.buffer=balanced: must be another one for real targets"),
    (
        ["algo=er", "algo.buffer=ring", "algo.memory=30"],
        "algo.buffer=ring: keeps one sample or more of each of the 10 classes of each of 10 tasks, 100 in all, but",
    ),
    (
        ["algo=a_gem", "data=split_cifar10", "data.blur=0.1", "algo.buffer=ring", "algo.memories_per_task=9"],
        "algo.buffer=ring: keeps one sample or more of each of the 10 classes of each of 5 tasks, 50 in all, but",
    ),
    (
        ["algo=la_maml", "algo.inner_batch=3", "algo.memory=5"],
        "algo.inner_batch=3: must be 1 to batch_size=10, and divide it\nalgo.replay=10: must be at most memory=5",
    ),
]


@pytest.mark.parametrize(("words", "message"), NAMED, ids=[" ".join(words)[:60] for words, _ in NAMED])
def test_a_mistake_is_one_message(words: list[str], message: str, answer: Answer) -> None:
    status, said = answer(*words)
    assert message in said
    assert status == 1


FINE = [
    ["output_dir=X", "-m", "data.shots=1,2", "sweep.status=true", "data.queries=2"],
    ["-m", "algo=glob(*maml)", "sweep.status=true"],
    ["-m", "experiment=glob(sinusoid_*)"],
    ["-m", "seeds=0,1", "output_dir=größe/a=b"],
    ["seeds=3", "--run"],
    ["experiment=null", "table=null"],
    ["--cfg", "job", "algo=er", "--package", "algo"],
    ["--info", "defaults-tree", "algo=er"],
    ["--version"],
    ["--hydra-help"],
]


@pytest.mark.parametrize("words", FINE, ids=[" ".join(words) for words in FINE])
def test_these_are_right(words: list[str], answer: Answer) -> None:
    assert answer(*words) == (0, "")


def test_paths_do_not_move_and_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    relative, home = single_experiment(["output_dir=runs"], None), single_experiment(["output_dir='~/runs'"], None)
    assert relative.output_dir == tmp_path / "runs"
    assert home.output_dir == tmp_path / "home" / "runs"
    assert relative.run_id == home.run_id
    assert single_experiment(["seeds=3"], None).run_id == single_experiment(["seeds=[3]"], None).run_id


@pytest.mark.timeout(900)  # seconds on a free core
def test_any_command_line_is_answered(answer: Answer) -> None:
    rng = random.Random(0)
    assert not [mistake for _ in range(75) for mistake in mistakes(drawn(rng), answer)]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_command_lines_are_answered(answer: Answer) -> None:
    rng = random.Random(1)
    assert not [mistake for _ in range(5000) for mistake in mistakes(drawn(rng), answer)]


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_idle_threads_of_the_command_soon_sleep(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, given.get(name, ""))  # so that what the command sets is taken back
        if name not in given:
            monkeypatch.delenv(name)
    monkeypatch.setattr("sys.argv", ["metacl-run", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert os.environ.get("GOMP_SPINCOUNT") == expected
