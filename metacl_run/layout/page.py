"""Self-contained pages, which open without a network: their style, the figures in them, their templates."""

from __future__ import annotations

import functools
import importlib.resources
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from metacl_run.storage.run_files import REPORT


def inline_svg(path: Path, title: str) -> Markup | None:
    """Returns an SVG file as an element of the page, named for screen readers; None where there is no such file.

    Several SVGs share one page, so every id gets the file's name as a prefix, in tags alone: texts may hold anything. The XML
    prologue and metadata are removed.
    """
    if not path.exists():
        return None
    name, text = path.stem, path.read_text(encoding="utf-8")
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<[^<>]*>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag[0]), body)
    label = Markup('<svg role="img" aria-label="{}" ').format(title)
    return Markup(body.replace("<svg ", label, 1))


def report_link(run_dir: Path, folder: Path) -> str | None:
    """Returns the address of a run's report on a page in `folder`, whatever bytes its path has; None where the run has no
    report."""
    report = run_dir / REPORT
    if not report.exists():
        return None
    return quote(os.fsencode(os.path.relpath(report.resolve(), folder.resolve()).replace(os.sep, "/")))


def stylesheet() -> Markup:
    """Returns page.css, for a <style> element."""
    return Markup(text_of("metacl_run.layout", "page.css"))


@functools.cache
def template(package: str, name: str, *filters: Callable[..., Any]) -> jinja2.Template:
    """Returns a template of a package, with functions that it may use as filters under their own names.

    Values are escaped, and an undefined name is an error.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update({function.__name__: function for function in filters})
    return environment.from_string(text_of(package, name))


def text_of(package: str, name: str) -> str:
    """Returns a text file of a package."""
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")
