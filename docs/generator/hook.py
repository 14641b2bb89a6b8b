"""MkDocs' hook: adds the generated pages and files of the repository, and lists them in the navigation.

The navigation of mkdocs.yml names a folder where generated pages go: `options/algo/`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import option_page
import overview_page
import results_tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from published import published_results, stored_summaries

from metacl_run.config.descriptions import Description, describe
from metacl_run.config.option_files import OptionFiles

REPOSITORY = Path(__file__).parents[2]
FILES_OF_THE_REPOSITORY = ("CONTRIBUTING.md", "CHANGELOG.md", *(f"results/**/*.{end}" for end in ("md", "json", "txt", "png")))
"""Pages and data that are shown where they are."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of a folder in the place of its name in the navigation."""
    config.nav = _expanded(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of all options, and the files of the repository."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    for path in _repository_files():
        files.append(File.generated(config, path, abs_src_path=str(REPOSITORY / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the tables of results in the places of their markers."""
    return re.sub(r"\{\{ (\w+) (\w+) \}\}", lambda match: results_tables.TABLES[match[1]](match[2]), markdown)


def _expanded(nav: Any) -> Any:
    if isinstance(nav, str):
        return _paths_in(nav) if nav.endswith("/") else nav
    if isinstance(nav, dict):
        return {title: _expanded(entry) for title, entry in nav.items()}
    entries = [_expanded(entry) for entry in nav]
    return [page for entry in entries for page in (entry if isinstance(entry, list) else [entry])]


def _paths_in(folder: str) -> list[Any]:
    """The pages of a folder; those of algorithms by protocol."""
    if folder == "options/algo/":
        kinds = [protocol.name for protocol in _descriptions()["protocol"]]
        algos = _descriptions()["algo"]
        return [{kind: [f"{folder}{algo.name}.md" for algo in algos if kind in algo.kinds]} for kind in kinds]
    if folder == "results/":
        return [{_title(path): path} for path in _repository_files() if path.startswith(folder) and path.endswith(".md")]
    return [path for path in pages() if path.startswith(folder)]


def _title(path: str) -> str:
    """The title of a page of the repository; where it has none, its folder and its first heading."""
    match = re.search(r"^(#+) (.+)$", (REPOSITORY / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    if match is None:
        return path
    heading = match[2].replace("`", "")
    return heading if match[1] == "#" else f"{Path(path).parent.name}: {heading}"


@cache
def _descriptions() -> dict[str, list[Description]]:
    files = OptionFiles()
    return {group: [describe(group, name, files) for name in files.names(group)] for group in overview_page.GROUPS}


@cache
def pages() -> dict[str, str]:
    """The generated pages by path."""
    files, summaries = OptionFiles(), stored_summaries()
    numbers = published_results(files)
    by_path = {"options/index.md": overview_page.page(_descriptions())}
    for group, descriptions in _descriptions().items():
        for description in descriptions:
            own = numbers.get(description.name, []) if group == "algo" else []
            by_path[f"options/{group}/{description.name}.md"] = option_page.page(description, files, own, summaries)
    return by_path


def _repository_files() -> list[str]:
    """Paths in the repository, README.md before its neighbours."""
    paths = [path.relative_to(REPOSITORY) for pattern in FILES_OF_THE_REPOSITORY for path in REPOSITORY.glob(pattern)]
    return [str(path) for path in sorted(paths, key=lambda path: (path.parent, path.name != "README.md", path))]
