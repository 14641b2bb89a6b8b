"""Groups configurations into sections whose numbers are comparable: the same data with the same settings, protocol, score and
`MEASURED` settings. Rows of a section are named by the settings in which they differ."""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metacl_run.comparison.configurations import Configuration
from metacl_run.comparison.entries import DEBUG, EVALUATION, EVALUATION_OF, TABLE_SIZE, TRANSDUCTIVE_KEY, VERSION
from metacl_run.core.errors import shown
from metacl_run.storage.marks import TRANSDUCTIVE_MARK, TUNED_ON_TEST

MEASURED = (
    *("protocol.eval_split", "protocol.schedule", "protocol.lr_selection", TRANSDUCTIVE_KEY),
    *(DEBUG, EVALUATION, TABLE_SIZE, VERSION),
)
"""What the reported numbers are measured on, by which version, and whether they are a trial or those of a finished run."""
NOT_LENGTHS = ("protocol.eval_every", "protocol.rows_every")
"""Numbers of a protocol that name a row only if nothing else distinguishes it."""
WORDS = {
    ("protocol.eval_split", "validation"): "on validation data",
    ("protocol.lr_selection", "test"): TUNED_ON_TEST,
    (TRANSDUCTIVE_KEY, True): TRANSDUCTIVE_MARK,
    (DEBUG, True): "debug runs, no results",
    (EVALUATION, True): "evaluations of finished runs",
}
"""Settings that every title has to tell, in words: their numbers are no plain test numbers."""
CLASSES = ("_target_", "_stream_")
"""Ends of the keys that name classes of the code, not settings: the option's name is in the title."""
DIGITS = 4
"""Significant digits of a number in a row's name, if the names then still differ: a search tries numbers of 17 digits."""
Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Configurations whose numbers are comparable, with labels that distinguish them.

    Attributes:
        title: "split_glyphs, continual_meta" and what distinguishes it from sections of the same data and protocol.
        score: "accuracy" or "mse".
        kind: of the protocol.
        shared: the settings that define the section, by full keys.
        configurations: by label, "maml algo.replay=200".
        others: by label, settings that differ within the section and are not in the label.
        metrics: that any of them has.
    """

    title: str
    score: str
    kind: str
    shared: Settings
    configurations: dict[str, Configuration]
    others: dict[str, Settings]
    metrics: tuple[str, ...]

    @functools.cached_property
    def with_scores(self) -> dict[str, Configuration]:
        """The configurations that have any score, by label: the others cannot be compared, and stand in no one's way."""
        return {label: row for label, row in self.configurations.items() if row.has_scores}

    def algorithm(self, label: str) -> str:
        """The algorithm of a row."""
        return str(self.configurations[label].settings["algo"])


def sections(every: Sequence[Configuration], by: Sequence[str] = ()) -> list[Section]:
    """Returns them in the order of their titles. `by`: full keys of further settings whose values separate sections."""
    groups: dict[str, list[Configuration]] = defaultdict(list)
    for configuration in every:
        groups[_json([_defining(configuration.settings, by), configuration.score])].append(configuration)
    alike: dict[tuple[str, str], list[list[Configuration]]] = defaultdict(list)
    for _, group in sorted(groups.items()):
        alike[group[0].settings["data"], group[0].settings["protocol"]].append(group)
    made = []
    for (data, protocol), same in sorted(alike.items()):
        defining = [_defining(group[0].settings, by) for group in same]
        several_scores = len({group[0].score for group in same}) > 1
        for group, settings, keys in zip(same, defining, differing(defining), strict=True):
            words = _title_words(settings, [*keys, *(key for key in by if key not in keys)])
            words += [group[0].score] if several_scores else []
            made.append(_section(", ".join([data, protocol, *words]), group, settings))
    return made


def _defining(settings: Settings, by: Sequence[str]) -> Settings:
    own = {key: settings[key] for key in sorted(settings) if key in ("data", "protocol", *MEASURED) or key.startswith("data.")}
    return own | {key: settings.get(key) for key in by}


def _title_words(settings: Settings, keys: Sequence[str]) -> list[str]:
    size = [f"{settings[TABLE_SIZE]} size of a paper's table"] if settings.get(TABLE_SIZE) else []
    marks = {key: words for (key, value), words in WORDS.items() if settings.get(key) == value}
    others = [key for key in keys if key not in (*marks, DEBUG, EVALUATION, TABLE_SIZE, TRANSDUCTIVE_KEY)]
    return [*size, *marks.values(), *(assignment(key, settings.get(key)) for key in others)]


def _section(title: str, group: Sequence[Configuration], shared: Settings) -> Section:
    labels, others = _labels(group)
    labels = _distinct(labels, group)
    order = sorted(range(len(group)), key=lambda i: labels[i])
    metrics = dict.fromkeys(name for configuration in group for entry in configuration.entries for name in entry.metrics)
    return Section(
        title=title,
        score=group[0].score,
        kind=group[0].kind,
        shared={key: value for key, value in shared.items() if not key.endswith(CLASSES)},
        configurations={labels[i]: group[i] for i in order},
        others={labels[i]: others[i] for i in order},
        metrics=tuple(metrics),
    )


def _labels(group: Sequence[Configuration]) -> tuple[list[str], list[Settings]]:
    """Returns the label of every row and its other settings that differ within the section.

    A label has the algorithm, the settings in which it differs from rows with the same algorithm, and the lengths of the
    protocol that differ anywhere in the section, so that nobody takes a shortened run for a full one. That of an evaluation
    has the run that it measured: the settings with which that one learned may be others.
    """
    rows = [configuration.settings for configuration in group]
    by_algo: dict[str, list[int]] = defaultdict(list)
    for i, settings in enumerate(rows):
        by_algo[settings["algo"]].append(i)
    in_section = [[key for key in keys if not key.startswith("algo")] for keys in differing(rows)]
    words: list[list[tuple[str, Any]]] = [[] for _ in rows]
    others = [Settings() for _ in rows]
    for places in by_algo.values():
        names = differing([rows[i] for i in places])
        for i, own in zip(places, names, strict=True):
            lengths = [key for key in in_section[i] if key not in own and _is_length(key, rows[i].get(key))]
            origin = [key for key in (EVALUATION_OF,) if key in rows[i]]
            keys = [*lengths, *origin, *(key for key in own if key not in origin)]
            unused = group[i].entries[0].unused  # of a setting that another row switches on
            words[i] = [(key, rows[i].get(key, unused.get(key))) for key in keys]
            others[i] = {key: rows[i].get(key) for key in in_section[i] if key not in keys}
    rounded, exact = (_joined(rows, words, digits) for digits in (DIGITS, None))
    return (rounded if len(set(rounded)) == len(set(exact)) else exact), others


def _distinct(labels: Sequence[str], group: Sequence[Configuration]) -> list[str]:
    """Adds the run id to equal labels: long values are cut, and a row may lack a setting that is null in another."""
    count = Counter(labels)
    ids = (configuration.entries[0].directory.name for configuration in group)
    return [label if count[label] == 1 else f"{label} ({own_id})" for label, own_id in zip(labels, ids, strict=True)]


def _joined(rows: Sequence[Settings], words: Sequence[Sequence[tuple[str, Any]]], digits: int | None) -> list[str]:
    """The algorithm of every row, and its words."""
    by_row = zip(rows, words, strict=True)
    return [" ".join([row["algo"], *(assignment(*word, digits=digits) for word in own)]) for row, own in by_row]


def _is_length(key: str, value: Any) -> bool:
    """A number of the protocol: a length, a count of episodes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return key.startswith("protocol.") and number and key not in NOT_LENGTHS


def differing(every: Sequence[Settings]) -> list[list[str]]:
    """Returns for each of the settings the keys whose values are not the same in all that chose the same option of the key's
    group: model.channels is compared between rows with the same model only. The choices come first, then the keys by name."""
    keys = sorted({key for settings in every for key in settings}, key=lambda key: ("." in key, key))
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for settings in every:
        for key in keys:
            values[key, _choice(settings, key)].add(_json(settings.get(key)))
    return [[key for key in keys if len(values[key, _choice(settings, key)]) > 1] for settings in every]


def _choice(settings: Settings, key: str) -> str:
    group, dot, _ = key.partition(".")
    return str(settings.get(group)) if dot else ""


def assignment(key: str, value: Any, digits: int | None = None) -> str:
    """The setting as one types it: data.shift=permute, protocol.rates=[0.1,0.01]; a number with at most so many digits."""
    if isinstance(value, float) and digits is not None:
        value = float(f"{value:.{digits}g}")
    if isinstance(value, list):
        return f"{key}=[{','.join(map(shown, value))}]"
    return f"{key}={shown(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
