"""The tables of a run, for its report and for the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np

from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.numbers import interval, number, spread_heading, spread_text
from metacl_run.reporting.phrases import MOST_CELLS, column_label, columns_name, mean_words, named_places, row_label
from metacl_run.reporting.sentences import evaluation_error_words
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.metric_table import TRANSDUCTIVE, metrics_of
from metacl_run.storage.marks import marks
from metacl_run.storage.run_files import MATRIX, TRANSDUCTIVE_MATRIX
from metacl_run.storage.sequence_records import MetaTestScores, interval_is_over, intervals
from metacl_run.storage.stored_run import StoredRun

MOST_NAMES = 50
"""Most tasks that have a row each by name."""
COMMIT, COMMIT_DIGITS = "git_commit", 12
"""The key in a summary's environment, and the digits that name a commit in a table."""


def plain_and_transductive(run: StoredRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the metrics of each query alone, and those of all queries of an episode together, by the same names."""
    metrics = run.summary["metrics"]
    plain = {name: metric for name, metric in metrics.items() if not name.startswith(TRANSDUCTIVE)}
    return plain, {name.removeprefix(TRANSDUCTIVE): metric for name, metric in metrics.items() if name not in plain}


def metrics_grid(run: StoredRun, *, transductive: bool = False, every_seed: bool = True) -> Grid | None:
    """A row for each metric: its mean, its spread over seeds and, with `every_seed`, the value of every seed.

    Args:
        run: whose metrics.
        transductive: of all queries of an episode together; else of each query alone, with the others' means beside them.
        every_seed: whether every seed has a column.
    """
    plain, together = plain_and_transductive(run)
    metrics, beside = (together, {}) if transductive else (plain, together)
    if not metrics:
        return None
    seeds = len(run.seeds)
    meanings = metrics_of(run.score, run.kind)
    spread = seeds >= FEWEST or (seeds > 1 and not every_seed)
    headings = [
        f"metric ({'; '.join(marks(run.summary))})" if marks(run.summary) else "metric",
        "mean",
        *(["std"] if spread and every_seed else []),
        *([spread_heading(seeds)] if spread else []),
        *([f"seed {seed}" for seed in run.seeds] if every_seed else []),
        *(["transductive"] if beside else []),
    ]
    rows = []
    for name, metric in metrics.items():
        texts = [
            *([number(metric["std"])] if spread and every_seed else []),
            *([spread_text(metric)] if spread else []),
            *(map(number, metric["values"]) if every_seed else []),
            *([number(beside[name]["mean"]) if name in beside else ""] if beside else []),
        ]
        meaning = meanings[name].meaning if name in meanings else ""
        rows.append([Cell(name, detail=meaning), Cell(number(metric["mean"]), tone="main"), *map(Cell, texts)])
    return Grid(
        "Transductive metrics" if transductive else "Metrics", headings, rows, _metrics_notes(run, transductive, together)
    )


def _metrics_notes(run: StoredRun, transductive: bool, together: dict[str, Any]) -> list[str]:
    notes = (
        [f"The interval is Student's t interval of the mean over {len(run.seeds)} seeds."] if len(run.seeds) >= FEWEST else []
    )
    if transductive:
        return ["With all queries of an episode together: batch norm then sees the other queries.", *notes]
    if together:
        notes.insert(0, "Each query alone with the support set.")
    if run.evaluation_error is not None:
        notes.append(evaluation_error_words(run.evaluation_error, run.score))
    return notes


def lengths_grid(run: StoredRun, *, with_intervals: bool = True) -> Grid | None:
    """A row for each number of concepts learned at meta-test: the mean of every score over orders and seeds, its spread with
    `with_intervals`, and the learning rate."""
    test, score = run.meta_test, run.score
    if test is None:
        return None
    scores = {"held out": test.held_out, "memory": test.memory}
    if test.joint is not None:
        scores["joint training"] = test.joint
    if test.untrained is not None:
        scores["random features"] = test.untrained
    seeds = len(run.seeds)
    over = "both seeds" if seeds == 2 else f"95% over {interval_is_over(seeds)}"
    headings = [f"{score.concepts} learned"]
    for name in scores:
        headings += [name, over] if with_intervals else [name]
    if test.chosen is not None:
        headings.append(test.tuned_mark or "learning rate")
    spreads = {name: _spreads(values, run) for name, values in scores.items()}
    rows = []
    for place, length in enumerate(test.lengths):
        row = [Cell(str(length))]
        for name, values in scores.items():
            row.append(Cell(number(float(values[:, place].mean())), tone="main"))
            row += [Cell(spreads[name][place])] if with_intervals else []
        rows.append([*row, Cell(_rate(test, place))] if test.chosen is not None else row)
    over_seeds = {
        1: ". The interval is Student's t interval over the orders of this one network; another seed may differ by more",
        2: " and both seeds",
    }.get(
        seeds,
        " and seeds. The interval is Student's t interval over seeds: orders of one seed share what it has meta-learned, and "
        "are averaged first",
    )
    title = f"{score.score_words.capitalize()} by number of {score.concepts}"
    baseline = "Random features: held out, by the nearest class mean on the features of the untrained network."
    return Grid(title, headings, rows, [f"Mean over orders{over_seeds}.", *([] if test.untrained is None else [baseline])])


def steps_grid(run: StoredRun) -> Grid | None:
    """A row for each number of inner steps: the mean score over tasks and seeds, and its spread; None where not measured."""
    measured = run.summary["by_step"]
    if measured is None:
        return None
    words, seeds = run.score.score_words, len(run.seeds)
    columns = {words: np.array(measured["curve"], dtype=float)}
    if measured["transductive"] is not None:
        columns["transductive"] = np.array(measured["transductive"], dtype=float)
    spread = [spread_heading(seeds)] if seeds > 1 else []
    headings = ["inner steps", *(heading for name in columns for heading in (name, *spread))]
    rows = []
    for step in range(columns[words].shape[1]):
        row = [Cell(str(step))]
        for values in columns.values():
            row.append(Cell(number(float(values[:, step].mean())), tone="main"))
            row += [Cell(text) for text in _spreads(values[:, step : step + 1, None], run)[: seeds - 1]]
        rows.append(row)
    return Grid(f"{words.capitalize()} by inner step", headings, rows, ["At the end of the run, mean over tasks."])


def _spreads(values: np.ndarray, run: StoredRun) -> list[str]:
    """The spread of [R, S, O] for every length: both seeds of two, else the interval."""
    if len(values) == 2:
        return [", ".join(map(number, seeds)) for seeds in values.mean(axis=2).T.tolist()]
    return [interval(bounds) for bounds in intervals(values, run.possible).tolist()]


def _rate(test: MetaTestScores, place: int) -> str:
    """The learning rate used; the lowest and the highest where seeds chose differently."""
    assert test.chosen is not None
    low, high = test.chosen[:, place].min(), test.chosen[:, place].max()
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def matrix_grid(run: StoredRun) -> Grid | None:
    """The accuracy matrix, mean over seeds, in the rows without gaps; None where it is too large to be read."""
    if not 1 < run.num_tasks <= MOST_CELLS or not run.whole_rows:
        return None
    score = run.score.score_words
    mean = run.matrix.mean(axis=0)
    headings = [f"{score} on {columns_name(run)}", *(column_label(run, task) for task in range(run.num_tasks))]
    rows = [[Cell(row_label(run, row)), *(Cell(number(value)) for value in mean[row].tolist())] for row in run.whole_rows]
    note = f"{mean_words(run)} The values of every seed are in {MATRIX}"
    if plain_and_transductive(run)[1]:
        note += f"; with all queries of an episode together, in {TRANSDUCTIVE_MATRIX}"
    return Grid(f"{score.capitalize()} matrix", headings, rows, [f"{note}."])


def names_grid(run: StoredRun) -> Grid | None:
    """A row for each task by its name, whatever its place in the stream of a seed; None where all seeds have one order, or
    tasks of their own, or the run did not get to its end."""
    names, places = named_places(run)
    if places is None or not run.learns_task_by_task or run.status != "completed" or len(names) > MOST_NAMES:
        return None
    words, seeds = run.score.score_words, np.arange(len(run.seeds))[:, None]
    learned, last = (run.matrix[seeds, row, places] for row in (places + 1, run.num_tasks))  # [R, T]
    if not np.isfinite(learned).all() or not np.isfinite(last).all():
        return None
    rows = []
    for place, name in enumerate(names):
        row = [Cell(" ".join(name.split())), Cell(", ".join(str(own + 1) for own in places[:, place]))]
        for values in (learned, last):
            row.append(Cell(number(float(values[:, place].mean())), tone="main"))
            row += [Cell(text) for text in _spreads(values[:, place, None, None], run)]
        rows.append(row)
    spread = spread_heading(len(run.seeds))
    headings = ["task", "place by seed", "when learned", spread, "at the end", spread]
    note = "Every seed learns these tasks in an order of its own: a row is one task, wherever it came. Mean over seeds."
    return Grid(f"{words.capitalize()} by the name of the task", headings, rows, [note])


def domains_grid(run: StoredRun) -> Grid | None:
    """The score in every domain of a stream, a row for each; None where there is none that got to its end."""
    if run.stream_steps is None or not run.summary["task_names"]:
        return None
    words, seeds, last = run.score.score_words, len(run.seeds), run.matrix[:, -1]
    spread = [spread_heading(seeds)] if seeds > 1 else []
    rows = []
    for domain, name in enumerate(run.summary["task_names"][0]):
        text = _spreads(last[:, domain, None, None], run)[: seeds - 1]
        rows.append([Cell(name), Cell(number(float(last[:, domain].mean())), tone="main"), *map(Cell, text)])
    note = "Of predictions made before learning, over all steps of the stream in this domain. The learner is told of no domain."
    return Grid(f"{words.capitalize()} by domain", ["domain", words, *spread], rows, [note])


def environment_grid(run: StoredRun) -> Grid:
    """Time, memory and environment, a row for each value."""
    tree = {name: run.summary[name] for name in ("timing", "peak_memory_mb", "environment")}
    rows = [[Cell(name), Cell(value, tone="quiet", is_words=True)] for name, value in _leaves(tree)]
    return Grid("Time, memory, environment", ["name", "value"], rows)


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Returns nested values as ("timing.wall_s", "12.3") pairs."""
    leaves = []
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", _leaf(key, value)))
    return leaves


def _leaf(key: str, value: Any) -> str:
    """A value as text: a commit shortened, with the "+" of changed files; a dash for what is not known."""
    if value is None:
        return "-"
    if key == COMMIT:
        return str(value)[:COMMIT_DIGITS] + ("+" if str(value).endswith("+") else "")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
