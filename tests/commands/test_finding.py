"""`metacl-run list` and `describe`: what a user reads who looks for an option."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metacl_run.cli import exit_status
from metacl_run.commands.text_pages import docstring
from metacl_run.config.components import config_dir

Answer = Callable[[Sequence[str]], str]


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What a command prints, on stdout where it succeeds and else on stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(words: Sequence[str]) -> str:
        status = exit_status(words)
        out, err = capsys.readouterr()
        return err if status else out

    return run


@pytest.mark.parametrize("words", [["list", "algo"], ["list=algo"]])
def test_list_has_one_line_for_every_option(answer: Answer, words: Sequence[str]) -> None:
    heading, *lines = answer(words).splitlines()
    assert heading.startswith("algo: ")
    names = {path.stem for path in (config_dir() / "algo").glob("*.yaml")}
    assert {line.split()[0].removeprefix("algo=") for line in lines} == names
    assert len(lines) == len(names)
    assert next(line for line in lines if line.startswith("algo=er ")).split()[1] == "online"


def test_list_of_everything_and_of_a_users_options(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "mine.yaml").write_text("# My method. It is new.\ndefaults: [er]\n")
    listing = answer(["--config-dir", str(tmp_path), "list"])
    line = next(line for line in listing.splitlines() if line.startswith("algo=mine "))
    assert line.split(None, 2) == ["algo=mine", "online", "My method."]
    assert "\ntable=mer" in listing


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "alg"], "list alg: there is no such group. Did you mean algo?"),
        (["lst"], "lst: there is no such command. Did you mean list?"),
        (["describe"], "describe: takes an option"),
        (["describe=algo/mamk"], "algo=mamk: there is no such option. Did you mean maml?"),
        (["describe=omniglo"], "describe=omniglo: there is no such option. Did you mean omniglot?"),
        (["describe=alg/maml"], "describe=alg/maml: there is no group alg. Did you mean algo?"),
        (["list", "-m"], "list: does not go with --multirun"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(answer: Answer, words: Sequence[str], message: str) -> None:
    assert answer(words).startswith(f"metacl-run: {message}")


def test_list_loads_neither_torch_nor_hydra_config() -> None:
    script = "import sys; from metacl_run.cli import exit_status; exit_status(['list']); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("words", [["describe=algo/maml"], ["describe", "maml"], ["describe=algo=maml"]])
def test_a_page_has_settings_bounds_and_notes(answer: Answer, words: Sequence[str]) -> None:
    page = answer(words)
    for part in (
        "run it      metacl-run algo=maml\n",
        "  algo.inner_lr=0.4\n",
        "a number, or null; greater than 0\n",
        "one of adam, sgd\n",
        "    phi = theta - inner_lr * grad L_support(theta), repeated inner_steps times\n",
        " 2. The batch norm has a scale",
    ):
        assert part in page
    assert max(map(len, page.splitlines())) <= 80


def test_pages_of_data_presets_and_tables(answer: Answer) -> None:
    data = answer(["describe=data/many_permuted_mnist"])
    assert "Settings under protocol=online\n  data.num_tasks=100\n" in data
    assert "(from permuted_mnist)" in data
    assert "  algo.classes=3\n" in answer(["describe=experiment/omniglot_oml"])
    assert "experiment=rotated_mnist_sgd" in answer(["describe=table/mer"])


def test_a_docstring_keeps_its_formulas() -> None:
    text = "A long paragraph that\nis wrapped.\n\n    a = b\n    c = d\n\n 1. An item that\n    goes on.\n 2. Another."
    assert (
        docstring(text, 80)
        == "A long paragraph that is wrapped.\n\n    a = b\n    c = d\n\n 1. An item that goes on.\n 2. Another."
    )


def test_help_fits_eighty_columns_and_names_commands_and_groups(answer: Answer) -> None:
    page = answer(["--help"])
    assert max(map(len, page.splitlines())) <= 80
    for part in ("\n  list  ", "\n  describe  ", "\n  algo  ", "-m, --multirun", "\n  seeds=[0]  ", "\n  table.size=paper  "):
        assert part in page
    assert "hydra." not in page


def test_help_with_options_shows_their_settings(answer: Answer) -> None:
    page = answer(["--help", "algo=anil", "data=split_omniglot"])
    assert "  algo.plastic=head         parameters that adapt: all | head (ANIL)\n" in page
    assert "  data.ways=5 " in page
    assert "scenario" not in page  # of another protocol
    assert "meta_batch_size" not in answer(["--help"])


def test_help_for_a_command(answer: Answer) -> None:
    assert answer(["describe", "--help"]).startswith("Describes an option: `metacl-run describe=algo/maml`")


@pytest.mark.parametrize(
    ("line", "some", "never"),
    [
        ("metacl-run ", {"list", "describe", "algo=", "algo.", "seeds=", "debug="}, {"hydra."}),
        ("metacl-run algo=ma", {"algo=maml", "algo=maml_rep"}, {"algo=er"}),
        ("metacl-run -m algo=maml,rep", {"algo=maml,reptile"}, set()),
        ("metacl-run data.wa", {"data.ways="}, {"data.streams."}),
        ("metacl-run algo=er data.", {"data.train_per_task="}, {"data.ways=", "data.root="}),
        ("metacl-run data=split_omniglot algo=er data.", {"data.scenario=", "data.root="}, {"data.ways="}),
        ("metacl-run experiment=omniglot_oml protocol.s", {"protocol.schedule="}, {"protocol.updates_per_task="}),
        ("metacl-run ++data.ways=", {"++data.ways=5"}, set()),
        ("metacl-run list ", {"algo", "table"}, {"maml"}),
        ("metacl-run describe=algo/m", {"describe=algo/maml"}, {"algo/maml"}),
        ("metacl-run describe maml model/c", {"model/conv4"}, set()),
        ("metacl-run --conf", {"--config-dir"}, {"--cfg"}),
        ("metacl-run algo=nope data.", set(), {"data.ways="}),
    ],
)
def test_the_tab_key_offers_what_a_user_types(
    line: str, some: set[str], never: set[str], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    offered = set(answer(["-sc", "query=bash"]).split())
    assert some <= offered
    assert not never & offered
    assert all(word.startswith(line.split(" ")[-1]) for word in offered)


def test_the_tab_key_knows_options_and_folders_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "mine.yaml").write_text("defaults: [er]\n")
    monkeypatch.setenv("COMP_LINE", f"metacl-run --config-dir {tmp_path} algo=min")
    assert answer(["-sc", "query=bash"]) == "algo=mine\n"
    monkeypatch.setenv("COMP_LINE", f"metacl-run evaluate={tmp_path}/a")
    assert answer(["-sc", "query=bash"]) == f"evaluate={tmp_path}/algo/\n"
