"""metacl-report as a user meets it: what it prints and writes, what it leaves out and says, its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metacl_run.comparison import document
from metacl_run.comparison.compare import compare
from metacl_run.comparison.entries import read_entry
from metacl_run.comparison.report_cli import main
from metacl_run.config.load import Experiment
from metacl_run.experiment import run as run_experiment
from metacl_run.storage.stored_run import StoredRun


def call(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    printed = capsys.readouterr()
    assert ended.value.code == status, printed.err
    return printed.out, printed.err


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_formats_with_the_same_bytes_each_time(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("a", 0.7, seeds=[0, 1])
    runs = run("b", 0.6, algo="er", seeds=[0, 1]).parent
    out, err = call(capsys, runs, "--output", tmp_path / "one")
    call(capsys, runs, "--output", tmp_path / "two")
    assert err == ""
    assert "2 runs, 2 configurations, 1 section, 0 left out" in out
    assert re.search(r"^maml +2 +0\.\d{3} \(0\.\d{3}, 0\.\d{3}\)", out, flags=re.MULTILINE)
    stem = "figures/01_split_glyphs_continual_meta"
    drawn = {f"{stem}_{kind}.{suffix}" for kind in ("accuracy", "forgetting") for suffix in ("png", "svg")}
    tables = {
        "report.md",
        "report.tex",
        "report.html",
        "scores.csv",
        "pairs.csv",
        "seeds.csv",
        "configurations.csv",
        "costs.csv",
    }
    assert set(content(tmp_path / "one")) == drawn | tables
    assert content(tmp_path / "one") == content(tmp_path / "two")

    page = (tmp_path / "one" / "report.html").read_text()
    assert page.count("<svg role=") == 2
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)""", page)
    assert not re.search(r"url\((?!#)", page)
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    references = [*re.findall(r'<use [^>]*href="#([^"]+)"', page), *re.findall(r"url\(#([^)]+)\)", page)]
    assert references
    assert set(references) <= set(identifiers)
    markdown = (tmp_path / "one" / "report.md").read_text()
    assert all((tmp_path / "one" / target).is_file() for target in re.findall(r"\]\((figures/[^)]+)\)", markdown))


def test_only_what_is_asked_for(run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = run("a", 0.7).parent
    call(capsys, runs, "--output", tmp_path / "out", "--format", "tex", "--metric", "forgetting")
    assert list(content(tmp_path / "out")) == ["report.tex"]
    assert "algorithm & seeds & forgetting" in (tmp_path / "out" / "report.tex").read_text()


def test_a_metric_that_is_left_out_is_explained_where_it_was_asked_for(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("a", 0.7, protocol__eval_every=0)
    runs = run("b", 0.6, algo="er", protocol__eval_every=5).parent
    out, _ = call(capsys, runs, "--output", tmp_path / "out", "--metric", "accuracy", "--metric", "min_accuracy")
    assert "Left out: min_accuracy: depends on when and on which samples runs are probed" in " ".join(out.split())


def test_runs_that_cannot_be_compared_are_left_out_with_a_message_each(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("good", 0.7, seeds=[0, 1])
    cut = run("cut", 0.7)
    (cut / "summary.json").write_bytes((cut / "summary.json").read_bytes()[:100])
    broken = {
        "other": {"schema": 7},
        "stopped": {"status": "interrupted"},
        "failed": {"status": "failed", "error": "no data"},
        "odd": {"seeds": [0, 1]},
        "unknown": {"score": "bleu"},
        "without": {"config": None},
    }
    for name, changed in broken.items():
        path = run(name, 0.7) / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    killed = tmp_path / "runs" / "killed"
    killed.mkdir()
    (killed / "config.yaml").touch()
    (killed / "metrics.jsonl").touch()

    out, err = call(capsys, tmp_path / "runs", "--output", tmp_path / "out")

    assert "1 run, 1 configuration, 1 section, 8 left out" in out
    said = {Path(re.match(r"metacl-report: left out: ([^:]+): ", line)[1]): line for line in err.splitlines()}  # type: ignore[index]
    folders = {path.name if path.suffix == "" else path.parent.name: line for path, line in said.items()}
    reasons = {
        "cut": "truncated",
        "other": "schema 7",
        "stopped": "interrupted",
        "failed": "failed: no data",
        "odd": "1 values for 2 seeds",
        "unknown": "no bleu",
        "without": "does not hold the config",
        "killed": "has not ended",
    }
    assert folders.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in folders[name]
    for name in ("report.md", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert all(str(path) in text for path in said)


def test_a_table_in_which_every_run_diverged_is_left_out_and_says_when(run: Callable[..., Path], tmp_path: Path) -> None:
    run("good", 0.7, seeds=[0, 1])
    error = "the training loss or the state is not finite at observation 20 for seeds [0, 1]. A smaller learning rate helps."
    for name, said in (("lost", error), ("odd", None)):
        path = run(name, 0.7, algo=name, data__shots=5) / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "diverged", "error": said, "metrics": {}}))
    comparison = compare([tmp_path / "runs"])
    assert [list(scores.section.configurations) for scores in comparison.sections] == [["maml"]]
    assert comparison.runs == 1
    assert comparison.left_out == [
        f"{tmp_path / 'runs' / 'lost'}: diverged at observation 20, before it had a score",
        f"{tmp_path / 'runs' / 'odd'}: diverged before it had a score",
    ]


def test_a_run_that_diverged_before_it_had_a_score_is_a_row_without_values(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("small", 0.7, algo__lr=0.1, seeds=[0, 1, 2])
    run("smaller", 0.6, algo__lr=0.01, seeds=[0, 1, 2])
    lost = run("large", 0.7, algo__lr=10.0, seeds=[0, 1, 2])
    summary = json.loads((lost / "summary.json").read_text())
    error = "the training loss or the state is not finite at observation 20 for seeds 0, 1 and 2. A smaller rate helps."
    (lost / "summary.json").write_text(json.dumps({**summary, "status": "diverged", "error": error, "metrics": {}}))
    for name in ("accuracy_matrix.npy", "metrics.jsonl"):
        (lost / name).unlink(missing_ok=True)
    out, _ = call(capsys, tmp_path / "runs", "--output", tmp_path / "out", "--format", "md", "--format", "html")
    assert "3 runs, 3 configurations, 1 section" in out
    assert "could not be drawn" not in out
    rows = [line for line in (tmp_path / "out" / "report.md").read_text().splitlines() if line.startswith("| maml")]
    assert [row.split("|")[1].strip() for row in rows[:3]] == ["maml algo.lr=0.1", "maml algo.lr=0.01", "maml algo.lr=10.0"]
    assert "nan" not in rows[2].replace("†", "")
    assert (
        "† maml algo.lr=10.0: diverged at observation 20, before it had a score."
        in (tmp_path / "out" / "report.md").read_text()
    )
    (scores,) = compare([tmp_path / "runs"]).sections
    assert {(pair.first, pair.second) for pair in scores.pairs} == {("maml algo.lr=0.1", "maml algo.lr=0.01")}


def test_files_that_figures_need_may_be_broken(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("a", 0.7)
    broken = run("b", 0.6, algo="er")
    (broken / "accuracy_matrix.npy").write_bytes(b"\x93NUMPY")
    out, err = call(capsys, broken.parent, "--output", tmp_path / "out", "--format", "md")
    assert re.search(r"^er +1 +0\.", out, flags=re.MULTILINE)
    assert err.count("could not be drawn") == 1
    assert "accuracy_matrix.npy: cannot be read" in err
    assert (tmp_path / "out" / "figures" / "01_split_glyphs_continual_meta_accuracy.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["EMPTY"], "no runs (searched"),
        (["EMPTY/gone"], "there is no such folder"),
        ([], "required: PATH"),
        (["EMPTY", "--format", "pdf"], "invalid choice: 'pdf'"),
        (["EMPTY", "--frmat", "md"], "unrecognized arguments: --frmat md"),
    ],
)
def test_a_mistake_is_one_message_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [each.replace("EMPTY", str(tmp_path)) for each in arguments]
    out, err = call(capsys, *given, status=1)
    assert out == ""
    assert message in err
    assert err.startswith("metacl-report: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_runs_of_which_none_can_be_compared(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = run("a", 0.7)
    (directory / "summary.json").write_text("{")
    _, err = call(capsys, directory, "--output", tmp_path / "out", status=1)
    assert [line.split(": ", 1)[1] for line in err.splitlines()] == [
        f"left out: {directory / 'summary.json'}: is truncated or no summary. Give the run's command again to compute it anew",
        f"{directory}: none of the 1 runs can be compared",
    ]
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written(run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    _, err = call(capsys, run("a", 0.7), "--output", tmp_path / "file", status=1)
    assert "Choose another place with --output DIR" in err


def test_it_starts_without_what_is_slow_to_load(run: Callable[..., Path], tmp_path: Path) -> None:
    imports = "import sys\nfrom metacl_run.comparison.report_cli import main"
    script = imports + "\ntry:\n    main()\nfinally:\n    print({} & sys.modules.keys())"
    heavy = {"torch", "hydra", "omegaconf", "wandb"}
    command = [sys.executable, "-c", script.format(heavy), str(run("a", 0.7)), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    light = script.format(heavy | {"numpy", "matplotlib", "rich", "yaml"})
    helped = subprocess.run([sys.executable, "-c", light, "--help"], capture_output=True, text=True, check=True)
    assert "--metric NAME" in helped.stdout
    assert helped.stdout.splitlines()[-1] == "set()"


def test_runs_of_the_program_itself(
    experiment: Callable[..., Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = experiment("seeds=[0,1]")
    others = [experiment("seeds=[2]"), experiment("algo=reptile", "seeds=[0,1,2]")]
    for each in (first, *others):
        assert run_experiment(each) == 0
    stored = StoredRun(first.directory)
    path = first.directory / "summary.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "config"}))
    assert StoredRun(first.directory).settings == stored.settings
    assert read_entry(first.directory).settings["algo.inner_lr"] == first.algo.inner_lr
    capsys.readouterr()
    out, err = call(capsys, tmp_path / "runs", "--output", tmp_path / "out", "--format", "md")
    assert err == ""
    assert "3 runs, 2 configurations, 1 section, 0 left out" in out
    assert re.search(r"^maml +3 ", out, flags=re.MULTILINE)


def test_rows_lead_to_the_reports_of_their_runs(run: Callable[..., Path], tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        folder = run(name, 0.7, seeds=[seed])
        if name != "c":  # whose report is not there
            (folder / "report.html").write_text("")
    alone = run("d #1", 0.6, algo="er", seeds=[0, 1])
    (alone / "report.html").write_text("")
    document.write(compare([tmp_path / "runs"]), tmp_path / "out", ["html"])
    page = (tmp_path / "out" / "report.html").read_text()
    links = dict.fromkeys(re.findall(r'<a href="([^#"]+)">([^<]*)</a>', page))
    assert list(links) == [
        ("../runs/a/report.html", "0"),
        ("../runs/b/report.html", "1"),
        ("../runs/d%20%231/report.html", "er"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_folders_with_names_that_are_no_utf_8(run: Callable[..., Path], tmp_path: Path) -> None:
    directory = run(os.fsdecode(b"caf\xe9"), 0.7)
    (directory / "report.html").write_text("")
    (run(os.fsdecode(b"cut\xe9"), 0.7) / "summary.json").write_text("{")
    output = tmp_path / os.fsdecode(b"out\xe9")
    command = [sys.executable, "-m", "metacl_run.comparison", str(tmp_path / "runs"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    assert "1 run, 1 configuration, 1 section, 1 left out" in done.stdout
    assert f"written {tmp_path}/out?/report.md" in done.stdout
    assert '<a href="../runs/caf%E9/report.html">maml</a>' in (output / "report.html").read_text("utf-8")
    assert "runs/caf?" in (output / "configurations.csv").read_text("utf-8")
    assert "runs/cut?/summary.json: is truncated" in (output / "report.md").read_text("utf-8")


def test_titles_start_no_markup(run: Callable[..., Path], tmp_path: Path) -> None:
    run("a", 0.7)
    directory = run("b", 0.7, data__shift="<b>x</b> [1](y) `z`")
    document.write(compare([directory.parent]), tmp_path / "out", ["md"])
    text = (tmp_path / "out" / "report.md").read_text()
    escaped = r"data.shift=\<b\>x\</b\> \[1\](y) \`z\`"
    assert f"## split_glyphs, continual_meta, {escaped}\n" in text
    assert f"![Accuracy on the tasks seen so far, split_glyphs, continual_meta, {escaped}](figures/" in text
    assert "Same for all: `data.shift=<b>x</b> [1](y) 'z' data.shots=1 protocol.eval_split=test`" in text
