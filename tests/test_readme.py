"""Every command of the README is one that works: composed and checked here, not run. Every file that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metacl_run.config.option_files import OptionFiles
from tests.support.documents import bash_lines, check_command, commands, jobs, links

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", commands(README))
def test_a_command_composes_and_passes_every_check(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs" / "examples"))
    if reason := check_command(line):
        pytest.skip(reason)


def test_the_two_commands_for_a_fresh_machine_come_first() -> None:
    words = [line.split()[0] for line in bash_lines(README) if line and not line.startswith(("#", "git ", "cd "))]
    assert words[:2] == ["scripts/run.sh", "scripts/test.sh"]


def test_it_is_one_page() -> None:
    assert len(README.splitlines()) < 120


def test_the_method_of_ones_own_is_that_of_the_documentation() -> None:
    (method,) = re.findall(r"^```python\n    def observe\(.*?\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert method in (REPOSITORY / "docs" / "examples" / "er_pull.py").read_text(encoding="utf-8")


def test_it_lists_the_algorithms_and_data_of_every_protocol() -> None:
    files = OptionFiles()
    rows = re.findall(r"^\| [^|]*\(`(\w+)`\) \| ([\w, ]+) \| ([\w, ]+) \|$", README, flags=re.MULTILINE)
    assert {kind for kind, _, _ in rows} == {files.kind(name) for name in files.names("protocol")}
    for kind, algos, data in rows:
        assert algos.split(", ") == [algo.name for algo in files.all("algo") if files.algo_kind(algo) == kind]
        assert data.split(", ") == [option.name for option in files.all("data") if kind in option.streams]


def test_it_counts_the_options() -> None:
    groups = ("algo", "data", "model")
    counts = [len(list((REPOSITORY / "configs" / group).glob("*.yaml"))) for group in groups]
    assert f"{counts[0]} algorithms, {counts[1]} streams of data, {counts[2]} networks" in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bscripts/[\w./-]*\w", README))))
def test_a_script_that_is_named_exists(path: str) -> None:
    assert (REPOSITORY / path).is_file()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_and_images_lead_to_files(document: str) -> None:
    targets = links((REPOSITORY / document).read_text(encoding="utf-8"))
    assert not [target for target in targets if not (REPOSITORY / target).exists()]


def test_the_reading_of_a_readme() -> None:
    text = "# x\n```bash\nmetacl-run algo=maml \\\n  seeds=[0,1]  # two\nmetacl-run -m algo=maml,reptile\npip install x\n```\n"
    text += "```text\nmetacl-run not=this\n```\n"
    text += "[a](configs/config.yaml) ![b](b.png 'b') <img src=\"c.svg\"> [d](https://d.org) [e](#f)\n"
    first, second = commands(text)
    assert jobs(first) == ([["algo=maml", "seeds=[0,1]"]], None)
    assert jobs(second) == ([["algo=maml"], ["algo=reptile"]], None)
    assert jobs("metacl-run --config-dir my_configs algo=mine") == ([["algo=mine"]], "my_configs")
    assert links(text) == ["configs/config.yaml", "b.png", "c.svg"]
