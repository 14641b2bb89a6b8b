"""The tables of results on a page, from results/: no number is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, takewhile, zip_longest

from option_page import table
from published import RESULTS, StoredSummary, interval_of, stored_summaries


def stored_table(name: str) -> str:
    """The rows and columns of results/tables/<name>/table.md, and where every cell of it stands."""
    lines = (RESULTS / "tables" / name / "table.md").read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    grid = takewhile(lambda line: line.startswith("|"), lines[first:])
    return "\n".join([*grid, "", f"[Every cell, its runs and the departures](results/tables/{name}/table.md)."])


def runs(folder: str) -> str:
    """The stored runs of a folder with their main metrics."""
    names = ("accuracy", "learning_accuracy", "forgetting")
    rows = [
        (
            _link(summary),
            summary.content["algo"],
            str(len(summary.content["seeds"])),
            *(_metric(summary, name) for name in names),
        )
        for summary in _of(folder)
    ]
    return table(("run", "algorithm", "seeds", *names), rows)


def sequences(folder: str) -> str:
    """Held-out accuracy, and in brackets memory, after each number of classes, of the stored runs of a folder."""
    summaries = _of(folder)
    lengths = summaries[0].content["meta_test"]["lengths"]
    rows = [(_link(summary), *map(_sequence_cell(summary), range(len(lengths)))) for summary in summaries]
    return table(("run", *map(str, lengths)), rows)


def _sequence_cell(summary: StoredSummary) -> Callable[[int], str]:
    test = summary.content["meta_test"]

    def mean(name: str, length: int) -> float:
        values = [orders[length] for orders in test[name]]
        return float(sum(sum(value) / len(value) for value in values) / len(values))

    return lambda length: f"{mean('accuracy', length):.2f} ({mean('memory', length):.2f})"


def costs(protocol: str) -> str:
    """The CPU time of a unit of every method of a protocol, as `scripts/unit_costs.py` printed it, in pairs of columns."""
    blocks = (RESULTS / "cpu" / "unit_costs.txt").read_text(encoding="utf-8").split("\n\n")
    block = next(block.splitlines() for block in blocks if block.splitlines()[0] == protocol)
    cells = [(f"`{name}`", f"{float(ms):.3g} ({times})") for name, ms, times, _ in map(str.split, block[2:])]
    height = -(-len(cells) // COST_COLUMNS)
    columns = [cells[first : first + height] for first in range(0, len(cells), height)]
    rows = [tuple(chain.from_iterable(row)) for row in zip_longest(*columns, fillvalue=("", ""))]
    return table(("method", "ms") * len(columns), rows)


def _of(folder: str) -> list[StoredSummary]:
    return [summary for summary in stored_summaries() if summary.path.startswith(f"{folder}/")]


def _link(summary: StoredSummary) -> str:
    return f"[{summary.path.rpartition('/')[2].removesuffix('.json')}](results/{summary.path})"


def _metric(summary: StoredSummary, name: str) -> str:
    return interval_of(summary.content["metrics"][name]) if name in summary.content["metrics"] else ""


COST_COLUMNS = 4
"""Pairs of columns in a table of costs: a long list takes less of a page."""
TABLES: dict[str, Callable[[str], str]] = {
    "costs": costs,
    "runs": runs,
    "sequences": sequences,
    "stored_table": stored_table,
}
"""The words of a marker `{{ runs omniglot }}` on a page."""
