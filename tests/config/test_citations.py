"""Every option cites entries that exist, and the BibTeX of a run holds those of its options."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from metacl_run.commands import citing
from metacl_run.config.citations import GROUPS, SOFTWARE, bibtex, entries_of, references
from metacl_run.config.components import config_dir
from metacl_run.config.option_files import OptionFiles
from metacl_run.core.errors import UserError
from metacl_run.core.version import __version__
from metacl_run.references import bibtex_of, write
from metacl_run.storage.stored_run import StoredRun
from tests.support.stored_runs import build_run

CONFIGS = [config_dir()]
OPTIONS = [option for group in GROUPS for option in OptionFiles().all(group)]
MADE_ON_THE_SPOT = {"glyphs", "split_glyphs", "recurring_glyphs", "rotated_digits", "intents"}
OWN_FILES = {
    *("image_folder", "listed_image_folder", "split_image_folder", "split_train_test_images"),
    *("text_file", "split_text_file"),
}


def test_every_key_has_an_entry_and_every_entry_is_cited() -> None:
    keys = {key for option in OPTIONS for key in option.cites}
    assert keys == set(references(CONFIGS)) - {SOFTWARE}


def test_every_option_that_comes_from_a_paper_cites_it() -> None:
    silent = {option.name for option in OPTIONS if option.group != "model" and not option.cites}
    assert silent == MADE_ON_THE_SPOT | OWN_FILES


def test_a_variant_cites_what_it_builds_on() -> None:
    files = OptionFiles()
    assert files.option("algo", "fomaml").cites == ("finn2017maml",)
    assert files.option("algo", "meta_sgd").cites == ("li2017metasgd", "finn2017maml")
    assert files.option("model", "conv4_image_small").cites == ("vinyals2016matching",)


@pytest.mark.parametrize("key", sorted(set(references(CONFIGS)) - {SOFTWARE}))
def test_entries_are_whole(key: str) -> None:
    entry = references(CONFIGS)[key]
    fields = dict(re.findall(r"^  (\w+)\s*= \{(.*)\},?$", entry, re.MULTILINE))
    assert {"author", "title", "year"} <= set(fields)
    assert entry.count("{") == entry.count("}")
    assert fields["year"] in key
    family = re.sub(r"\W", "", fields["author"].split(",")[0]).lower()
    assert key.startswith(family)
    if "eprint" in fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"])
        assert abs(int(f"20{fields['eprint'][:2]}") - int(fields["year"])) <= 1
    elif not entry.startswith("@misc"):
        assert {"journal", "booktitle", "institution"} & set(fields)


def test_the_softwares_entry_agrees_with_citation_cff() -> None:
    entry = references(CONFIGS)[SOFTWARE]
    citation = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text())
    assert f"{{{__version__}}}" in entry
    assert citation["version"] == __version__
    assert str(citation["date-released"])[:4] in entry
    assert citation["title"] in re.sub(r"[{}\\]", "", entry)


def test_entries_of_any_layout_are_read() -> None:
    text = "% a comment\n@misc{a, title={One {Two}}}\n@Article{ b ,\n  title = {x},\n\n  year = {1}\n}\nrest"
    assert entries_of(text) == {"a": "@misc{a, title={One {Two}}}", "b": "@Article{ b ,\n  title = {x},\n  year = {1}\n}"}


def test_options_of_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "mine.yaml").write_text("# Cite: me2026, nobody1900\ndefaults:\n  - maml\n")
    (tmp_path / "references.bib").write_text("@misc{me2026, author={Me}, year={2026}}\n")
    text = bibtex([("algo", "mine"), ("data", "split_glyphs")], str(tmp_path))
    assert "% algo=mine\n@misc{me2026" in text
    assert "% algo=mine cites nobody1900, which is in no references.bib." in text
    assert "% data=split_glyphs names no paper." in text
    assert list(entries_of(text)) == [SOFTWARE, "me2026"]
    (tmp_path / "algo" / "mine.yaml").write_text("lr: [0.1\n")  # after the run
    assert "% algo=mine names no paper." in bibtex([("algo", "mine")], str(tmp_path))


def run_of(directory: Path, algo: str) -> StoredRun:
    path = build_run(directory) / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "algo": algo}))
    return StoredRun(directory)


def test_a_run_keeps_its_references(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "la_er")
    computed = bibtex_of(run)
    assert {"gupta2020lamaml", "chaudhry2019tiny"} <= set(entries_of(computed))
    write(run)
    assert (run.directory / "references.bib").read_text() == computed
    (run.directory / "references.bib").write_text("@misc{kept, year={1}}")
    write(run)
    assert bibtex_of(run) == "@misc{kept, year={1}}"


def test_the_command_prints_each_entry_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, algo in (("a", "la_maml"), ("b", "la_er")):
        run_of(tmp_path / "runs" / name, algo)
    assert citing.run([str(tmp_path / "runs"), "algo/c_maml"], None) == 0
    out = capsys.readouterr().out
    assert out.count("{gupta2020lamaml,") == out.count("{metacl_run,") == 1
    block = next(block for block in out.split("\n\n") if "{gupta2020lamaml," in block)
    assert block.startswith("% algo=la_maml\n% algo=la_er\n% algo=c_maml\n@")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs a run directory"),
        (["algo/mamll"], "Did you mean maml?"),
        (["algos/maml"], "Did you mean algo?"),
        (["maml"], "neither a folder with runs nor an option"),
        (["{folder}"], "there is no run in this folder"),
    ],
)
def test_what_cannot_be_cited(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        citing.run([word.format(folder=tmp_path) for word in words], None)
