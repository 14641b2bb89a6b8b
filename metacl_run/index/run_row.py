"""One run as a row of index.html: one line of HTML, which the next index takes over while the run's stamp is the same."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from metacl_run.core.errors import StorageError
from metacl_run.index.output_folder import evaluations_of
from metacl_run.layout.numbers import number, spread_text
from metacl_run.storage.marks import marks
from metacl_run.storage.run_files import EVALUATIONS, REPORT, SUMMARY
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import ENDED, StoredRun

HEADINGS = (
    *("run", "data", "algorithm", "status", "seeds", "score", "mean", "spread over seeds"),
    *("ended (UTC)", "marks", "settings"),
)
"""The last heading, settings, has the run's own and then its evaluations."""
CELLS = {"status": Markup('<td class="{0}">{0}</td>')}
UNREADABLE = "unreadable"
ROW = Markup('<tr data-run="{}" data-stamp="{}" data-ended="{}">{}<td><code>{}</code>{}</td></tr>')
SETTING = Markup("<span>{}</span>")
LINE = re.compile(r'<tr data-run="([^"]*)" data-stamp="([^"]*)" data-ended="([^"]*)">(.*)<td><code>(.*?)</code>(.*?)</td></tr>')


class RunRow(NamedTuple):
    """A row of the table of runs."""

    run: str
    """data/algo/run id."""
    stamp: str
    """Of the files that the row was made from; empty: the row is made anew every time."""
    ended: str
    """ "2026-11-26 20:15:03"; empty while the run is under way."""
    cells: Markup
    """HTML of the cells before the settings."""
    settings: tuple[str, ...] = ()
    """The overrides of the command that distinguish the run."""
    evaluations: Markup = Markup("")
    """HTML of the list of its evaluations."""

    @property
    def line(self) -> str:
        """One line of HTML."""
        settings = Markup(" ").join(SETTING.format(setting) for setting in self.settings)
        return str(ROW.format(self.run, self.stamp, self.ended, self.cells, settings, self.evaluations))


def read_row(line: str) -> RunRow | None:
    """Returns the row that a line of an index is; None for any other line."""
    match = LINE.fullmatch(line)
    if match is None:
        return None
    run, stamp, ended = (str(Markup(text).unescape()) for text in match.groups()[:3])
    settings = [str(Markup(text).unescape()) for text in re.findall(r"<span>(.*?)</span>", match[5])]
    return RunRow(run, stamp, ended, Markup(match[4]), tuple(settings), Markup(match[6]))


def make_row(output_dir: Path, run: str, stamp: str, size: str) -> RunRow:
    """Makes the row of a run from its summary. A run that cannot be read gets a row that says why.

    Args:
        output_dir: the folder of the runs.
        run: data/algo/run id.
        stamp: of its files; it enters the row of a run that has ended.
        size: "smoke" or "reduced" where the run fills a paper's table at that size; else empty.
    """
    directory = output_dir / run
    data, algo, _ = run.split("/")

    def row(cells: Mapping[str, str], lasting_stamp: str = "", ended: str = "", settings: tuple[str, ...] = ()) -> RunRow:
        cells = {"data": data, "algorithm": algo, **cells}
        return RunRow(run, lasting_stamp, ended, _cells(directory, run, cells), settings, _evaluations(directory, run))

    if stamp.startswith("begun"):
        return row({"status": state(directory)})
    try:
        stored = StoredRun(directory)
        status = stored.status if stored.status in ENDED else state(directory)
        ended = "" if status == "running" else _ended(directory, stored.summary)
        cells = {"status": status, "ended (UTC)": ended, **_results(stored.summary, size)}
        return row(cells, stamp if status in ENDED else "", ended, _settings(stored.summary))
    except StorageError as error:
        reason = str(error).removeprefix(f"{directory / SUMMARY}: ").removeprefix(f"{directory}: ")
        return row({"status": UNREADABLE, "marks": reason})
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return row({"status": UNREADABLE, "marks": f"its {SUMMARY} is damaged"})


def _results(summary: Mapping[str, Any], size: str) -> dict[str, str]:
    """Returns the cells that a summary has, by heading."""
    score, seeds = str(summary["score"]), [int(seed) for seed in summary["seeds"]]
    cells = {
        "score": score,
        "seeds": ", ".join(map(str, seeds)),
        "marks": _marks(summary, size),
    }
    if score in summary["metrics"]:
        metric = summary["metrics"][score]
        cells |= {"mean": number(metric["mean"]), "spread over seeds": spread_text(metric) if len(seeds) > 1 else ""}
    return cells


def _ended(directory: Path, summary: Mapping[str, Any]) -> str:
    """Returns when the run ended; for a run of an older version, when its summary was written."""
    ended = summary["timing"].get("ended")
    if ended is None:
        seconds = os.stat(directory / SUMMARY).st_mtime
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return datetime.fromisoformat(ended).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _marks(summary: Mapping[str, Any], size: str) -> str:
    """Returns what a reader must know of the numbers, then the user's own tags."""
    kinds = [f"{size} size of a table"] if size else []
    return ", ".join([*kinds, *marks(summary), *map(str, summary.get("tags") or [])])


def _settings(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the overrides of the command, without what has a column of its own and what cannot change the result."""
    columns, without_effect = {"algo", "data", "seeds", "evaluate"}, set(summary["without_effect"])
    _, *overrides = shlex.split(summary["command"] or "metacl-run")
    overrides = overrides[2:] if overrides[:1] == ["--config-dir"] else overrides
    words = {word.partition("=")[0].lstrip("+"): word for word in overrides}  # the last counts
    others = {key: word for key, word in words.items() if key not in columns}
    effective = (word for key, word in others.items() if without_effect.isdisjoint((key, key.partition(".")[0])))
    return tuple(" ".join(word.split()) for word in effective)


def _evaluations(directory: Path, run: str) -> Markup:
    """Returns a line for each evaluation of the run that has a summary: a link to its report, and its settings."""
    lines = Markup("")
    for name in evaluations_of(str(directory)):
        try:
            settings = _settings(StoredRun(directory / EVALUATIONS / name).summary)
        except (StorageError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue
        link: str | Markup = name
        if os.path.exists(directory / EVALUATIONS / name / REPORT):
            link = Markup('<a href="{}/{}/{}/{}">{}</a>').format(quote(run), EVALUATIONS, quote(name), REPORT, name)
        lines += Markup('<small class="evaluation">evaluation {} {}</small>').format(link, " ".join(settings))
    return lines


def _cells(directory: Path, run: str, cells: Mapping[str, str]) -> Markup:
    """Returns the HTML of all cells but the last; `cells` by heading, without the first."""
    name: str | Markup = run.rpartition("/")[2]
    if os.path.exists(directory / REPORT):
        name = Markup('<a href="{}/{}">{}</a>').format(quote(run), REPORT, name)
    content = Markup('<th scope="row">{}</th>').format(name)
    for heading in HEADINGS[1:-1]:
        content += CELLS.get(heading, Markup("<td>{0}</td>")).format(" ".join(cells.get(heading, "").split()))
    return content
