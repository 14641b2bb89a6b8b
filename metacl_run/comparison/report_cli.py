"""metacl-report: folders of runs into one comparison. `--help` and mistakes in the command load nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from metacl_run.comparison.document import Contents

FORMATS = ("md", "tex", "csv", "html")
MOST_SAID = 20
"""Messages about single runs on the terminal; all of them are in the report."""
DESCRIPTION = """\
Compares all runs at and under PATH: a table for each data set, with the mean of every metric over seeds, its 95% interval
(Student t) and the interquartile mean; differences over common seeds; overlaid curves of accuracy and forgetting.
"""
EPILOG = """\
metacl-report runs                                   into ./report
metacl-report runs/split_omniglot --metric accuracy --metric forgetting --format tex
metacl-report runs other/runs --by data.shots        tables apart by the value of a setting

Exit status: 0 a report was written; 1 not, or a mistake in what was asked.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"metacl-report: {message}. `metacl-report --help` says more.", file=sys.stderr)
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 a report was written, 1 not."""
    given = _parser().parse_args(arguments)
    from metacl_run.core.errors import UserError

    try:
        report(given.paths, given.output, given.formats or FORMATS, given.metrics, given.by)
    except UserError as error:
        _say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="metacl-report", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a folder of runs, or a run's directory")
    parser.add_argument(
        "--metric",
        dest="metrics",
        metavar="NAME",
        action="append",
        default=[],
        help="a metric to compare, by its name in summary.json; may be given several times (default: the score, its "
        "learning_ form, forgetting and bwt)",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("report"), help="where to write (default: ./report)")
    parser.add_argument(
        "--format",
        dest="formats",
        choices=FORMATS,
        action="append",
        help="what to write; may be given several times (default: all)",
    )
    parser.add_argument(
        "--by", metavar="KEY", action="append", default=[], help="a setting, such as data.shots, whose values get tables apart"
    )
    return parser


def report(paths: Sequence[Path], output: Path, formats: Sequence[str], metrics: Sequence[str], by: Sequence[str]) -> None:
    """Reads, compares, writes, and prints the tables.

    Raises:
        UserError: there are no runs, none that can be compared, no such metric or setting, or nowhere to write.
    """
    from metacl_run.comparison import document, terminal_tables

    contents = compare(paths, metrics, by)
    _say_each(contents.left_out, "left out", output)
    files, problems = document.write(contents, output, formats)
    _say_each(problems, "could not be drawn", output)
    terminal_tables.show(contents, files)


def compare(paths: Sequence[Path], metrics: Sequence[str] = (), by: Sequence[str] = ()) -> Contents:
    """What the report on these folders says.

    Raises:
        UserError: there are no runs, none that can be compared, no such metric or setting.
    """
    from metacl_run.comparison.cell_text import check_metrics, score
    from metacl_run.comparison.document import Contents
    from metacl_run.comparison.entries import gather
    from metacl_run.comparison.groups import check_keys, configurations, sections
    from metacl_run.core.errors import UserError
    from metacl_run.storage.archive import find

    found = find(paths)
    entries, refused = gather(found.runs)
    left_out = [*found.refused, *refused]
    if not entries:
        where = ", ".join(map(str, paths))
        _say_each(left_out, "left out", None)
        many = (
            f"none of the {len(found.runs)} runs can be compared" if found.runs else "holds no runs (looked for summary.json)"
        )
        raise UserError(f"{where}: {many}")
    joined = configurations(entries)
    check_keys(joined, by)
    parted = sections(joined, by)
    check_metrics(parted, metrics)
    notes = [note for each in joined for note in each.notes]
    return Contents([score(section, metrics) for section in parted], len(entries), left_out, notes)


def _say_each(messages: Sequence[str], what: str, output: Path | None) -> None:
    for message in messages[:MOST_SAID]:
        _say(f"{what}: {message}")
    more = len(messages) - MOST_SAID
    if more > 0:
        where = f", listed in {output}" if output is not None else ""
        _say(f"{what}: {more} more{where}")


def _say(message: str) -> None:
    print(f"metacl-report: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
