"""The report as a browser sees it, and what it must never contain."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metacl_run.core.errors import StorageError
from metacl_run.reporting import figures, report, terminal
from metacl_run.reporting.phrases import task_label
from metacl_run.reporting.run_grids import environment_grid, names_grid
from metacl_run.reporting.sentences import sentence
from metacl_run.storage.stored_run import StoredRun

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

NOT_A_PAGE = "not an origin"
"""How the browser's log names requests of its own (time, dictionaries, updates), as against a page's."""


def written(run_dir: Path) -> str:
    figures.draw(StoredRun(run_dir))
    return report.write(StoredRun(run_dir)).read_text(encoding="utf-8")


def test_nothing_is_fetched_and_ids_are_unique(make_run: Callable[..., Path]) -> None:
    page = written(make_run(tasks=3, replicates=2))
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!#|data:image/png;base64,)""", page)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    references = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert references <= set(identifiers)


def test_values_of_the_config_are_escaped(make_run: Callable[..., Path]) -> None:
    page = written(make_run(status="failed", stop=-1, error="<img src=x>"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;img src=x&gt;" in page


def test_a_run_that_stopped_in_its_first_task_says_what_the_last_probe_gave(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3, status="interrupted", stop=30)
    console = Console(record=True, width=200)
    terminal.show(StoredRun(run_dir), console)
    score = 0.2 + 0.7 * (1 - np.exp(-4 * 24 / 40)) + 0.02 * np.sin(24)  # at unit 24 of 40, as conftest.py has it
    said = (
        f"The last probe, after meta-update 24/40 of task 1: accuracy {score:.2f} on it, 0.20 before learning; chance is 0.20."
    )
    assert said in console.export_text()
    assert said in html.unescape(written(run_dir))


@pytest.mark.parametrize(("status", "words"), [("diverged", "diverged"), ("interrupted", "continues it")])
def test_an_unfinished_run_says_so_first(make_run: Callable[..., Path], status: str, words: str) -> None:
    page = written(make_run(tasks=4, status=status, stop=93, error="loss is not finite at meta-update 93"))
    assert page.index(f'class="banner {status}"') < page.index("<h2>Figures")
    assert words in page
    assert "loss is not finite at meta-update 93" in page


def test_a_run_that_failed_at_once_still_has_a_report(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(status="failed", stop=-1)
    full = json.loads((run_dir / "summary.json").read_text())
    kept = ("schema", "status", "run_id", "algo", "model", "data", "protocol", "seeds")
    (run_dir / "summary.json").write_text(json.dumps({key: full[key] for key in kept} | {"metrics": {}, "error": "no data"}))
    page = written(run_dir)
    assert "no data" in page
    assert "<figure" not in page


def test_tasks_that_every_seed_has_in_its_own_order_have_a_table_by_name(make_run: Callable[..., Path]) -> None:
    run = StoredRun(make_run(tasks=3, replicates=2, names=[["Latin", "Greek", "Tifinagh"], ["Tifinagh", "Latin", "Greek"]]))
    grid = names_grid(run)
    assert grid is not None
    by_name = {row[0].text: [cell.text for cell in row[1:]] for row in grid.rows}
    assert list(by_name) == ["Greek", "Latin", "Tifinagh"]
    assert by_name["Latin"][0] == "1, 2"
    learned, last = (run.matrix[0, 1, 0], run.matrix[1, 2, 1]), (run.matrix[0, 3, 0], run.matrix[1, 3, 1])
    expected = [f"{sum(pair) / 2:.3f}" for pair in (learned, last)]
    assert by_name["Latin"][1::2] == expected
    assert by_name["Latin"][2] == f"{learned[0]:.3f}, {learned[1]:.3f}"
    assert [task_label(run, task) for task in range(3)] == ["task 1", "task 2", "task 3"]


@pytest.mark.parametrize(
    "names",
    [
        [["Latin", "Greek"], ["Latin", "Greek"]],  # one order: the matrix says it
        [["Latin", "Greek"], ["Latin", "Tifinagh"]],  # tasks of their own, of which one has the same name by chance
    ],
)
def test_other_runs_have_no_table_by_name(make_run: Callable[..., Path], names: list[list[str]]) -> None:
    run = StoredRun(make_run(tasks=2, replicates=2, names=names))
    assert names_grid(run) is None
    assert task_label(run, 0) == ("1: Latin" if names[0] == names[1] else "task 1")


def test_the_table_of_the_machine_has_short_commits_and_a_dash_for_what_is_not_known(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    path = run_dir / "summary.json"
    summary = json.loads(path.read_text())
    for commit, shown in (("0123456789abcdef" * 2 + "01234567+", "0123456789ab+"), ("f" * 40, "f" * 12), (None, "-")):
        summary["environment"]["git_commit"] = commit
        summary["timing"]["units_per_s"] = None
        path.write_text(json.dumps(summary))
        grid = environment_grid(StoredRun(run_dir))
        values = {name.text: value for name, value in grid.rows}
        assert values["environment.git_commit"].text == shown
        assert values["timing.units_per_s"].text == "-"
        assert all(value.is_words for value in values.values())


def test_a_seed_that_ended_at_chance_is_named(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=2, replicates=3)
    matrix = np.load(run_dir / "accuracy_matrix.npy")
    assert "ended at chance" not in sentence(StoredRun(run_dir))
    for seeds, words in (([2], "Seed 2 ended at chance"), ([0, 2], "Seeds 0 and 2 ended at chance"), ([0, 1, 2], None)):
        changed = matrix.copy()
        changed[seeds, -1] = 0.2
        np.save(run_dir / "accuracy_matrix.npy", changed)
        text = sentence(StoredRun(run_dir))
        assert words in text if words else "ended at chance" not in text


def test_damaged_files_are_named(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    (run_dir / "summary.json").write_text("{")
    with pytest.raises(StorageError, match=r"summary\.json: is truncated"):
        report.write(StoredRun(run_dir))


def test_the_report_is_written_whole_or_not_at_all(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    report.write(StoredRun(run_dir))
    (run_dir / "report.html").unlink()
    (run_dir / "report.html").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        report.write(StoredRun(run_dir))
    assert not list(run_dir.glob(".report*"))


@pytest.mark.timeout(120)
@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome")
def test_in_a_real_browser(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run_dir = make_run(tasks=3, replicates=2)
    written(run_dir)
    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-dev-shm-usage"
    log = tmp_path / "net.json"
    command = [
        str(BROWSER),
        *options.split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--log-net-log={log}",
        "--dump-dom",
    ]
    seen = subprocess.run([*command, (run_dir / "report.html").as_uri()], capture_output=True, text=True, timeout=100)
    dom = seen.stdout
    assert re.findall(r"<h2[^>]*>([^<]+)", dom) == [
        "Figures",
        "Tables",
        "To repeat the run",
        "Machine",
        "Config",
    ]
    labels = re.findall(r'<svg[^>]*aria-label="([^"]+)"', dom)
    assert len(labels) == len(re.findall("<figure>", dom)) == 6
    summary = json.loads((run_dir / "summary.json").read_text())
    text = html.unescape(re.sub(r"<[^>]+>", " ", dom))
    for name, metric in summary["metrics"].items():
        assert name in text
        assert all(f"{value:.3f}" in text for value in [metric["mean"], *metric["values"]])
    events = json.loads(log.read_text())["events"]
    by_page = [e["params"]["url"] for e in events if e.get("params", {}).get("initiator", NOT_A_PAGE) != NOT_A_PAGE]
    assert by_page == []


def test_terminal_table_has_every_seed_and_the_paths(make_run: Callable[..., Path]) -> None:
    run_dir = make_run(tasks=3, replicates=2)
    written(run_dir)
    # Not a terminal: nothing is cut, however narrow.
    console = Console(width=30, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        terminal.show(StoredRun(run_dir), console)
    text = console.export_text()
    summary = json.loads((run_dir / "summary.json").read_text())
    for value in summary["metrics"]["bwt"]["values"]:
        assert f"{value:.3f}" in text
    assert str(run_dir / "report.html") in text
    assert "chance is 0.20" in text


def test_the_references_of_the_run_are_in_it_and_named_if_broken(make_run: Callable[..., Path]) -> None:
    run_dir = make_run()
    (run_dir / "references.bib").write_text("@misc{mine, year={1}}")
    assert "@misc{mine, year={1}}" in report.write(StoredRun(run_dir)).read_text()
    (run_dir / "references.bib").write_bytes(b"@misc{\xff}")
    with pytest.raises(StorageError, match=r"references\.bib: is truncated or damaged"):
        report.write(StoredRun(run_dir))
