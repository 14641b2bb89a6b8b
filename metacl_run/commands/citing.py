"""`metacl-run cite=<run directory>`, `cite=algo/maml`: the BibTeX of what runs used, or of options. Several stand one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.citations import ENTRY, GROUPS, bibtex, check_option
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
        raise ConfigError("cite: needs a run directory or an option, as in cite=runs/split_glyphs/maml/0123456789ab or cite=algo/maml")
    entries: dict[str, None] = {}
    options: list[tuple[str, str]] = []
    for word in words:
        if Path(word).expanduser().is_dir():
            entries.update(dict.fromkeys(text for path in _runs(word) for text in _blocks(bibtex_of(StoredRun(path)))))
            continue
        group, _, option = word.partition("/")
        if not option or (group not in GROUPS and Path(word).is_absolute()):
            raise ConfigError(f"cite={word}: is neither a folder with runs nor an option such as algo/maml")
        check_option(group, option, user_folder)
        options.append((group, option))
    if options:
        entries.update(dict.fromkeys(_blocks(bibtex(options, user_folder))))
    print("\n\n".join(_merged(entries)))
    return 0


def _runs(word: str) -> list[Path]:
    runs = find_runs([Path(word).expanduser()]).runs
    if not runs:
        raise StorageError(f"cite={word}: there is no run in this folder")
    return runs


def _blocks(text: str) -> list[str]:
    """Returns the entries of a BibTeX text, each with the comments above it, and the comments at the end."""
    return [block for block in text.strip().split("\n\n") if block]


def _merged(blocks: Sequence[str] | dict[str, None]) -> list[str]:
    """Returns every entry once, under the comments of all its blocks; then the comments without an entry."""
    comments: dict[str, dict[str, None]] = {}
    rest: dict[str, None] = {}
    for block in blocks:
        lines = block.splitlines()
        above = [line for line in lines if line.startswith("%")]
        match = ENTRY.search(block)
        if match is None:
            rest.update(dict.fromkeys(above))
        else:
            comments.setdefault(match[0], {}).update(dict.fromkeys(above))
    entries = ["\n".join([*above, entry]) for entry, above in comments.items()]
    return [*entries, *(["\n".join(rest)] if rest else [])]
