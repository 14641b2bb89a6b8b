"""Every shipped paper table: what a file holds, that it hangs together, and that each of its runs composes at each size."""

from __future__ import annotations

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from metacl_run.config.components import config_dir
from metacl_run.config.load import Experiment
from metacl_run.data.streams.skill_samples import SkillSamples
from metacl_run.protocols.continual_meta.protocol import ContinualMeta
from metacl_run.protocols.meta_continual.protocol import MetaContinual
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import metrics_of
from tests.support.composing import experiment_of
from tests.support.extras import marks_of

TABLES = sorted((config_dir() / "table").glob("*.yaml"))
SIZES = ("paper", "reduced", "smoke")
CONFIDENCES = {"verbatim-source", "secondary", "memory", "weak"}
AT_A_LENGTH = {"accuracy", "memory", "joint_accuracy"}

NUMBER = (int, float)
KEYS: dict[str, Any] = {
    **dict.fromkeys(("title", "unit"), str),
    **dict.fromkeys(("seeds", "departures", "smoke", "reduced", "reduced_seeds", "runs"), list),
}
PAPER_KEYS: dict[str, Any] = {
    **dict.fromkeys(("paper", "where", "spread_is"), str),
    **dict.fromkeys(("arxiv", "spread"), (str, type(None))),
    "published_seeds": int,
    "tolerance": NUMBER,
}
RUN_KEYS: dict[str, Any] = {
    **dict.fromkeys(("overrides", "smoke", "reduced", "departures", "cells"), list),
    "row": str,
    "experiment": (str, type(None)),
}
CELL_KEYS: dict[str, Any] = {
    **dict.fromkeys(("column", "metric"), str),
}
PUBLISHED_KEYS: dict[str, Any] = {
    **dict.fromkeys(("confidence", "source"), str),
    "published": NUMBER,
    "spread": (*NUMBER, type(None)),
}
MAY_RUN: dict[str, Any] = {"seeds": list}
MAY_CELL: dict[str, Any] = {"at": int, "after_steps": int, "note": str}
MAY_PUBLISHED: dict[str, Any] = {"tolerance": NUMBER, "digitised": bool}


@functools.cache
def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def computed(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in table["runs"] if run["experiment"] is not None]


def overrides_of(table: dict[str, Any], run: dict[str, Any], size: str) -> list[str]:
    """What the command line of one run is given, but for where data and runs lie."""
    at_paper = run.get("seeds", table["seeds"])
    seeds = {"paper": at_paper, "reduced": table["reduced_seeds"], "smoke": [0]}[size]
    for_size = [] if size == "paper" else [*table[size], *run[size]]
    return [f"experiment={run['experiment']}", *run["overrides"], *for_size, f"seeds=[{','.join(map(str, seeds))}]"]


@functools.cache
def build(overrides: tuple[str, ...]) -> Experiment:
    """A checked experiment; cached, since tables share runs."""
    return experiment_of(overrides)


def marks(table: dict[str, Any], index: int) -> list[pytest.MarkDecorator]:
    """Of a table of ours the first run of every row is composed always: its other columns change little, and are many."""
    run = computed(table)[index]
    first = [other["row"] for other in computed(table)].index(run["row"]) == index
    words = " ".join([run["experiment"], *run["overrides"]])
    return [*([] if first or table["paper"] is not None else [pytest.mark.slow]), *marks_of(words)]


PAPERS = [path for path in TABLES if read(path)["paper"] is not None]
"""The others are ours alone."""
RUNS = [pytest.param(p, i, id=f"{p.stem}-{i}", marks=marks(read(p), i)) for p in TABLES for i in range(len(computed(read(p))))]
each_table = pytest.mark.parametrize("path", TABLES, ids=[path.stem for path in TABLES])
each_papers_table = pytest.mark.parametrize("path", PAPERS, ids=[path.stem for path in PAPERS])


def check_keys(node: dict[str, Any], must: dict[str, Any], may: dict[str, Any], where: str) -> None:
    assert set(must) <= set(node), f"{where} lacks {set(must) - set(node)}"
    assert set(node) <= set(must) | set(may), f"{where} has {set(node) - set(must) - set(may)}"
    for key, value in node.items():
        kind = {**must, **may}[key]
        assert isinstance(value, kind), f"{where}: {key}={value!r}"
        assert bool in (kind if isinstance(kind, tuple) else (kind,)) or not isinstance(value, bool), (
            f"{where}: {key}={value!r}"
        )


def texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value.strip() == value != "" for value in values)


def seeds(values: list[Any]) -> bool:
    return bool(values) and all(type(seed) is int and seed >= 0 for seed in values) and len(set(values)) == len(values)


# ----------------------------------------------------------------------------------------------------- what a file holds


def test_there_are_tables() -> None:
    assert len(PAPERS) >= 11
    assert len(TABLES) >= 14


@each_table
def test_a_table_has_exactly_these_keys_and_types(path: Path) -> None:
    table = read(path)
    of_paper = path in PAPERS
    check_keys(table, {**KEYS, **(PAPER_KEYS if of_paper else {"paper": type(None)})}, {}, path.stem)
    assert table["unit"] in ("percent", "fraction", "mse")
    assert table.get("tolerance", 1) > 0
    assert seeds(table["seeds"])
    assert seeds(table["reduced_seeds"])
    assert len(table["reduced_seeds"]) <= len(table["seeds"])
    assert len(table["seeds"]) >= FEWEST, "no verdict"
    if of_paper:
        assert (table["spread_is"] == "not over seeds") == (table["published_seeds"] == 1 or table["spread"] is None)
    assert all(texts(table[key]) for key in ("departures", "smoke", "reduced"))
    assert computed(table), "nothing in it is computed"
    must, may = ({**CELL_KEYS, **PUBLISHED_KEYS}, {**MAY_CELL, **MAY_PUBLISHED}) if of_paper else (CELL_KEYS, MAY_CELL)
    for number, run in enumerate(table["runs"]):
        where = f"{path.stem}: run {number}"
        check_keys(run, RUN_KEYS, MAY_RUN, where)
        assert all(texts(run[key]) for key in ("overrides", "departures", "smoke", "reduced")), where
        assert "seeds" not in run or (seeds(run["seeds"]) and len(run["seeds"]) >= FEWEST), where
        assert run["cells"], where
        for cell in run["cells"]:
            check_keys(cell, must, may, f"{where}, {cell.get('column')}")


@each_table
def test_a_run_that_nothing_computes_says_why_and_sets_nothing(path: Path) -> None:
    for run in read(path)["runs"]:
        if run["experiment"] is None:
            assert run["departures"], run["row"]
            assert not any(run[key] for key in ("overrides", "smoke", "reduced")), run["row"]


@each_table
def test_a_row_and_a_column_meet_once(path: Path) -> None:
    pairs = [(run["row"], cell["column"]) for run in read(path)["runs"] for cell in run["cells"]]
    assert len(pairs) == len(set(pairs))


@each_table
def test_seeds_and_places_are_left_to_the_command(path: Path) -> None:
    table = read(path)
    given = [
        table["smoke"],
        table["reduced"],
        *(run[key] for run in table["runs"] for key in ("overrides", "smoke", "reduced")),
    ]
    keys = {override.partition("=")[0] for override in itertools.chain(*given)}
    assert not keys & {"seeds", "experiment", "output_dir", "rerun", "progress", "logger", "data.root", "data"}
    assert not any(key.startswith("gpu") for key in keys)


@each_papers_table
def test_published_numbers_are_possible(path: Path) -> None:
    table = read(path)
    top = {"percent": 100.0, "fraction": 1.0, "mse": math.inf}[table["unit"]]
    for run in table["runs"]:
        for cell in run["cells"]:
            where = f"{run['row']}, {cell['column']}"
            differs = cell["metric"] in ("bti", "bwt", "fwt", "forgetting")
            assert (-top if differs else 0) <= cell["published"] <= top, where
            assert cell["spread"] is None or 0 <= cell["spread"] <= top / 4, where
            assert cell["spread"] is None or table["spread"] is not None, f"{where}: spread of what?"
            assert cell.get("tolerance", 1) > 0, where
            assert cell["confidence"] in CONFIDENCES, where
            assert (cell["confidence"] == "memory") == (cell["source"] == "recollection"), where


@each_papers_table
def test_percent_is_not_mistaken_for_a_fraction(path: Path) -> None:
    """Of all accuracies of a table in percent at least one is above 1; of one in fractions none is."""
    table = read(path)
    levels = [c["published"] for run in table["runs"] for c in run["cells"] if c["metric"] not in ("bti", "forgetting")]
    assert (max(levels) > 1) == (table["unit"] == "percent") or table["unit"] == "mse"


@each_papers_table
def test_retained_is_learned_plus_what_interfered(path: Path) -> None:
    """RA = LA + BTI wherever a row gives all three, to the rounding of what was printed."""
    for run in read(path)["runs"]:
        given = {(cell["column"].rpartition(", ")[0], cell["metric"]): cell["published"] for cell in run["cells"]}
        for stream in {stream for stream, _ in given}:
            parts = [given.get((stream, metric)) for metric in ("accuracy", "learning_accuracy", "bti")]
            if None not in parts:
                assert parts[0] == pytest.approx(parts[1] + parts[2], abs=0.021), f"{run['row']}, {stream}"


def test_the_same_runs_have_the_same_numbers_in_two_tables() -> None:
    """La-MAML copies rows of MER's table: one run, whose published number may not be two."""
    tables = [read(config_dir() / "table" / f"{name}.yaml") for name in ("mer", "la_maml_mnist")]
    seen: list[dict[tuple[str, ...], float]] = [
        {
            (run["experiment"], *run["overrides"], cell["metric"]): cell["published"]
            for run in computed(table)
            for cell in run["cells"]
        }
        for table in tables
    ]
    shared = seen[0].keys() & seen[1].keys()
    assert len(shared) >= 20
    assert {key: seen[0][key] for key in shared} == {key: seen[1][key] for key in shared}


@each_table
def test_no_two_runs_of_a_table_give_the_same_number(path: Path) -> None:
    table = read(path)
    for size in SIZES:
        runs = [
            (dict(o.split("=", 1) for o in overrides_of(table, run, size)), {cell["metric"] for cell in run["cells"]})
            for run in computed(table)
        ]
        for (one, metrics), (other, others) in itertools.combinations(runs, 2):
            assert one != other or not metrics & others, size


# ------------------------------------------------------------------------------------------------- that its runs compose


@pytest.mark.parametrize(("path", "index"), RUNS)
def test_every_run_composes_and_passes_all_checks_at_every_size(path: Path, index: int) -> None:
    table = read(path)
    run = computed(table)[index]
    assert (config_dir() / "experiment" / f"{run['experiment']}.yaml").is_file()
    built = {size: build((*overrides_of(table, run, size), "gpu=cpu")) for size in SIZES}
    assert len({each.run_id for each in built.values()}) == len(SIZES), "two sizes are the same run"
    check_smoke_is_tiny(built["smoke"])
    for size, each in built.items():
        check_cells_can_be_filled(table, run, size, each)


def check_cells_can_be_filled(table: dict[str, Any], run: dict[str, Any], size: str, built: Experiment) -> None:
    """Every cell asks for what this run's summary will have."""
    protocol = built.protocol
    sequences = isinstance(protocol, MetaContinual)
    score = built.data.score.score_name
    assert (table["unit"] == "mse") == (score == "mse")
    known = metrics_of(built.data.score, built.protocol.kind)
    for cell in run["cells"]:
        where = f"{size}: {run['row']}, {cell['column']}"
        assert cell["metric"] in known, f"{where}: {cell['metric']}"
        if "at" in cell:
            assert sequences, f"{where}: numbers after so many classes are of protocol meta_continual"
            assert cell["metric"] in AT_A_LENGTH, where
            assert size == "smoke" or cell["at"] in protocol.schedule, f"{where}: at={cell['at']}"
        if "after_steps" in cell:
            assert protocol.by_step, where
            assert cell["after_steps"] <= built.algo.eval_inner_steps, where
        assert cell["metric"] != "joint_accuracy" or protocol.joint_epochs > 0, where


def check_smoke_is_tiny(built: Experiment) -> None:
    """Few units of work, a thin network and little to test on, whatever the method."""
    protocol, data, model = built.protocol, built.data, built.model
    if isinstance(protocol, MetaContinual):
        assert protocol.updates <= 5
        assert protocol.schedule[-1] * protocol.orders * len(protocol.rates) <= 100
    elif isinstance(protocol, ContinualMeta):
        assert protocol.updates_per_task * data.count_tasks() <= 20
        assert protocol.eval_episodes <= 20
    else:
        assert data.count_tasks() <= 3
        assert data.count_samples() <= 50
        assert (data.test_episodes if isinstance(data, SkillSamples) else data.test_per_task) <= 50
    assert getattr(model, "channels", 0) <= 8
    hidden = getattr(model, "hidden", None) or 0
    assert max([hidden] if isinstance(hidden, int) else hidden) <= 40
