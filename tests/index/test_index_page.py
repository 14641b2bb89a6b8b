"""index.html over an output_dir: which runs it has, what their rows say, that it is cheap, whole, and never in the way."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from metacl_run.commands import index as index_command
from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError, StorageError
from metacl_run.experiment import run as run_experiment
from metacl_run.index import index_page
from metacl_run.index.index_page import refresh_index, write_index
from tests.support.stored_runs import build_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def add_run(root: Path, run: str, **changed: object) -> Path:
    """Writes a run of two seeds with a report; `changed`: keys of its summary."""
    directory = build_run(root / run, replicates=2)
    path = directory / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    (directory / "report.html").write_text("<title>a run</title>")
    return directory


def rows(root: Path) -> dict[str, list[str]]:
    """The texts of the cells by the id of the run, as a browser shows them."""
    page = (root / "index.html").read_text()
    lines = re.findall(r"<tr data-run.*</tr>", page)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]
    texts = [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells]
    return {row[0]: row for row in texts}


def test_a_row_says_how_a_run_ended_and_leads_to_its_report(root: Path) -> None:
    command = "metacl-run algo=maml 'model.hidden=[8,<b>]' algo.lr=1 algo.lr=2 progress=plain"
    changed = {"command": command, "timing": {"ended": "2026-01-02T05:04:05+02:00"}, "tags": ["first try"]}
    add_run(root, "split_glyphs/maml/aa #1", **changed)
    write_index(root)
    metric = json.loads((root / "split_glyphs/maml/aa #1/summary.json").read_text())["metrics"]["accuracy"]
    both = ", ".join(f"{value:.3f}" for value in metric["values"])
    cells = ["split_glyphs", "maml", "completed", "0, 1", "accuracy", f"{metric['mean']:.3f}", both]
    row = [*cells, "2026-01-02 03:04:05", "first try", "algo.lr=2 model.hidden=[8,<b>]"]
    assert rows(root) == {"aa #1": ["aa #1", *row]}

    shutil.move(root, root.with_name("elsewhere"))
    page = (root.with_name("elsewhere") / "index.html").read_text()
    (address,) = re.findall(r'href="([^"]*)"', page)
    assert (root.with_name("elsewhere") / unquote(address)).read_text() == "<title>a run</title>"
    assert "<b>" not in page


def test_runs_that_are_not_complete_have_a_row_that_says_so(root: Path) -> None:
    add_run(root, "split_glyphs/maml/failed", status="failed", metrics={}, seeds=[0], error="no data")
    add_run(root, "split_glyphs/maml/diverged", status="diverged")
    cut = add_run(root, "split_glyphs/maml/cut") / "summary.json"
    cut.write_bytes(cut.read_bytes()[:50])
    add_run(root, "split_glyphs/maml/other", schema=7)
    add_run(root, "split_glyphs/maml/odd", seeds=["a"])
    (add_run(root, "split_glyphs/maml/killed") / "summary.json").unlink()
    (root / "split_glyphs" / "maml" / "no_run").mkdir()
    write_index(root)
    assert {name: row[3] for name, row in rows(root).items()} == {
        "failed": "failed",
        "diverged": "diverged",
        "cut": "unreadable",
        "other": "unreadable",
        "odd": "unreadable",
        "killed": "interrupted",
    }
    assert "truncated" in rows(root)["cut"][9]


def test_the_latest_run_is_first(root: Path) -> None:
    for name, hour in (("a", 3), ("b", 5), ("c", 4)):
        add_run(root, f"split_glyphs/maml/{name}", timing={"ended": f"2026-01-02T0{hour}:00:00+00:00"})
    write_index(root)
    assert list(rows(root)) == ["b", "c", "a"]


def test_only_what_has_changed_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        add_run(root, f"split_glyphs/maml/{name}")
    write_index(root)
    made: list[str] = []
    make_row = index_page.make_row
    monkeypatch.setattr(index_page, "make_row", lambda *row: made.append(row[1]) or make_row(*row))
    shutil.rmtree(root / "split_glyphs/maml/a")
    (root / "split_glyphs/maml/b/report.html").unlink()
    write_index(root)
    assert made == ["split_glyphs/maml/b"]
    assert set(rows(root)) == {"b", "c"}
    assert re.findall(r'href="([^"]*)"', (root / "index.html").read_text()) == ["split_glyphs/maml/c/report.html"]

    half = (root / "index.html").read_bytes()
    (root / "index.html").write_bytes(half[: len(half) // 2])
    write_index(root)
    assert set(rows(root)) == {"b", "c"}


def test_a_run_that_ends_while_the_page_is_written_is_not_lost(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(root, "split_glyphs/maml/a")
    written, write = [], index_page.write_text_atomically

    def write_late(path: Path, text: str) -> None:
        if not written:  # another process adds its run and its page first; ours, without that run, takes the place of it
            written.append(path)
            add_run(root, "split_glyphs/maml/b")
            write_index(root)
            assert set(rows(root)) == {"a", "b"}
        write(path, text)

    monkeypatch.setattr(index_page, "write_text_atomically", write_late)
    write_index(root)
    assert set(rows(root)) == {"a", "b"}
    assert list(root.glob(".*")) == []


def test_tables_comparisons_and_searches_are_listed(root: Path) -> None:
    add_run(root, "split_glyphs/maml/a")
    pages = {"tables/gem/smoke/table.html": "<title>GEM &amp; more</title>", "report/report.html": "<title>2 runs</title>"}
    search = {"metric": "accuracy", "searched": ["algo.lr from 0 to 1"], "trials": [1, 2], "best": {"value": 0.51234}}
    pages |= {"searches/123/search.json": json.dumps(search), "searches/456/search.json": "{"}
    for name, text in pages.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    (root / "tables/gem/smoke/table.csv").write_text("row,run\nx,split_glyphs/maml/a\n")
    write_index(root)
    items = re.findall(r'<li>(.*?): <a href="(.*?)">(.*?)</a>', (root / "index.html").read_text())
    assert items == [
        ("table", "tables/gem/smoke/table.html", "GEM &amp; more (tables/gem/smoke)"),
        ("comparison", "report/report.html", "2 runs (report)"),
        ("search", "searches/123/search.json", "algo.lr from 0 to 1: 2 trials, best accuracy 0.5123 on validation data"),
    ]
    assert rows(root)["a"][9] == "smoke size of a table"


def test_the_settings_that_differ_stand_first_and_those_of_the_machine_last(root: Path) -> None:
    for name, lr in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        words = f"gpu.threads=1 model=mlp data.num_tasks=2 'model.hidden=[8, 8]' algo.lr={lr}"
        add_run(root, f"split_glyphs/maml/{name}", command=f"metacl-run {words}")
    add_run(
        root,
        "split_glyphs/reptile/d",
        command="metacl-run --config-dir '/my options' gpu=cpu model=mlp data.num_tasks=2 algo.outer_lr=1",
    )
    write_index(root)
    expected = {
        **{
            name: f"algo.lr={lr} model=mlp data.num_tasks=2 model.hidden=[8, 8] gpu.threads=1"
            for name, lr in zip("abc", (0.1, 0.2, 0.3), strict=True)
        },
        "d": "model=mlp algo.outer_lr=1 data.num_tasks=2 gpu=cpu",
    }
    assert {name: row[10] for name, row in rows(root).items()} == expected
    add_run(root, "split_glyphs/reptile/e", command="metacl-run gpu=cpu model=mlp data.num_tasks=3 algo.outer_lr=1")
    write_index(root)  # the rows of before are taken over, and put in order anew
    assert rows(root)["d"][10] == "data.num_tasks=2 model=mlp algo.outer_lr=1 gpu=cpu"
    assert {name: row[10] for name, row in rows(root).items() if name in "abc"} == {name: expected[name] for name in "abc"}
    shutil.rmtree(root / "split_glyphs/reptile/e")
    write_index(root)
    assert {name: row[10] for name, row in rows(root).items()} == expected


def test_evaluations_are_linked_in_the_row_of_their_run(root: Path) -> None:
    run = add_run(root, "split_glyphs/maml/a", command="metacl-run algo.lr=1")
    write_index(root)
    assert rows(root)["a"][10] == "algo.lr=1"
    evaluation = add_run(root, "split_glyphs/maml/a/evaluations/b #1", command="metacl-run evaluate=/runs/a data.shots=<3>")
    add_run(root, "split_glyphs/maml/a/evaluations/odd", schema=7)
    write_index(root)
    assert rows(root)["a"][10] == "algo.lr=1evaluation b #1 data.shots=<3>"
    assert set(rows(root)) == {"a"}
    addresses = re.findall(r'<a href="([^"]*)">', (root / "index.html").read_text())
    assert [(root / unquote(address)).parent for address in addresses] == [run, evaluation]
    (evaluation / "report.html").unlink()
    write_index(root)
    assert re.findall(r'<a href="([^"]*)">', (root / "index.html").read_text()) == addresses[:1]
    shutil.rmtree(evaluation)
    write_index(root)
    assert rows(root)["a"][10] == "algo.lr=1"


def test_a_run_writes_it_however_it_ends(experiment: Callable[..., Experiment], root: Path) -> None:
    first = experiment("seeds=[0,1]", "figures.style=screen")
    assert run_experiment(first) == 0
    assert rows(root)[first.run_id][3] == "completed"
    assert f'href="split_glyphs/maml/{first.run_id}/report.html"' in (root / "index.html").read_text()
    second = experiment("algo.outer_lr=1e30", "algo=reptile")
    assert run_experiment(second) == 3
    assert rows(root)[second.run_id][3] == "diverged"
    assert set(rows(root)) == {first.run_id, second.run_id}


def test_it_is_never_in_the_way_of_a_run(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_run(root, "split_glyphs/maml/a")
    (root / "index.html").write_text("my own page")
    refresh_index(root)
    assert (root / "index.html").read_text() == "my own page"
    assert "was not written by metacl-run" in caplog.text
    with pytest.raises(StorageError, match="Move it"):
        write_index(root)
    refresh_index(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_the_command_writes_it(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(root, "split_glyphs/maml/a")
    monkeypatch.chdir(root.parent)
    for words in (["runs"], []):
        assert index_command.run(words, None) == 0
        assert capsys.readouterr().out == f"1 run\nwritten  {Path('runs' if words else './runs') / 'index.html'}\n"
        (root / "index.html").unlink()
    for words, message in ((["gone"], "there is no such folder"), (["runs", "more"], "takes one folder")):
        with pytest.raises(ConfigError, match=message):
            index_command.run(words, None)


@pytest.mark.timeout(120)
@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome")
def test_it_sorts_and_filters_in_a_real_browser(root: Path, tmp_path: Path) -> None:
    for name, mean in (("a", 0.5), ("b", None), ("c", -3.0), ("d", 10.0)):
        metric = {"mean": mean, "std": None, "ci95": [None, None], "values": [mean]}
        add_run(
            root, f"split_glyphs/maml/{name}", seeds=[0], metrics={"accuracy": metric}, tags=["keep"] if name != "a" else []
        )
    write_index(root)
    page = (root / "index.html").read_text()
    assert re.search(r"Content-Security-Policy[^>]*default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-", page)
    page = re.sub("<meta http-equiv[^>]*>", "", page)  # which lets no script of a test run
    clicks = """<script>
    const heading = [...document.querySelectorAll("thead button")].find((button) => button.textContent === "mean");
    const names = () => [...document.querySelectorAll("tbody tr")].filter((row) => !row.hidden).map((row) => row.cells[0].textContent).join("");
    const seen = [];
    heading.click(); seen.push(names());
    heading.click(); seen.push(names());
    search.value = "KEEP maml"; search.dispatchEvent(new Event("input")); seen.push(names(), count.textContent);
    document.title = JSON.stringify(seen);
    </script></body>"""  # noqa: E501
    (tmp_path / "clicked.html").write_text(page.replace("</body>", clicks))
    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-dev-shm-usage --dump-dom"
    command = [str(BROWSER), *options.split(), f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "clicked.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=100).stdout
    title = re.search("<title>(.*?)</title>", dom)
    assert title is not None
    assert json.loads(html.unescape(title[1])) == ["cadb", "dacb", "dcb", "3 of 4 runs"]

    page = (root / "index.html").as_uri()  # as it is: the policy lets its own script run
    command = [*command[:-1], page]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=100).stdout
    assert 'class="shortened"' in dom
