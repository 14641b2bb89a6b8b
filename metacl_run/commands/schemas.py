"""Writes JSON schemas of the option files, for editors: `metacl-run schema=FOLDER`; `metacl-run schema` prints them.

With them an editor completes the keys of a file such as algo/mine.yaml, shows what a setting is, and marks a wrong value. A
file names its schema in its first line: # yaml-language-server: $schema=FOLDER/algo.json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from metacl_run.config.json_schemas import SCHEMA_GROUPS, schema
from metacl_run.config.option_files import OptionFiles
from metacl_run.core.errors import ConfigError, StorageError


def run(words: Sequence[str], user_folder: str | None) -> int:
    """Prints or writes the schemas of all groups. Raises UserError."""
    if len(words) > 1:
        raise ConfigError(f"schema={words[0]}: takes one folder to write to, or none to print")
    files = OptionFiles(user_folder)
    schemas = {group: schema(group, files) for group in SCHEMA_GROUPS}
    if not any(words):
        print(json.dumps(schemas, indent=1))
        return 0
    folder = Path(words[0]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for group, content in schemas.items():
            (folder / f"{group}.json").write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"schema={folder}: cannot be written: {error.strerror}") from None
    print(f"written  {folder}/{{{','.join(schemas)}}}.json")
    print("VS Code, extension YAML (redhat.vscode-yaml), in settings.json:")
    associations = {str((folder / f"{group}.json").absolute()): f"**/{group}/*.yaml" for group in schemas}
    print(json.dumps({"yaml.schemas": associations}, indent=2))
    return 0
