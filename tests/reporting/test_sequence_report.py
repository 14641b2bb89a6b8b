"""Report and end table of runs under `meta_continual`: the sentence, the lengths, and where a rate was tuned on test."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from metacl_run.reporting import figures, report, terminal
from metacl_run.scoring.intervals import interval95
from metacl_run.storage.stored_run import StoredRun
from tests.support.stored_sequences import build_sequences


def page_of(directory: Path, **settings: Any) -> str:
    run_dir = build_sequences(directory / "run", **settings)
    figures.draw(StoredRun(run_dir))
    return report.write(StoredRun(run_dir)).read_text(encoding="utf-8")


def shown(directory: Path, width: int | None = None, **settings: Any) -> str:
    """What the terminal says; without a width, not a terminal."""
    out = io.StringIO()
    run_dir = build_sequences(directory / "run", **settings)
    terminal.show(StoredRun(run_dir), Console(file=out, width=width or 30, force_terminal=width is not None, color_system=None))
    return out.getvalue()


def content_of(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "run" / "summary.json").read_text())["meta_test"]


def test_the_page_says_what_was_learned(tmp_path: Path) -> None:
    page = page_of(tmp_path, replicates=3)
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    titles = re.findall(r"<caption>([^<]+)", page)
    assert titles[:3] == ["Metrics", "Accuracy by number of classes", "Accuracy matrix"]
    content = content_of(tmp_path)
    held_out, memory = (np.array(content[name])[:, -1].mean() for name in ("accuracy", "memory"))
    assert f"After learning 200 unseen classes in one pass, {held_out:.0%} of held-out examples" in text
    assert f"(memory {memory:.0%}); chance is 0.5%." in text
    for row, length in enumerate(content["lengths"]):
        seeds = np.array(content["accuracy"])[:, row].mean(axis=1)
        low, high = interval95(seeds)
        assert f" {length} {seeds.mean():.3f} {low:.3f} to {high:.3f} " in text
    assert "accuracy on classes 1 to 10 11 to 50 51 to 100 101 to 200" in text
    assert "held-out accuracy on all classes after learning them one after another" in text
    assert "tuned on test" not in text
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_nothing_about_a_stream_of_tasks_is_left(tmp_path: Path) -> None:
    page = page_of(tmp_path, replicates=2, gate=True)
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(labels) == 8
    text = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).split("<h2>To repeat the run")[0]
    assert not re.search(r"\btasks?\b", text)


def test_a_rate_tuned_on_test_is_said_before_any_number(tmp_path: Path) -> None:
    page = page_of(tmp_path, tuned_on="test")
    banner = page.index("<strong>learning rate tuned on test</strong>")
    assert banner < page.index("In short.") < page.index('class="tile"')
    assert "metric (learning rate tuned on test)" in page
    assert '<th scope="col">learning rate tuned on test</th>' in page
    text = shown(tmp_path, tuned_on="test")
    lines = text.splitlines()
    mark = lines.index("learning rate tuned on test")
    assert lines[mark + 1].startswith("metric (learning rate tuned on test)")
    assert "tuned on test" not in shown(tmp_path, tuned_on="train")


def test_the_terminal_has_a_row_a_length(tmp_path: Path) -> None:
    lines = shown(tmp_path, replicates=2).splitlines()
    content = content_of(tmp_path)
    start = next(index for index, line in enumerate(lines) if line.startswith("classes learned"))
    for row, length in enumerate(content["lengths"]):
        cells = lines[start + 1 + row].split()
        means = [np.mean([seed[row] for seed in content[name]]) for name in ("accuracy", "memory", "joint")]
        assert cells[0] == str(length)
        assert {f"{mean:.3f}" for mean in means} <= set(cells)
        assert cells[-1] == f"{content['chosen'][0][row]:.3g}"
        one, other = np.array(content["accuracy"])[:, row].mean(axis=1)
        assert f" {one:.3f}, {other:.3f} " in lines[start + 1 + row]
    assert "both seeds" in lines[start]


@pytest.mark.parametrize(("replicates", "over"), [(1, "orders, one seed"), (3, "seeds")])
def test_the_terminal_says_what_an_interval_is_over(tmp_path: Path, replicates: int, over: str) -> None:
    lines = shown(tmp_path, replicates=replicates).splitlines()
    assert f"95% over {over}" in next(line for line in lines if line.startswith("classes learned"))


def test_a_narrow_terminal_goes_without_intervals(tmp_path: Path) -> None:
    text = shown(tmp_path, width=80)
    assert "95%" not in text.split("learning rate")[0]
    assert max(map(len, text.split("directory")[0].splitlines())) <= 80


@pytest.mark.parametrize("settings", [{"rates": None, "tuned_on": None}, {"joint": False, "lengths": (20,), "orders": 1}])
def test_what_was_not_measured_has_no_column(tmp_path: Path, settings: dict[str, Any]) -> None:
    text = shown(tmp_path, **settings)
    assert ("learning rate" in text) == ("rates" not in settings)
    assert ("joint training" in text) == ("joint" not in settings)
    page_of(tmp_path, **settings)


def test_seeds_that_chose_differently_are_given_as_a_range(tmp_path: Path) -> None:
    run_dir = build_sequences(tmp_path / "run", replicates=2)
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["meta_test"]["chosen"][1][0] = 0.01
    (run_dir / "summary.json").write_text(json.dumps(summary))
    out = io.StringIO()
    terminal.show(StoredRun(run_dir), Console(file=out))
    assert "0.001 to 0.01" in out.getvalue()


def test_a_run_stopped_in_meta_training_says_what_its_last_probe_gave(tmp_path: Path) -> None:
    page = page_of(tmp_path, stop=230, status="interrupted")
    assert "No meta-test was completed. The last probe, 20 classes after 200 meta-updates: accuracy 0.52, memory 0.72." in page
    assert "Accuracy by number of classes" not in page
    text = shown(tmp_path, stop=50, status="diverged")
    assert "No meta-test was completed." in text
    assert "probe," not in text


def test_the_time_of_meta_test_is_called_so(tmp_path: Path) -> None:
    assert "Probes and meta-test took 75% of the time." in shown(tmp_path)
    assert "Meta-test took 75% of the time." in shown(tmp_path, updates=0)


def as_an_error(run_dir: Path) -> dict[str, Any]:
    """Turns the run into one whose score is a mean squared error, above 1; its meta-test."""

    def error(values: Any) -> Any:
        return (5 * (1.2 - np.array(values))).tolist()

    def renamed(name: str) -> str:
        return name.replace("accuracy", "mse")

    summary = json.loads((run_dir / "summary.json").read_text())
    test = summary["meta_test"]
    for part in (test, test["by_place"]):
        part.update(mse=error(part.pop("accuracy")), memory=error(part["memory"]))
    test |= {"untrained": None, "joint": error(test["joint"]), "selection": error(test["selection"]), "score": "mse"}
    summary |= {"score": "mse", "metrics": {renamed(name): metric for name, metric in summary["metrics"].items()}}
    summary["task_names"] = [[name.replace("classes", "functions") for name in each] for each in summary["task_names"]]
    (run_dir / "summary.json").write_text(json.dumps(summary))
    np.save(run_dir / "accuracy_matrix.npy", error(np.load(run_dir / "accuracy_matrix.npy")))
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        if record["kind"] == "probe":
            record.update(mse=error(record.pop("accuracy")), memory=error(record["memory"]))
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return test


def test_of_functions_nothing_is_said_about_classes(tmp_path: Path) -> None:
    run_dir = build_sequences(tmp_path / "run", replicates=2)
    test = as_an_error(run_dir)
    figures.draw(StoredRun(run_dir))
    page = report.write(StoredRun(run_dir)).read_text(encoding="utf-8")
    text = re.sub(
        r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.split("<h2>To repeat the run")[0].split("<body>")[1]))
    )
    held_out, memory = (np.array(test[name])[:, -1].mean() for name in ("mse", "memory"))
    said = f"After learning 200 unseen functions in one pass, the mean squared error on held-out points is {held_out:.2f}"
    assert said in text
    assert f"({memory:.2f} on the learned points)" in text
    assert "Mean squared error by number of functions functions learned" in text
    assert "mean squared error on functions 1 to 10 11 to 50" in text
    assert "held-out mean squared error on all functions" in text
    out = io.StringIO()
    terminal.show(StoredRun(run_dir), Console(file=out, width=200))
    assert "functions learned" in out.getvalue()
    for words in (text.replace("accuracy_matrix.npy", ""), out.getvalue()):
        assert not re.search(r"\b(accurac\w+|class|classes|images?|chance)\b", words, re.IGNORECASE)
