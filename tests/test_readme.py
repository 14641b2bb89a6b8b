"""Every command of the README is one that works: composed and checked here, not run. Every file that it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metacl_run.config import arguments
from metacl_run.config.components import fill
from metacl_run.config.compose import compose_command, compose_job, expand, split
from metacl_run.config.load import load
from metacl_run.core.errors import DataError
from metacl_run.reproduction.paper_table import parse
from metacl_run.sweeps.search import SearchSettings, prepare

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("metacl-run", "scripts/run.sh")


def bash_lines(text: str) -> list[str]:
    """The commands of all fenced bash blocks, continued lines joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(text: str) -> list[str]:
    """Those of them that start an experiment."""
    return list(dict.fromkeys(line for line in bash_lines(text) if line.split(maxsplit=1)[:1] and line.split()[0] in PROGRAMS))


def jobs(line: str) -> tuple[list[list[str]], str | None]:
    """The overrides of every job of a command, and what follows --config-dir."""
    given = arguments.parse(shlex.split(line, comments=True)[1:])
    return expand(given.overrides, multirun=given.multirun), given.config_dir


def links(text: str) -> list[str]:
    """Targets of Markdown links and of HTML images that are files of the project."""
    found = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
    return [target.partition("#")[0] for target in found if not re.match(r"[a-z]+:|#", target)]


@pytest.mark.parametrize("line", commands(README))
def test_a_command_composes_and_passes_every_check(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    given = arguments.parse(shlex.split(line, comments=True)[1:])
    parts = split(given.overrides)
    asked = compose_command(parts.command)
    if any(line.startswith("search.") for line in parts.command):
        assert prepare(fill(SearchSettings, asked["search"], "search"), parts, None).dimensions
        return
    if asked["name"] is not None:  # its runs are composed in tests/tables
        size = asked["table"].pop("size")
        table = parse(asked["table"])
        assert all(table.overrides_of(run, size) for run in table.runs)
        return
    found, folder = jobs(line)
    assert found
    if folder is not None and not Path(folder).is_dir():
        pytest.skip(f"--config-dir {folder}: the reader's own")
    for job in found:
        try:
            load(*compose_job(job, folder))
        except DataError as error:
            pytest.skip(f"its data are not here: {error}")


def test_the_two_commands_for_a_fresh_machine_come_first() -> None:
    words = [line.split()[0] for line in bash_lines(README) if line and not line.startswith(("#", "git ", "cd "))]
    assert words[:2] == ["scripts/run.sh", "scripts/test.sh"]


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
