"""The documentation says what is so: commands work, pages are complete, numbers are those of results/. It is not built here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metacl_run.comparison.report_cli import _parser as report_parser
from metacl_run.core.errors import UserError
from metacl_run.scoring import matrix_metrics
from tests.support.documents import check_command, commands
from tests.support.stored_runs import build_run

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
BENCHMARK = (REPOSITORY / "results" / "cpu" / "benchmark.txt").read_text(encoding="utf-8")
GROUPS = ("protocol", "algo", "data", "model")


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The generated pages by path."""
    sys.path.insert(0, str(DOCS / "generator"))
    try:
        from hook import pages  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    by_path: dict[str, str] = pages()
    return by_path


def navigation(entry: Any) -> list[str]:
    """All paths of a navigation."""
    if isinstance(entry, str):
        return [entry]
    return [path for part in (entry.values() if isinstance(entry, dict) else entry) for path in navigation(part)]


def test_every_page_is_in_the_navigation() -> None:
    paths = navigation(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert {path for path in paths if "/" not in path} == {*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"}
    assert {f"options/{group}/" for group in GROUPS} <= set(paths)


def test_every_option_has_a_page(generated: dict[str, str]) -> None:
    for group in GROUPS:
        for path in (REPOSITORY / "configs" / group).glob("*.yaml"):
            page = generated[f"options/{group}/{path.stem}.md"]
            for key in re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
                assert key in ("_target_", "defaults", "streams") or f"`{group}.{key}`" in page, (path, key)


def test_a_page_has_equations_differences_and_published_numbers(generated: dict[str, str]) -> None:
    page = generated["options/algo/la_maml.md"]
    assert "alpha <- alpha - rate_lr * dJ/dalpha" in page
    assert "### Differences from the paper and its code\n\n1. Samples enter the replay buffer after" in page
    assert re.search(r"\| La-MAML, table 1: MNIST, La-MAML, rotations, RA \| 77\.42 ± 0\.65 \| .*memory \| 76\.3 \(", page)


@pytest.mark.parametrize(("name", "loss"), [("continual_maml", "L"), ("prolonged_maml", "M")])
def test_a_scaled_gradient_is_not_called_a_scaled_rate(name: str, loss: str, generated: dict[str, str]) -> None:
    """Which are the same for SGD alone; Adam, the default, cancels a constant scale."""
    page = generated[f"options/algo/{name}.md"]
    assert f"theta <- a step of the outer optimiser on w({loss}) * grad_theta {loss}" in page
    assert "outer_lr * w" not in page


METHODS = sorted(path.stem for path in (REPOSITORY / "configs" / "algo").glob("*.yaml"))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_numbered_differences_from_its_paper(name: str, generated: dict[str, str]) -> None:
    assert re.search(r"### Differences from .*\n\n1\. ", generated[f"options/algo/{name}.md"])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_named_in_a_page_that_is_written_by_hand(name: str) -> None:
    assert any(re.search(rf"`{name}`|algo=(\w+,)*{name}\b", text) for text in PAGES.values())


def test_commands_compose_and_pass_every_check(generated: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    lines = dict.fromkeys(line for text in PAGES.values() for line in commands(text))
    # The first command of a generated page is its option's example, which tests/config/test_descriptions.py composes.
    lines |= dict.fromkeys(line for text in generated.values() for line in commands(text)[1:])
    assert len(lines) > 60
    mistakes = []
    for line in lines:
        try:
            check_command(line)
        except UserError as error:
            mistakes.append(f"{line}: {error}")
    assert not mistakes, "\n".join(mistakes)


def test_commands_of_other_programs_are_parsed() -> None:
    lines = [line for text in PAGES.values() for line in re.findall(r"^\$ metacl-report (.*)$", text, flags=re.MULTILINE)]
    assert lines
    for line in lines:
        report_parser().parse_args(line.split())


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_compile(name: str) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", PAGES[name], flags=re.MULTILINE | re.DOTALL):
        compile(block, name, "exec")


def test_reading_a_run_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = build_run(tmp_path / "run")
    block = re.findall(r"^```python\n(.*?)^```", PAGES["run-files.md"], flags=re.MULTILINE | re.DOTALL)[0]
    monkeypatch.chdir(run)
    names: dict[str, Any] = {}
    exec(block, names)
    assert float(capsys.readouterr().out) == pytest.approx(np.load(run / "accuracy_matrix.npy")[0, -1].mean())
    assert names["losses"]


def test_the_matrix_of_the_metrics_page() -> None:
    text = PAGES["metrics.md"]
    rows = re.findall(r"^\| after task \d \| (\S+) \| (\S+) \| (\S+) \|$", text, flags=re.MULTILINE)
    matrix = np.array([[0.1] * 3, *rows], dtype=float)
    row = re.search(r"\*\*metacl_run\*\* \| (\S+) \| (\S+) \| (\S+) \|", text)
    assert row is not None
    ours = matrix_metrics.forgetting(matrix), matrix_metrics.bwt(matrix), matrix_metrics.fwt(matrix)
    assert [float(value) for value in row.groups()] == pytest.approx(ours, abs=1e-9)


def test_measured_times_are_those_of_the_printed_benchmark() -> None:
    rows = re.findall(r"^\| [^|]*[a-z][^|]* \| ([\d.]+)(?: m?s)? \| ([\d.]+)", PAGES["speed.md"], flags=re.MULTILINE)
    assert len(rows) > 10
    assert not [row for row in rows for time in row if not re.search(rf"(?<![\d.]){re.escape(time)}", BENCHMARK)]


def test_the_gpu_is_spoken_of_as_measured_once_it_is() -> None:
    state = (DOCS / "parts" / "gpu_state.md").read_text(encoding="utf-8")
    assert ("Nothing has been measured" in state) != (REPOSITORY / "results" / "gpu").exists()
