"""metacl-report: compares the runs of folders. `--help` and mistakes in the command load nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from metacl_run.core.exit_status import COMPLETED, FAILED, INTERRUPTED
from metacl_run.core.output import any_letter_printed

if TYPE_CHECKING:
    from metacl_run.comparison.document import Comparison

FORMATS = ("md", "tex", "csv", "html")
MOST_MESSAGES = 20
"""Most messages about single runs on the terminal; all of them are in the report."""
DESCRIPTION = """\
Compares all runs at and under PATH: a table for each data set, with the mean of every metric over seeds, its 95% interval
(Student t) and the interquartile mean; differences over common seeds; overlaid curves of accuracy and forgetting.
"""
EPILOG = """\
metacl-report runs                                   into ./report
metacl-report runs/split_omniglot --metric accuracy --metric forgetting --format tex
metacl-report runs other/runs --by data.shots        a separate table for each value of a setting
metacl-report runs --against my_method               pairs of your method and every other, no others

Exit status: 0 a report was written; 1 no report, or a mistake in the command.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"metacl-report: {message}. `metacl-report --help` says more.", file=sys.stderr)
        sys.exit(FAILED)


@any_letter_printed()
def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 a report was written, 1 not."""
    options = _parser().parse_args(arguments)
    from metacl_run.comparison.compare import NothingToCompareError, compare
    from metacl_run.core.errors import UserError

    try:
        comparison = compare(options.paths, options.metrics, options.by, options.against)
        write(comparison, options.output, options.formats or FORMATS, paper_figures=options.paper_figures)
    except NothingToCompareError as error:
        _print_messages("left out", error.left_out)
        _say(str(error))
        sys.exit(FAILED)
    except UserError as error:
        _say(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(COMPLETED)


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
        "learning_ and incremental_ forms, forgetting and bwt)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("report"),
        help="where to write, in place of an earlier comparison there (default: ./report)",
    )
    parser.add_argument(
        "--format",
        dest="formats",
        choices=FORMATS,
        action="append",
        help="what to write; may be given several times (default: all)",
    )
    parser.add_argument(
        "--by",
        metavar="KEY",
        action="append",
        default=[],
        help="a setting, such as data.shots, whose values get separate tables",
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="an algorithm or a row: its differences from every other row are tested, and no others (default: all pairs)",
    )
    parser.add_argument(
        "--paper-figures",
        action="store_true",
        help="write the figures for a paper as well: figures/paper/*.pdf and *.svg, 3.25 inches wide, without titles",
    )
    return parser


def write(comparison: Comparison, output: Path, formats: Sequence[str], *, paper_figures: bool) -> None:
    """Writes the comparison, and prints its tables.

    Raises:
        UserError: there is nowhere to write.
    """
    from rich.console import Console

    from metacl_run.comparison import document

    _print_messages("left out", comparison.left_out, f", listed in {output}")
    files, problems = document.write(comparison, output, formats, paper_figures=paper_figures)
    _print_messages("could not be drawn", problems, f", listed in {output}")
    document.show(comparison, files, Console())


def _print_messages(prefix: str, messages: Sequence[str], where: str = "") -> None:
    for message in messages[:MOST_MESSAGES]:
        _say(f"{prefix}: {message}")
    if len(messages) > MOST_MESSAGES:
        _say(f"{prefix}: {len(messages) - MOST_MESSAGES} more{where}")


def _say(message: str) -> None:
    print(f"metacl-report: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
