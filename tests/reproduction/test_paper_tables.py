"""A paper's table from its file to its pages: verdicts by hand, faults, and a whole small table for real."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metacl_run.cli import command
from metacl_run.core.errors import ConfigError
from metacl_run.layout.grid import Cell, Grid, to_html
from metacl_run.reproduction import pages
from metacl_run.reproduction.links import linked_cells, linked_overview
from metacl_run.reproduction.paper_table import PaperCell, PaperTable, parse
from metacl_run.reproduction.results import Ours, Result, RunOfTable, results_of_table, verdict
from metacl_run.storage.run_files import CONFIG, SCHEMA, SUMMARY
from tests.support.settings import TINY

CELL: dict[str, Any] = {"column": "RA", "metric": "accuracy", "published": 77.4, "spread": 0.7, "confidence": "memory"}
NODE: dict[str, Any] = {
    "title": "A table",
    "paper": "Somebody. Something",
    "arxiv": None,
    "where": "Table 1",
    "unit": "percent",
    "spread": "standard deviation over 5 seeds",
    "spread_is": "std",
    "published_seeds": 5,
    "seeds": [0, 1, 2],
    "reduced_seeds": [0, 1],
    "tolerance": 0.5,
    "departures": ["Our streams are ours."],
    "smoke": [],
    "reduced": [],
    "runs": [{"row": "MAML", "experiment": "mine", "cells": [CELL]}],
}


def table(**changes: Any) -> PaperTable:
    return parse({**NODE, **changes})


def ours(*values: float) -> Ours:
    return Ours(sum(values) / len(values), None, None, values)


# ----------------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("found", "size", "expected"),
    [
        # Welch: se^2 = .25 / 3 + .49 / 5, 5.6 degrees of freedom, t = 2.49: the difference is .1 within 1.06.
        (ours(77.0, 77.5, 78.0), "paper", "agrees"),
        (ours(75.7, 76.2, 76.7), "paper", "inconclusive"),  # -1.2 within 1.06: reaches below -1.5
        (ours(74.5, 75.0, 75.5), "paper", "inconclusive"),  # -2.4: reaches above -1.5
        (ours(74.0, 74.5, 75.0), "paper", "differs"),  # -2.9: to -1.84
        (ours(80.0, 80.5, 81.0), "paper", "differs"),
        (ours(77.4), "paper", "too few seeds"),
        (ours(77.4, 77.4), "paper", "too few seeds"),
        (ours(77.4, 77.4, 77.4), "reduced", "reduced"),  # never "agrees"
        (ours(77.4, 77.4, 77.4), "smoke", "smoke"),
    ],
)
def test_verdict(found: Ours, size: Any, expected: str) -> None:
    assert verdict(table(tolerance=1.5), PaperCell(**CELL), found, size) == expected


@pytest.mark.parametrize(
    ("values", "published"), [((60.0, 70.0, 80.0), 46.0), ((60.0, 70.0, 80.0), 94.0), ((50.0, 52.0, 90.0), 100.0)]
)
def test_noise_is_no_agreement(values: tuple[float, ...], published: float) -> None:
    assert verdict(table(), PaperCell(**{**CELL, "published": published}), ours(*values), "paper") == "inconclusive"


def test_agreement_gets_rarer_as_the_true_gap_grows() -> None:
    """Five seeds of deviation .5 beside a paper of as many: a gap beyond the tolerance of 1 hardly ever agrees."""
    rng, cell = np.random.default_rng(0), PaperCell(**{**CELL, "published": 0.0, "spread": 0.5})
    share = {}
    for gap in (0.0, 1.0, 2.0):
        found = [ours(*(gap + 0.5 * rng.standard_normal(5))) for _ in range(400)]
        share[gap] = sum(verdict(table(tolerance=1.0), cell, each, "paper") == "agrees" for each in found) / 400
    assert share[0.0] > 0.6
    assert share[1.0] < 0.05  # the error of a test at 95% from both sides: .025
    assert share[2.0] == 0.0


def test_a_paper_without_a_spread_over_seeds_is_given_ours() -> None:
    found = ours(77.0, 77.5, 78.0)  # beside one model: .5 * sqrt(1 / 3 + 1), 2 degrees of freedom, t = 4.30: .1 within 2.48
    for changes in ({"spread_is": "not over seeds", "published_seeds": 1}, {"published_seeds": 1}):
        assert verdict(table(tolerance=2.6, **changes), PaperCell(**CELL), found, "paper") == "agrees"
        assert verdict(table(tolerance=2.5, **changes), PaperCell(**CELL), found, "paper") == "inconclusive"
    of_one = PaperCell(**{**CELL, "published_seeds": 1})
    assert verdict(table(tolerance=2.5), of_one, found, "paper") == "inconclusive"


def test_a_printed_interval_of_the_mean_is_turned_into_a_spread() -> None:
    # +- 1.0 over 5 seeds: a deviation of sqrt(5) / 2.776 = .8055; se^2 = .25 / 3 + .6488 / 5, 5.99 degrees: within 1.13.
    read, found = table(tolerance=1.2, spread_is="ci95"), ours(76.9, 77.4, 77.9)
    assert verdict(read, PaperCell(**{**CELL, "spread": 1.0}), found, "paper") == "agrees"
    assert verdict(read, PaperCell(**{**CELL, "spread": 1.2}), found, "paper") == "inconclusive"


def test_a_cell_may_have_its_own_tolerance_and_no_published_number() -> None:
    found = ours(75.7, 76.2, 76.7)
    assert verdict(table(), PaperCell(**{**CELL, "tolerance": 3.0}), found, "paper") == "agrees"
    assert verdict(table(), PaperCell(column="RA", metric="accuracy"), found, "paper") == "no published number"


def test_a_verdict_on_a_recollected_number_looks_different(tmp_path: Path) -> None:
    looks = {}
    for confidence in ("memory", "verbatim-source"):
        cell = PaperCell(**{**CELL, "confidence": confidence})
        result = Result("MAML", cell, "agrees", ours(77.0, 77.5, 78.0), None, ("a/b/c",))
        overview, every = (grid(table(), [result], "paper") for grid in (pages.overview_grid, pages.detailed_grid))
        looks[confidence] = every.rows[0][5].text, every.rows[0][5].tone, overview.rows[0][1].tone
    assert looks == {"memory": ("agrees (paper from memory)", "quiet", ""), "verbatim-source": ("agrees", "good", "good")}


def store(directory: Path, **summary: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "status": "completed", "score": "accuracy", "config": {}, "metrics": {}, **summary}
    (directory / SUMMARY).write_text(json.dumps(content))


def of_one_run(directory: Path | None, cell: dict[str, Any] = CELL, refusal: str | None = None, **changes: Any) -> Any:
    read = table(runs=[{"row": "MAML", "experiment": "mine", "cells": [cell]}], **changes)
    (found,) = results_of_table(read, [RunOfTable(read.runs[0], directory, refusal)], "paper")
    return found


def test_several_seeds_have_students_interval(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "mnist" / "er" / "abc"
    store(directory, metrics={"accuracy": {"values": [0.75, 0.77, 0.79]}})
    found = of_one_run(directory)
    half = 4.302652729911275 * 2.0 / math.sqrt(3)  # t of 2 degrees of freedom, deviation 2 percent
    assert found.ours.mean == pytest.approx(77.0)
    assert (found.ours.low, found.ours.high) == pytest.approx((77 - half, 77 + half))
    assert found.ours.values == pytest.approx((75, 77, 79))
    assert (found.verdict, found.run) == ("inconclusive", "mnist/er/abc")


def test_one_seed_has_the_interval_of_its_episodes(tmp_path: Path) -> None:
    store(tmp_path, metrics={"accuracy": {"values": [0.77]}}, evaluation_half_width=[[0.03, 0.04]])
    found = of_one_run(tmp_path)
    assert (found.ours.low, found.ours.high) == pytest.approx((77 - 2.5, 77 + 2.5))  # sqrt(3^2 + 4^2) / 2 tasks
    assert found.verdict == "too few seeds"
    store(tmp_path, metrics={"bti": {"values": [-0.1]}}, evaluation_half_width=[[0.03, 0.04]])
    assert of_one_run(tmp_path, {**CELL, "metric": "bti"}).ours.low is None  # it is not bti's


def test_after_a_number_of_classes(tmp_path: Path) -> None:
    by_order = np.array([[[0.9, 0.8], [0.5, 0.7]], [[0.8, 0.9], [0.6, 0.6]]])  # [R, lengths, orders]
    test = {"score": "accuracy", "lengths": [10, 50], "accuracy": by_order.tolist(), "joint": (by_order + 0.05).tolist()}
    store(tmp_path, meta_test=test)
    assert of_one_run(tmp_path, {**CELL, "at": 10}).ours.values == pytest.approx((85, 85))
    assert of_one_run(tmp_path, {**CELL, "at": 50}).ours.mean == pytest.approx(60)
    assert of_one_run(tmp_path, {**CELL, "at": 50, "metric": "joint_accuracy"}).ours.mean == pytest.approx(65)
    short = {**CELL, "at": 20}
    read = table(runs=[{"row": "OML", "experiment": "mine", "cells": [short]}])
    assert results_of_table(read, [RunOfTable(read.runs[0], tmp_path)], "smoke")[0][2:4] == (
        "smoke",
        None,
    )  # not so far at that size
    for cell in (short, {**CELL, "at": 10, "metric": "memory"}, {**CELL, "metric": "bwt"}):
        found = of_one_run(tmp_path, cell)
        assert (found.verdict, found.ours) == ("unreadable", None)
        assert found.problem.startswith(f"its summary does not give {cell['metric']}")


def test_after_a_number_of_inner_steps(tmp_path: Path) -> None:
    by_step = {"score": "accuracy", "curve": [[0.2, 0.5, 0.6], [0.2, 0.7, 0.8]], "transductive": [[0.3, 0.6, 0.7]] * 2}
    store(tmp_path, by_step=by_step)
    assert of_one_run(tmp_path, {**CELL, "after_steps": 1}).ours.values == pytest.approx((50, 70))
    assert of_one_run(tmp_path, {**CELL, "after_steps": 2, "metric": "transductive_accuracy"}).ours.mean == pytest.approx(70)
    store(tmp_path, by_step={**by_step, "curve": [[0.2, 0.5], [0.2, None]]})
    lost = of_one_run(tmp_path, {**CELL, "after_steps": 1})
    assert lost[2:5] == ("diverged", None, "it is not finite for 1 of 2 seeds")
    for cell in ({**CELL, "after_steps": 3}, {**CELL, "after_steps": 1, "metric": "bwt"}):
        assert of_one_run(tmp_path, cell).verdict == "unreadable"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    begun, failed, torn, other = (tmp_path / name for name in ("begun", "failed", "torn", "other"))
    store(failed, status="failed", error="no memory")
    store(other, schema=99)
    begun.mkdir()
    (begun / CONFIG).write_text("")
    store(torn)
    (torn / SUMMARY).write_text('{"schema": 1, "stat')
    (torn / CONFIG).write_text("")
    assert of_one_run(tmp_path / "missing").verdict == "not run"
    assert of_one_run(begun).verdict == "interrupted"
    assert of_one_run(failed)[2:5] == ("failed", None, "no memory")
    assert of_one_run(torn).verdict == "interrupted"  # the next start computes it again
    assert of_one_run(None, refusal="CIFAR-100 was not found")[2:5] == ("data missing", None, "CIFAR-100 was not found")
    assert of_one_run(None).verdict == "not offered"


# ------------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "per cent"}, r"^table\.unit=per cent: must be one of percent, fraction, mse\. Did you mean percent\?$"),
        ({"titel": "x"}, r"^table\.titel=x: PaperTable has no such setting\. Did you mean table\.title\?"),
        ({"runs": [{"row": "A", "cells": []}]}, r"^table\.runs\[0\]\.experiment: is missing"),
        (
            {"runs": [{"row": "A", "experiment": None, "cells": [{"column": "RA"}]}]},
            r"^table\.runs\[0\]\.cells\[0\]\.metric: is",
        ),
        (
            {"runs": [{"row": "A", "experiment": None, "cells": [{**CELL, "confidence": "sure"}]}]},
            r"^table\.runs\[0\]\.cells\[0\]\.confidence=sure: must be one of verbatim-source, secondary, memory",
        ),
        ({"runs": [{"row": "A", "experiment": None, "cells": [CELL, CELL]}]}, r"^table: has two cells at A, RA$"),
        ({"paper": None}, r"^table\.paper=null: a table without a paper has no where, spread, spread_is, published_seeds, tol"),
        (
            {"runs": [{"row": "A", "experiment": None, "cells": [{"column": "RA", "metric": "accuracy", "spread": 1.0}]}]},
            r"^table\.runs\[0\]\.cells\[0\]: has spread: a published number is `published` and `confidence` at least; where",
        ),
        (
            {"runs": [{"row": "A", "experiment": None, "cells": [{**CELL, "confidence": None}]}]},
            r"^table\.runs\[0\]\.cells\[0\]: has published, spread: a published number is `published` and `confidence` at",
        ),
    ],
)
def test_a_mistake_in_a_table_has_its_full_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table(**changes)


# ------------------------------------------------------------------------------------------------------------ a whole table


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder of one's own with a table of three runs: one that can be computed, one without data, one without experiment."""
    folder = tmp_path / "configs"
    for group in ("table", "experiment"):
        (folder / group).mkdir(parents=True)
    preset = "# @package _global_\ndefaults:\n  - override /algo: {algo}\n  - override /data: {data}\n"
    (folder / "experiment" / "mine.yaml").write_text(preset.format(algo="maml", data="split_glyphs"))
    (folder / "experiment" / "absent.yaml").write_text(preset.format(algo="er", data="split_cifar100"))
    cell = {"metric": "accuracy", "published": 60.0, "confidence": "secondary"}
    runs = [
        {"row": "MAML", "experiment": "mine", "overrides": TINY, "cells": [{**cell, "column": "RA"}]},
        {"row": "ER", "experiment": "absent", "overrides": ["data.download=false"], "cells": [{**cell, "column": "RA"}]},
        {"row": "Lost", "experiment": None, "departures": ["No code is known."], "cells": [{**cell, "column": "RA"}]},
    ]
    (folder / "table" / "small.yaml").write_text(yaml.safe_dump({**NODE, "tolerance": 100.0, "runs": runs}))
    return folder


def test_a_table_runs_what_it_can_and_is_made_again_with_the_same_bytes(
    configs: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METACL_DATA", str(configs))
    given = ["table=small", f"output_dir={configs.parent / 'runs'}", "gpu.threads=1", "progress=none"]
    assert command([*given, "sweep.status=true"], str(configs), multirun=False) == 0
    assert "table of 2: 2 not started" in capfd.readouterr().out
    assert command(given, str(configs), multirun=False) == 1  # a cell is without its data
    printed = capfd.readouterr().out
    assert "table of 2: 1 completed, 1 failed" in printed
    assert "cells: 1 agrees, 1 data missing, 1 not offered" in printed
    folder = configs.parent / "runs" / "tables" / "small" / "paper"
    names = {"table.html", "table.md", "table.tex", "table.csv", "figure.png", "figure.svg"}
    assert {path.name for path in folder.iterdir()} == names
    (directory,) = (configs.parent / "runs" / "split_glyphs" / "maml").iterdir()
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    summary = json.loads((directory / "summary.json").read_text())
    assert [row["verdict"] for row in rows] == ["agrees", "data missing", "not offered"]
    assert float(rows[0]["ours mean"]) == pytest.approx(100 * summary["metrics"]["accuracy"]["mean"])
    assert rows[0]["run"] == f"split_glyphs/maml/{directory.name}"
    html = (folder / "table.html").read_text()
    assert "cifar-100-python" in html
    assert "No code is known." in html
    assert "<svg" in html
    assert r"\toprule" in (folder / "table.tex").read_text()

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    written = (directory / "summary.json").stat().st_mtime_ns
    assert command(given, str(configs), multirun=False) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (directory / "summary.json").stat().st_mtime_ns == written

    assert command([*given, "table.size=reduced"], str(configs), multirun=False) == 1
    assert "cells: 1 reduced, 1 data missing, 1 not offered" in capfd.readouterr().out
    assert "REDUCED" in (folder.parent / "reduced" / "table.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["table=smal"], r"^table=smal: there is no such option\. Did you mean small\? Options: .*la_maml_mnist"),
        (["table=small", "algo.inner_lr=1"], r"^algo\.inner_lr=1: would make table=small another experiment"),
        (["table=small", "seeds=0,1"], r"^seeds=0,1: a table takes one value, not several$"),
        (["table=small", "table.size=tiny"], r"^table\.size=tiny: must be one of paper, reduced, smoke"),
        (["table.size=smoke"], r"^table\.size=smoke: has no effect without table=<name>$"),
        (["table=small", "table.tolerance=50"], r"^table\.tolerance=50: is part of what table=small says; to change it, copy "),
        (["table=small", "++table.departures=[]"], r"^\+\+table\.departures=\[\]: is part of what table=small says"),
        (["table=small", "search.trials=3"], r"^search\.trials=3: a search does not go with table=small$"),
        (["table=empty"], r"^table\.runs: must have at least one run with a cell$"),
        (["table=broken"], r"nothing was started.*\n.*experiment=mime.*\n.*there is no such option\. Did you mean mine\?"),
    ],
)
def test_what_cannot_be_is_one_message(overrides: list[str], message: str, configs: Path) -> None:
    broken = {**NODE, "runs": [{"row": "A", "experiment": "mime", "cells": [CELL]}]}
    (configs / "table" / "broken.yaml").write_text(yaml.safe_dump(broken))
    (configs / "table" / "empty.yaml").write_text(yaml.safe_dump({**NODE, "runs": []}))
    with pytest.raises(ConfigError, match=message):
        command(overrides, str(configs), multirun=False)


def test_no_sweep_of_tables(configs: Path) -> None:
    with pytest.raises(ConfigError, match=r"^table=small: is a sweep by itself; leave -m out$"):
        command(["table=small"], str(configs), multirun=True)


def test_every_confidence_and_every_size_has_its_words() -> None:
    assert set(pages.MARKS) == {"verbatim-source", "secondary", "memory"}
    assert set(pages.SIZE_WORDS) == {"paper", "reduced", "smoke"}


def test_cells_lead_to_the_reports_of_their_runs(tmp_path: Path) -> None:
    folder = tmp_path / "tables" / "one" / "paper"
    reported = tmp_path / "data" / "algo" / "abc"
    reported.mkdir(parents=True)
    (reported / "report.html").write_text("")
    cell = PaperCell(**CELL)
    results = [
        Result("first", cell, "agrees", ours(70.0), None, ("data/algo/abc",)),
        Result("second", cell, "not run", None, None, ("data/algo/missing",)),
    ]
    overview = Grid("t", ["", cell.column], [[Cell("first"), Cell("70")], [Cell("second"), Cell("not run")]])
    linked = linked_overview(overview, results, folder)
    assert [list(row[1].links) for row in linked.rows] == [[("data/algo/abc", "../../../data/algo/abc/report.html")], []]
    every = Grid("t", ["row", "run"], [[Cell("first"), Cell("data/algo/abc")], [Cell("second"), Cell("data/algo/missing")]])
    assert '<a href="../../../data/algo/abc/report.html">data/<wbr>algo/<wbr>abc</a>' in to_html(
        linked_cells(every, results, folder)
    )


def test_a_table_wider_than_a_page_stands_upright_on_it(tmp_path: Path) -> None:
    cells = [PaperCell(**{**CELL, "column": f"column {i}"}) for i in range(12)]
    results = [Result("first", cell, "agrees", ours(70.0 + i), None, ()) for i, cell in enumerate(cells)]
    grids = pages.overview_grid(table(), results, "paper"), pages.detailed_grid(table(), results, "paper")
    page = pages.page("one", table(), results, "paper", grids, tmp_path / "figure.svg")
    assert page.count('<thead><tr><th scope="col"></th><th scope="col">first</th></tr></thead>') == 1
    assert re.findall(r'<th scope="row">(column \d+)</th><td[^>]*>(?:<span class="whole">)?([\d.]+)[ <]', page) == [
        (f"column {i}", f"{70 + i}.0") for i in range(12)
    ]
