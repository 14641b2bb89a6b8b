"""`metacl-run cite=<run directory>`, `cite=algo/maml`: prints the BibTeX of what runs used, or of options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.citations import GROUPS, bibtex, check_option, entries_of
from metacl_run.core.errors import ConfigError, StorageError
from metacl_run.references import bibtex_of
from metacl_run.storage.find_runs import find_runs
from metacl_run.storage.stored_run import StoredRun


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Prints the entries, each once. A folder stands for all runs under it.

    Raises:
        ConfigError: no word, or one that is neither a folder nor an option.
        StorageError: a folder without runs, or a broken run.
    """
    if not words:
        raise ConfigError(
            "cite: needs a run directory or an option, as in cite=runs/split_glyphs/maml/0123456789ab or cite=algo/maml"
        )
    texts: list[str] = []
    options: list[tuple[str, str]] = []
    for word in words:
        if Path(word).expanduser().is_dir():
            texts += [bibtex_of(StoredRun(path)) for path in _runs(word)]
            continue
        group, _, option = word.partition("/")
        if not option or (group not in GROUPS and Path(word).is_absolute()):
            raise ConfigError(f"cite={word}: is neither a folder with runs nor an option such as algo/maml")
        check_option(group, option, user_folder)
        options.append((group, option))
    print(_merged([*texts, *([bibtex(options, user_folder)] if options else [])]))
    return 0


def _runs(word: str) -> list[Path]:
    runs = find_runs([Path(word).expanduser()]).runs
    if not runs:
        raise StorageError(f"cite={word}: there is no run in this folder")
    return runs


def _merged(texts: Sequence[str]) -> str:
    """Returns the entries of several texts, each once, under the comments of all; then the comments without an entry."""
    comments: dict[str, dict[str, None]] = {}
    rest: dict[str, None] = {}
    for block in "\n\n".join(texts).split("\n\n"):
        above = [line for line in block.splitlines() if line.startswith("%")]
        entries = entries_of(block)
        for entry in entries.values():
            comments.setdefault(entry, {}).update(dict.fromkeys(above))
        if not entries:
            rest.update(dict.fromkeys(above))
    blocks = ["\n".join([*above, entry]) for entry, above in comments.items()]
    return "\n\n".join([*blocks, *(["\n".join(rest)] if rest else [])])
